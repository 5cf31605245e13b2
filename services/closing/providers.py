"""Whether the providers delivered, and what of it was refused."""

from datetime import UTC, datetime, timedelta

from services.closing import sql
from services.closing.model import Check, Item
from services.contract.model import Contract
from services.contract.months import first_day, midnight, month_of, next_month
from services.postgres import Connection
from services.reasons import Reason
from services.reconciliation.usage_record import Said, standings

SILENT_DAYS = 3
"""So many days without usage at a month's end are told."""
MONTHS_BACK = 3
"""Whoever delivered in one of so many months before is expected to deliver."""
FOR_GOOD = [Reason.CONFLICT, Reason.CORRECTED_ALREADY, Reason.CORRECTION_CIRCLE]
"""Reasons of events whose id is known from another event."""


async def silent(connection: Connection, contract: Contract, month: str) -> list[Item]:
    """Tell of providers that are expected and delivered nothing, or nothing in the last days of the month."""
    ends = midnight(first_day(next_month(month)), contract.zone)
    expected = {row["provider"] for row in await connection.fetch(sql.WITH_A_KEY, ends)}
    expected |= {row["provider"] for row in await connection.fetch(sql.DELIVERED, _before(contract, month))}
    last = {row["provider"]: row["last"] for row in await connection.fetch(sql.LAST_USAGE, month)}
    found = []
    for provider in sorted(expected & contract.providers.keys() | last.keys()):
        said = last.get(provider)
        if said is None:
            found.append(Item(Check.PROVIDER_SILENT, provider, "no usage of the month", "usage, or its word for none"))
        elif said < ends - timedelta(days=SILENT_DAYS):
            until = f"nothing after {said.astimezone(contract.zone).date()}"
            found.append(Item(Check.PROVIDER_SILENT, provider, until, f"usage of the last {SILENT_DAYS} days"))
    return found


async def totals(connection: Connection, contract: Contract, month: str) -> list[Item]:
    """Tell of providers whose own totals of the month differ from what was taken, or are missing this time."""
    return [
        Item(Check.PROVIDER_TOTALS, each.provider, each.found, each.wanted)
        for each in await standings(connection, contract, month)
        if each.said is not Said.AGREES
    ]


def _before(contract: Contract, month: str) -> list[str]:
    months: list[str] = []
    while len(months) < MONTHS_BACK and month > month_of(contract.starts):
        month = month_of(first_day(month) - timedelta(days=1))
        months.append(month)
    return months


async def rejections(connection: Connection, contract: Contract, month: str) -> list[Item]:
    """Tell of what was refused of a month, or of earlier ones since the last close, and was not taken by now."""
    last_close: datetime | None = await connection.fetchval(sql.LAST_CLOSE)
    days = (first_day(month), first_day(next_month(month)), contract.ends)
    bounds = [midnight(day, contract.zone) for day in days]
    return [
        Item(
            Check.REJECTIONS,
            f"{row['provider']}: {row['reason']}",
            f"{row['events']} events since {row['first'].astimezone(UTC).date()}",
            "none: mended by their provider, or `plafond rejections replay` once the contract is",
        )
        for row in await connection.fetch(sql.UNRESOLVED, last_close, FOR_GOOD, *bounds)
    ]
