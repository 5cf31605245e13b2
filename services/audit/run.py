"""The audit: wait until what was under way is through, then check every identity in one snapshot."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import asyncpg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services import contract_store
from services.audit.identities import IDENTITIES
from services.contract.charges import ChargeKey, MeterKey, price_of
from services.contract.fees import fee_quantities, is_fee
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.months import first_day, midnight, next_month
from services.contract.succession import stretches
from services.decisions.topic import last_published
from services.invoicing import sql
from services.invoicing.ceilings import CeilingKey, Level, ceilings, reached
from services.kafka import (
    ACCEPTED,
    CHARGES,
    INGEST_GROUP,
    INVOICING_GROUP,
    RATING_GROUP,
    RECORD_GROUP,
    REJECTED,
    is_raw,
)
from services.offsets import Offsets
from services.postgres import Connection

BREACHES_SHOWN = 20
HOPS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    (INGEST_GROUP, is_raw),
    (RATING_GROUP, lambda topic: topic == ACCEPTED),
    (INVOICING_GROUP, lambda topic: topic == CHARGES),
    (RECORD_GROUP, lambda topic: topic == REJECTED),
)
"""Who reads what, in the way of the data."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An identity and its breaches; none means that it holds."""

    identity: str
    breaches: tuple[str, ...]


async def audit(connection: Connection, kafka: str, wait_seconds: float) -> list[Finding]:
    """Check every identity; raises KafkaError or asyncpg's errors when a server is away."""
    async with Offsets(kafka) as offsets:
        behind = await wait_until_through(offsets, wait_seconds)
        await _wait_until_published(connection, wait_seconds)
        began = datetime.now(UTC)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            findings = [Finding("everything that came in is through", tuple(behind))]
            findings.append(Finding("raw = accepted + rejected, by offset", await _raw(connection, offsets)))
            findings.append(Finding("the topic has every decision", await _decisions(connection, kafka)))
            findings += await in_database(connection, began)
        return findings


async def in_database(connection: Connection, began: datetime) -> list[Finding]:
    """Check what the database can tell by itself, in the caller's transaction.

    What is younger than `began` may still be under way.
    """
    findings = []
    for identity, statement in IDENTITIES.items():
        rows = await connection.fetch(statement, *([began] if "$1" in statement else []))
        findings.append(Finding(identity, tuple(row[0] for row in rows)))
    stored = await contract_store.newest(connection)
    if stored is None:
        return findings
    for identity, check in _OF_CONTRACT.items():
        findings.append(Finding(identity, await check(connection, stored.contract)))
    return findings


async def wait_until_through(offsets: Offsets, seconds: float) -> list[str]:
    """Wait until every group has read all that was there; return what is still behind when time is up."""
    deadline = asyncio.get_running_loop().time() + seconds
    for group, wanted in HOPS:
        while behind := await _behind(offsets, group, wanted):
            if asyncio.get_running_loop().time() > deadline:
                return behind
            await asyncio.sleep(0.2)
    return []


async def _wait_until_published(connection: Connection, seconds: float) -> None:
    """Wait for alerts and decisions of a close that has just been; those that wait longer are found by an identity."""
    deadline = asyncio.get_running_loop().time() + seconds
    while await connection.fetchval(_ANY_UNPUBLISHED):
        if asyncio.get_running_loop().time() > deadline:
            return
        await asyncio.sleep(0.2)


async def _behind(offsets: Offsets, group: str, wanted: Callable[[str], bool]) -> list[str]:
    """Return how far a group is behind, a text a topic; a broker that has just started can't tell yet."""
    try:
        lags = await offsets.lag(group, wanted)
    except KafkaError as error:
        if not error.retriable:
            raise
        return [f"Kafka can't tell yet how far {group} has come: {error!r}"]
    return [f"{group} is {lag} messages behind on {topic}" for topic, lag in lags.items() if lag]


_ANY_UNPUBLISHED = """
select exists (select from invoicing.alert where published_at is null)
       or exists (select from decisions.decision where published_at is null)
"""

_LAST_DECISION = "select coalesce(max(number) filter (where published_at is not null), 0) from decisions.decision"

# Offsets of a raw partition that were neither stored as usage nor rejected, as ranges.
_MISSING = """
with place as (
    select raw_offset from rating.usage join rating.use using (use_no)
    where provider = $1 and raw_partition = $2
    union select raw_offset from rating.seen_again join rating.use using (use_no)
    where provider = $1 and raw_partition = $2
    union select "offset" from ingest.rejection
    where topic = 'usage.raw.' || $1 and partition = $2
), found as (
    select raw_offset, lead(raw_offset, 1, $4) over (order by raw_offset) as following
    from (select raw_offset from place union select $3 - 1) as every
    where raw_offset >= $3 - 1 and raw_offset < $4
)
select raw_offset + 1 as first, following - 1 as last from found where following > raw_offset + 1 order by 1
"""


async def _decisions(connection: Connection, kafka: str) -> tuple[str, ...]:
    mine, there = await connection.fetchval(_LAST_DECISION), await last_published(kafka)
    return (f"the database has published decisions up to {mine}, the topic ends with {there}",) if mine > there else ()


async def _raw(connection: Connection, offsets: Offsets) -> tuple[str, ...]:
    partitions = await offsets.partitions(is_raw)
    begins, committed = await offsets.begin(partitions), await offsets.committed(INGEST_GROUP)
    breaches = []
    for partition in partitions:
        first, end = begins[partition], committed.get(partition, begins[partition])
        breaches += [
            f"{partition.topic} partition {partition.partition}: offsets {row['first']} to {row['last']} "
            "were read and are neither rated nor rejected"
            for row in await _missing(connection, partition, first, end)
        ]
    return tuple(breaches)


