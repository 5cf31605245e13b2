"""Documents of a month that is not closed: what its invoices would be now, without a number.

Law: nothing is written to the ledger and no hash is kept. There is no e-invoice: one without a number (BT-1) is none,
and one with a number would pass for an issued one.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from services.contract.model import Contract
from services.contract.money import total
from services.contract_store import StoredContract
from services.documents.closed_month import ExportError, issued_until
from services.documents.export import Exported
from services.documents.files import Names, Task
from services.documents.make import Issued
from services.documents.model import Preceding
from services.documents.side_by_side import export_side_by_side
from services.invoicing.close import Invoice
from services.invoicing.read import is_closed
from services.invoicing.statement import Statement
from services.invoicing.true_ups import preview
from services.postgres import Connection


async def export_pro_forma(
    connection: Connection, stored: StoredContract, month: str, now: datetime, out: Path
) -> Exported:
    """Write what an open month's documents would be; raises ExportError once it is closed, UnwritableError."""
    if await is_closed(connection, month):
        raise ExportError(f"{month} is closed: `plafond invoices export --month {month}` writes its invoices")
    contract = stored.contract
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        made = await preview(connection, contract, month)
        issued = await issued_until(connection, contract, month, now)
    names = Names(contract, {stored.version: contract})
    tasks = _tasks(contract, made, issued, stored.version, now)
    results = sorted(export_side_by_side(names, tasks, out), key=lambda each: each.institution)
    return Exported(contract, tuple(Invoice("", each) for each in made), tuple(results), (), whole=None)


def _tasks(
    contract: Contract,
    made: list[Statement],
    issued: Mapping[str, Mapping[str, Preceding]],
    version: int,
    now: datetime,
) -> list[Task]:
    day = now.astimezone(contract.zone).date()
    so_far = total(each.total for mine in issued.values() for each in mine.values())
    invoiced = total((so_far, *(each.total for each in made)))
    return [
        Task(Issued("", day, each, dict(issued.get(each.institution, {})), invoiced), (version,), {}) for each in made
    ]
