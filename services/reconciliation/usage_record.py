"""A provider's own totals in the books: what was taken and refused of its month, and what it said, kept.

What it said is compared anew each time that is asked, since usage may have come meanwhile.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from services.contract.model import Contract
from services.contract.money import ZERO, add, plain
from services.contract.months import first_day, midnight
from services.ingest.decide import read_quantity
from services.ingest.events import UsageEvent, read
from services.postgres import Connection
from services.reasons import Refusal
from services.reconciliation.usage import Allowed, Taken, UsageKey, UsageRow, agree, compare

# An event that is corrected counts nothing; what came late goes on a later invoice.
_TAKEN = """
select use.award, use.item, use.subject, sum(usage.quantity) as quantity,
       coalesce(sum(usage.quantity) filter (where batch.rated_at > closed.closed_at), 0) as late
from rating.use join rating.usage using (use_no) join rating.batch using (batch_no)
     left join invoicing.month as closed on closed.month = usage.month
where use.provider = $1 and use.month = $2 and usage.month = $2 and not exists (
    select from rating.correction where correction.provider = $1 and correction.corrected = usage.id)
group by use.award, use.item, use.subject
"""
# Of an event that was refused several times the last one; none that was taken in the end, unless rating refused another
# one under its id.
_REFUSED = """
select distinct on (event_id) event_id, reason, payload
from ingest.rejection
where provider = $1 and received_at >= $2 and payload is not null and event_id is not null and (
    reason in ('conflict', 'corrected_already', 'correction_circle', 'too_late')
    or not exists (select from rating.event where event.provider = $1 and event.id = rejection.event_id))
order by event_id, received_at desc
"""
_KEEP = """
insert into reconciliation.usage (provider, month, sha256, tolerance, tolerance_percent, agrees)
values ($1, $2, $3, $4, $5, $6) returning usage
"""
_TOTALS = """
insert into reconciliation.usage_total (usage, lot, item, subject, quantity, ours)
select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::numeric[], $6::numeric[])
"""
_LAST = """
with last as (
    select distinct on (provider) * from reconciliation.usage where month = $1 order by provider, usage desc
)
select provider, compared_at, tolerance, tolerance_percent, lot, item, subject, quantity
from last join reconciliation.usage_total using (usage)
"""
_SENDING = "select distinct provider from reconciliation.usage"
_Refused = dict[tuple[UsageKey, str], Decimal]
_NAMED_MAX = 3


class Said(StrEnum):
    """Whether a provider's own totals of a month bear out what was taken."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOT_SENT = "not sent"


class Standing(NamedTuple):
    """How a provider's totals stand beside what was taken by now; `rows` are those that differ."""

    provider: str
    said: Said
    compared_at: datetime | None
    rows: tuple[UsageRow, ...]

    @property
    def found(self) -> str:
        """What a checklist says was found."""
        if not self.rows:
            return self.said.value
        named = [f"{row.key.item} {plain(row.theirs or ZERO)}, taken {plain(row.ours)}" for row in self.rows]
        more = f" and {len(named) - _NAMED_MAX} more" if len(named) > _NAMED_MAX else ""
        return "; ".join(named[:_NAMED_MAX]) + more

    @property
    def wanted(self) -> str:
        """What a checklist says would be right."""
        sent = "its totals of the month" if self.said is Said.NOT_SENT else "totals that agree"
        return f"{sent}: `plafond reconcile-usage {self.provider} FILE`"


async def compared(
    connection: Connection, contract: Contract, provider: str, month: str, theirs: Mapping[UsageKey, Decimal],
    allowed: Allowed,
) -> list[UsageRow]:  # fmt: skip
    """Compare a provider's totals with what was taken by now."""
    taken = await _taken(connection, contract, provider, month)
    refused = await _refused(connection, contract, provider, month)
    return compare(contract, theirs, taken, refused, allowed)


async def keep(
    connection: Connection, provider: str, month: str, sha256: bytes, allowed: Allowed, rows: Sequence[UsageRow]
) -> None:
    """Keep a provider's totals beside what was taken by now."""
    said = [(*row.key, row.theirs, row.ours) for row in rows if row.theirs is not None]
    async with connection.transaction():
        usage = await connection.fetchval(_KEEP, provider, month, sha256, *allowed, agree(rows))
        await connection.execute(_TOTALS, usage, *map(list, zip(*said, strict=True)))


async def standings(connection: Connection, contract: Contract, month: str) -> list[Standing]:
    """Tell of each provider that sends totals whether those of a month, as last sent, agree with what was taken by now.

    For the checklist before closing: one that sent totals of any month, and none of this one, is `NOT_SENT`.
    """
    sending = {row["provider"] for row in await connection.fetch(_SENDING)}
    theirs: dict[str, dict[UsageKey, Decimal]] = {}
    allowed: dict[str, tuple[Allowed, datetime]] = {}
    for row in await connection.fetch(_LAST, month):
        key = UsageKey(row["lot"], row["item"], row["subject"])
        theirs.setdefault(row["provider"], {})[key] = row["quantity"]
        allowed[row["provider"]] = Allowed(row["tolerance"], row["tolerance_percent"]), row["compared_at"]
    found = []
    for provider in sorted(contract.providers.keys() & sending):
        if provider not in theirs:
            found.append(Standing(provider, Said.NOT_SENT, None, ()))
            continue
        within, at = allowed[provider]
        rows = await compared(connection, contract, provider, month, theirs[provider], within)
        odd = tuple(row for row in rows if not agree([row]))
        found.append(Standing(provider, Said.DISAGREES if odd else Said.AGREES, at, odd))
    return found


async def _taken(connection: Connection, contract: Contract, provider: str, month: str) -> dict[UsageKey, Taken]:
    return {
        UsageKey(contract.awards[row["award"]].lot, row["item"], row["subject"]): Taken(row["quantity"], row["late"])
        for row in await connection.fetch(_TAKEN, provider, month)
    }


async def _refused(connection: Connection, contract: Contract, provider: str, month: str) -> _Refused:
    """Add up what events of the month say that were refused, by reason; those that can't be read say nothing."""
    sums: _Refused = {}
    begins = midnight(first_day(month), contract.zone)
    async with connection.transaction():
        async for row in connection.cursor(_REFUSED, provider, begins, prefetch=500):
            event = read(row["payload"])
            quantity = _quantity_in(contract, event, month)
            if quantity is not None and not isinstance(event, Refusal):
                key = UsageKey(event.lot, event.item, event.subject)
                sums[key, row["reason"]] = add(sums.get((key, row["reason"]), ZERO), quantity)
    return sums


def _quantity_in(contract: Contract, event: UsageEvent | Refusal, month: str) -> Decimal | None:
    """Return the quantity of an event of a month; None for any other."""
    if isinstance(event, Refusal):
        return None
    quantity = read_quantity(event.quantity)
    try:
        began = datetime.fromisoformat(event.time)
    except ValueError:
        return None
    if isinstance(quantity, Refusal) or began.tzinfo is None or contract.month(began) != month:
        return None
    return Decimal(quantity)