async def _missing(connection: Connection, place: TopicPartition, first: int, end: int) -> Sequence[asyncpg.Record]:
    provider = place.topic.removeprefix("usage.raw.")
    return await connection.fetch(_MISSING, provider, place.partition, first, end)


async def _meters(connection: Connection, contract: Contract) -> tuple[str, ...]:
    breaches = []
    for row in await connection.fetch("select award, item, month, tariff, scope, quantity, amount from rating.meter"):
        key = MeterKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["scope"])
        try:
            right = price_of(contract, key).amount(row["quantity"])
        except KeyError as error:
            if row["quantity"] == row["amount"] == 0:  # a re-rating took back all of it
                continue
            breaches.append(f"meter {'/'.join(key)}: the contract has no price for it any more ({error})")
            continue
        if right != row["amount"]:
            breaches.append(f"meter {'/'.join(key)}: {row['quantity']} cost {right}, the meter says {row['amount']}")
    return tuple(breaches)


_CHARGED = """
select award, item, month, tariff, subject, sum(quantity) as quantity, sum(amount) as amount
from rating.charge where (award, tariff) in (select * from unnest($1::text[], $2::date[]))
group by award, item, month, tariff, subject
"""


async def _fees(connection: Connection, contract: Contract) -> tuple[str, ...]:
    if not contract.fees:
        return ()
    awards, tariffs = zip(*contract.fees, strict=True)
    rows = await connection.fetch(_CHARGED, awards, [date.fromisoformat(day) for day in tariffs])
    charged = {
        ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"]): row
        for row in rows
    }
    amounts = {key: row["amount"] for key, row in charged.items()}
    right = {
        key: money
        for number in range(contract.fee_rounds)
        for key, money in fee_quantities(contract, number, amounts).items()
    }
    stored = {key: row["quantity"] for key, row in charged.items() if is_fee(contract, key)}
    return tuple(
        f"fee {'/'.join(key)}: is on {stored.get(key, ZERO)}, its charges add up to {right.get(key, ZERO)}"
        for key in sorted(right.keys() | stored.keys())
        if right.get(key, ZERO) != stored.get(key, ZERO)
    )


_UNDER_ANOTHER = """
select count(*) from rating.usage join rating.billing using (use_no)
where award = $1 and usage.month = $2 and tariff = $3 and time >= billing.begins and time < billing.ends
    and not exists (select from unnest($4::timestamptz[], $5::timestamptz[]) as valid(begins, ends)
                    where time >= valid.begins and time < valid.ends)
"""


async def _tariffs(connection: Connection, contract: Contract) -> tuple[str, ...]:
    """Find usage priced under another tariff than the newest contract, or its month's re-rating, has in force then.

    `apply` refuses a contract that would bring this about; usage still under way at that moment is found here.
    """
    breaches = []
    for award, month, tariff in await connection.fetch("select distinct award, month, tariff from rating.billing"):
        first = first_day(month)
        span = (first, first_day(next_month(month)))
        days = stretches(contract, award, span)
        if rerated := contract.rerated.get((award, month)):
            days += stretches(rerated, award, span)
        valid = [each for each in days if each.tariff == tariff]
        if valid == days:
            continue
        begins = [midnight(each.begins, contract.zone) for each in valid]
        ends = [midnight(each.ends, contract.zone) for each in valid]
        count = await connection.fetchval(_UNDER_ANOTHER, award, month, tariff, begins, ends)
        if count:
            breaches.append(f"{award} {month}: {count} events priced under the tariff of {tariff}, another is in force")
    return tuple(breaches)


async def _lots(connection: Connection, contract: Contract) -> tuple[str, ...]:
    posted: dict[str, Decimal] = {}
    rows = await connection.fetch(
        "select award, -sum(amount) as amount from invoicing.posting where side = 'award' group by award"
    )
    for row in rows:
        lot = contract.awards[row["award"]].lot
        posted[lot] = add(posted.get(lot, ZERO), row["amount"])
    spent = {
        row["code"]: row["amount"]
        for row in await connection.fetch("select code, amount from invoicing.spent where level = 'lot'")
    }
    return tuple(
        f"lot {lot}: {spent.get(lot, ZERO)} spent, {posted.get(lot, ZERO)} posted"
        for lot in sorted(set(posted) | set(spent))
        if posted.get(lot, ZERO) != spent.get(lot, ZERO)
    )


async def _alerts(connection: Connection, contract: Contract) -> tuple[str, ...]:
    agreed = ceilings(contract)
    raised = {
        (CeilingKey(Level(row["level"]), row["code"]), row["threshold"], row["ceiling"])
        for row in await connection.fetch("select level, code, threshold, ceiling from invoicing.alert")
    }
    breaches = []
    for row in await connection.fetch(sql.SPENT):
        key = CeilingKey(Level(row["level"]), row["code"])
        if key not in agreed:
            continue
        breaches += [
            f"{key.level} {key.code}: {threshold} per cent of {agreed[key]} reached with {row['amount']}, no alert"
            for threshold in reached(contract.thresholds, agreed[key], row["amount"])
            if (key, threshold, agreed[key]) not in raised
        ]
    return tuple(breaches)


_OF_CONTRACT: Mapping[str, Callable[[Connection, Contract], Awaitable[tuple[str, ...]]]] = {
    "each meter = price of its quantity": _meters,
    "each fee is on its charges": _fees,
    "usage is priced under the tariff in force": _tariffs,
    "ceilings = postings: lots": _lots,
    "each threshold reached has its alert": _alerts,
}
