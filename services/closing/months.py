"""Every month of a contract: where it stands, what is due, whether it can be closed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from services.closing import sql
from services.closing.checklist import checklist
from services.closing.model import Item
from services.closing.stages import Stage, Stands, stands
from services.contract.charges import promised_meters
from services.contract.model import Contract
from services.contract.money import total
from services.contract.months import month_at, month_of, months_between
from services.contract_store import StoredContract
from services.invoicing.committed import owes_without_usage
from services.invoicing.true_ups import preview
from services.postgres import Connection


class Override(NamedTuple):
    """Why a month was closed whose checklist was not clean, and by whom."""

    reason: str
    by: str
    items: str


class Month(NamedTuple):
    """A month; `checklist` is of the one that is to be closed next, once it is over, and None of all others."""

    month: str
    stands: Stands
    due: Decimal
    closed_by: str | None
    override: Override | None
    checklist: list[Item] | None
    after: str | None


async def months(connection: Connection, stored: StoredContract) -> list[Month]:
    """Return every month until now in which anything is due or was closed, in their order."""
    now = datetime.now(UTC)
    rows = {row["month"]: row for row in await connection.fetch(sql.MONTHS)}
    found = []
    next_one: str | None = None
    for month in sorted({*rows, *_promised(stored.contract, now)}):
        row = rows.get(month)
        at = stands(stored.contract, month, row["closed_at"] if row else None, now)
        if row and at.stage is Stage.CLOSED:
            items = await connection.fetchval(sql.OVERRIDDEN, month)
            override = Override(row["reason"], row["overridden_by"], items) if items else None
            found.append(Month(month, at, row["invoiced"], row["closed_by"], override, None, None))
            continue
        due = total(each.total for each in await preview(connection, stored.contract, month))
        if row is None and not due:
            continue
        is_next = next_one is None and at.stage in {Stage.GRACE, Stage.DUE}
        asked = await checklist(connection, stored, month) if is_next else None
        found.append(Month(month, at, due, None, None, asked, next_one))
        next_one = next_one or month
    return found


def _promised(contract: Contract, now: datetime) -> set[str]:
    until = month_at(now, contract.zone)
    if until < month_of(contract.starts):
        return set()
    every = months_between(month_of(contract.starts), min(until, month_of(contract.ends - timedelta(days=1))))
    return {month for month in every if promised_meters(contract, month) or owes_without_usage(contract, month)}


async def due_months(connection: Connection, stored: StoredContract) -> list[str]:
    """Return the months, of usage or promises, that are not closed and whose grace is over, in their order."""
    return [month for month, at in await not_closed(connection, stored) if at.stage is Stage.DUE]


async def not_closed(connection: Connection, stored: StoredContract) -> list[tuple[str, Stands]]:
    """Return the months, of usage or promises, that are not closed, each with where it stands, in their order."""
    now = datetime.now(UTC)
    rows = {row["month"]: row["closed_at"] for row in await connection.fetch(sql.MONTHS)}
    every = sorted({*rows, *_promised(stored.contract, now)})
    found = [(month, stands(stored.contract, month, rows.get(month), now)) for month in every]
    return [(month, at) for month, at in found if at.stage is not Stage.CLOSED]
