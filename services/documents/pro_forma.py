"""Documents of a month that is not closed: what its invoices would be now, without a number.

Law: nothing is written to the ledger and no hash is kept. There is no e-invoice: one without a number (BT-1) is none,
and one with a number would pass for an issued one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from services.contract.model import Contract
from services.contract.money import ZERO, add, total
from services.contract_store import StoredContract
from services.documents.closed_month import Credited, ExportError, credited_until, invoiced_by_all, issued_until
from services.documents.export import Exported
from services.documents.files import Names, Task
from services.documents.make import Issued, origins
from services.documents.model import Preceding
from services.documents.side_by_side import export_side_by_side
from services.invoicing.close import Invoice
from services.invoicing.credits import sets_off
from services.invoicing.read import is_closed
from services.invoicing.settle import PostingKey, Share
from services.invoicing.statement import Statement
from services.invoicing.true_ups import posted_and, true_ups
from services.postgres import Connection


@dataclass(frozen=True, slots=True)
class OpenMonth:
    """An open month as it would be closed now: its statements, what was issued and credited until then, and by how much
    their lines are raised for what was credited before.
    """

    contract: Contract
    version: int
    now: datetime
    made: list[Statement]
    issued: Mapping[str, Mapping[str, Preceding]]
    credited: Credited
    set_off: Mapping[PostingKey, Decimal]


async def export_pro_forma(
    connection: Connection, stored: StoredContract, month: str, now: datetime, out: Path
) -> Exported:
    """Write what an open month's documents would be; raises ExportError once it is closed, UnwritableError."""
    if await is_closed(connection, month):
        raise ExportError(f"{month} is closed: `plafond invoices export --month {month}` writes its invoices")
    contract = stored.contract
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        moves = await true_ups(connection, contract, month)
        made = await posted_and(connection, contract, month, moves)
        set_off = await _set_off(connection, month, moves)
        issued = await issued_until(connection, contract, month, now)
        credited = await credited_until(connection, now)
    names = Names(contract, {stored.version: contract})
    tasks = tasks_of(OpenMonth(contract, stored.version, now, made, issued, credited, set_off))
    results = sorted(export_side_by_side(names, tasks, out), key=lambda each: each.institution)
    return Exported(contract, tuple(Invoice("", each) for each in made), tuple(results), (), whole=None)


def tasks_of(books: OpenMonth) -> list[Task]:
    """Return what is to be made, each as the close would have it that was now."""
    day = books.now.astimezone(books.contract.zone).date()
    invoiced = add(invoiced_by_all(books.issued, books.credited), total(each.total for each in books.made))
    shared = origins(books.made)
    return [
        Task(
            Issued(
                "", day, each, dict(books.issued.get(each.institution, {})), invoiced, shared,
                books.credited.to(each.institution), set_off=books.set_off,
            ),
            (books.version,),
            {},
        )
        for each in books.made
    ]  # fmt: skip


async def _set_off(connection: Connection, month: str, moves: Mapping[PostingKey, Share]) -> dict[PostingKey, Decimal]:
    """Return what the month's lines are raised by since it was credited before, whoever bore that."""
    amounts: dict[PostingKey, Decimal] = {}
    for each in (await sets_off(connection, month, moves)).values():
        for key, amount in each.items():
            amounts[key] = add(amounts.get(key, ZERO), amount)
    return amounts
