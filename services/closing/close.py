"""Closing a month whose checklist is clean, or was overridden.

Law: a month is closed, its override is on record and what its documents lack is parked, all in one transaction; what
is refused is refused whatever anyone says.
"""

from datetime import timedelta

import msgspec

from services.closing import sql
from services.closing.checklist import as_data, of_books, of_statements
from services.closing.model import Item, holding
from services.contract.months import first_day, next_month
from services.contract_store import StoredContract
from services.documents.lacking import lacking
from services.documents.parked import park
from services.invoicing.close import CloseError, Invoice, close_month, refusals
from services.invoicing.true_ups import preview
from services.postgres import Connection


class NotCleanError(CloseError):
    """The checklist isn't clean; `items` are what holds the close."""

    def __init__(self, month: str, items: list[Item]) -> None:
        super().__init__(
            f"{month} is not closed, its checklist is not clean: {'; '.join(map(str, items))}. "
            f"Put it right, or close it all the same with `plafond close {month} --override REASON`"
        )
        self.items = items


async def close_checked(
    connection: Connection, stored: StoredContract, month: str, override: str | None = None
) -> list[Invoice]:
    """Close a month and return its invoices; `override` is the reason for doing so whatever its checklist says.

    Raises NotCleanError where that is not clean and there is no override, CloseError as `close_month` does.
    """
    if refused := await refusals(connection, stored, month):
        raise CloseError(refused[0])
    held = holding(await of_books(connection, stored, month))
    if held and override is None:
        made = await preview(connection, stored.contract, month)
        raise NotCleanError(month, held + holding(await of_statements(connection, stored.contract, month, made)))
    async with connection.transaction():
        invoices = await close_month(connection, stored, month)
        # Asked of the statements as they are issued, so that they are reckoned once; if they hold it, nothing has been.
        made = [each.statement for each in invoices]
        held += holding(await of_statements(connection, stored.contract, month, made))
        if held and override is None:
            raise NotCleanError(month, held)
        if held:
            await connection.execute(sql.KEEP_OVERRIDE, month, override, _kept(held))
        await park(connection, month, _lacking(stored, month, invoices))
    return invoices


def _kept(items: list[Item]) -> str:
    return msgspec.json.encode([as_data(each) for each in items]).decode()


def _lacking(stored: StoredContract, month: str, invoices: list[Invoice]) -> dict[tuple[str, str], list[str]]:
    """Return what each invoice's documents lack, where the contract says who invoices at all."""
    if stored.contract.coordinator is None:
        return {}
    starts, ends = first_day(month), first_day(next_month(month)) - timedelta(days=1)
    return {
        (each.number, each.statement.institution): [
            str(problem) for problem in lacking(stored.contract, each.statement.institution, starts, ends)
        ]
        for each in invoices
    }
