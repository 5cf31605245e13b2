"""The audit: wait until what was under way is through, then check every identity in one snapshot."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import asyncpg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services import contract_store
from services.audit.identities import IDENTITIES
from services.audit.identities_of_contract import OF_CONTRACT
from services.contract.model import Contract
from services.decisions.topic import last_published
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


Check = Callable[[Connection], Awaitable[tuple[str, ...]]]
"""Asks one identity and returns its breaches."""


async def audit(connection: Connection, kafka: str, wait_seconds: float) -> list[Finding]:
    """Check every identity; raises KafkaError or asyncpg's errors when a server is away."""
    async with Offsets(kafka) as offsets:
        behind = await wait_until_through(offsets, wait_seconds)
        await wait_until_published(connection, wait_seconds)
        began = datetime.now(UTC)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            findings = [Finding("everything that came in is through", tuple(behind))]
            for identity, check in checks_of_topics(offsets, kafka, await offsets.committed(INGEST_GROUP)).items():
                findings.append(Finding(identity, await check(connection)))
            findings += await in_database(connection, began)
        return findings


async def in_database(connection: Connection, began: datetime) -> list[Finding]:
    """Check what the database can tell by itself, in the caller's transaction.

    What is younger than `began` may still be under way.
    """
    stored = await contract_store.newest(connection)
    checks = checks_of_database(stored.contract if stored else None, began)
    return [Finding(identity, await check(connection)) for identity, check in checks.items()]


def checks_of_database(contract: Contract | None, began: datetime) -> dict[str, Check]:
    """Return what the database can tell by itself, by identity; each check is to be made in a transaction."""
    checks: dict[str, Check] = {
        identity: partial(_ask, statement=statement, began=began) for identity, statement in IDENTITIES.items()
    }
    if contract is not None:
        checks |= {identity: _under(contract, check) for identity, check in OF_CONTRACT.items()}
    return checks


def _under(contract: Contract, check: Callable[[Connection, Contract], Awaitable[tuple[str, ...]]]) -> Check:
    return lambda connection: check(connection, contract)


async def _ask(connection: Connection, statement: str, began: datetime) -> tuple[str, ...]:
    rows = await connection.fetch(statement, *([began] if "$1" in statement else []))
    return tuple(row[0] for row in rows)


async def wait_until_through(offsets: Offsets, seconds: float) -> list[str]:
    """Wait until every group has read all that was there; return what is still behind when time is up."""
    deadline = asyncio.get_running_loop().time() + seconds
    for group, wanted in HOPS:
        while behind := await _behind(offsets, group, wanted):
            if asyncio.get_running_loop().time() > deadline:
                return behind
            await asyncio.sleep(0.2)
    return []


async def wait_until_published(connection: Connection, seconds: float) -> None:
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


def checks_of_topics(offsets: Offsets, kafka: str, read: Mapping[TopicPartition, int]) -> dict[str, Check]:
    """Return what is compared with the topics, by identity; `read` is how far ingest had read each of them."""
    return {
        "raw = accepted + rejected, by offset": partial(_raw, offsets=offsets, read=read),
        "the topic has every decision": partial(_decisions, kafka=kafka),
    }


async def _decisions(connection: Connection, kafka: str) -> tuple[str, ...]:
    mine, there = await connection.fetchval(_LAST_DECISION), await last_published(kafka)
    return (f"the database has published decisions up to {mine}, the topic ends with {there}",) if mine > there else ()


async def _raw(connection: Connection, offsets: Offsets, read: Mapping[TopicPartition, int]) -> tuple[str, ...]:
    partitions = await offsets.partitions(is_raw)
    begins = await offsets.begin(partitions)
    breaches = []
    for partition in partitions:
        first, end = begins[partition], read.get(partition, begins[partition])
        breaches += [
            f"{partition.topic} partition {partition.partition}: offsets {row['first']} to {row['last']} "
            "were read and are neither rated nor rejected"
            for row in await _missing(connection, partition, first, end)
        ]
    return tuple(breaches)


async def _missing(connection: Connection, place: TopicPartition, first: int, end: int) -> Sequence[asyncpg.Record]:
    provider = place.topic.removeprefix("usage.raw.")
    return await connection.fetch(_MISSING, provider, place.partition, first, end)
