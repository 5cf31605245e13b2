"""The topic `decisions`: publishing what is entered, and telling whether a database has all that was published.

Law: decisions are published in the order of their numbers, and no service works on a database that lacks one.
"""

import asyncio
from typing import NamedTuple

import asyncpg
import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from services.avro import UnreadableError, codec
from services.decisions.records import Record, named, records, same
from services.kafka import DECISIONS, Message, Sender
from services.offsets import Offsets, read_between
from services.postgres import TRANSIENT, Connection

log = structlog.get_logger()
_PUBLISHED_AT_ONCE = 500
_LOOK_AGAIN_SECONDS = 1.0
_NEAR_THE_END = 20

_PUBLISH_ALONE = "select pg_try_advisory_xact_lock(hashtext('publish decisions'))"
_UNPUBLISHED = "select number from decisions.decision where published_at is null order by number limit $1"
_PUBLISHED = "update decisions.decision set published_at = clock_timestamp() where number = any($1::bigint[])"
_LAST = "select coalesce(max(number), 0) from decisions.decision"
_LAST_PUBLISHED = "select coalesce(max(number), 0) from decisions.decision where published_at is not null"
_RECOVERING = "select exists (select from decisions.recovery)"


class LostError(Exception):
    """The database was set back to an older state and is not recovered yet, or the topic was."""


class Published(NamedTuple):
    """What is in the topic: decisions by number, and in words where something stands that can't be read."""

    decisions: dict[int, Record]
    unreadable: list[str]


async def publish(pool: asyncpg.Pool, sender: Sender) -> None:
    """Publish every decision that waits; one that is sent twice has the same number."""
    async with pool.acquire() as connection:
        while await _publish_some(connection, sender):
            pass


async def _publish_some(connection: Connection, sender: Sender) -> bool:
    async with connection.transaction():
        if not await connection.fetchval(_PUBLISH_ALONE):
            return False
        numbers = [row["number"] for row in await connection.fetch(_UNPUBLISHED, _PUBLISHED_AT_ONCE)]
        if not numbers:
            return False
        for each in await records(connection, numbers):
            await sender.send([Message(DECISIONS, codec("decision").encode(each), partition=0)])
        await connection.execute(_PUBLISHED, numbers)
        return len(numbers) == _PUBLISHED_AT_ONCE


async def published(servers: str) -> Published:
    """Return what is in the topic; raises LostError where one number stands for two decisions."""
    first, ends = await _places(servers)
    found: dict[int, Record] = {}
    unreadable = []
    async for messages in read_between(servers, first, ends):
        for message in messages:
            try:
                each = codec("decision").decode(message.value)
            except UnreadableError as error:
                unreadable.append(f"{DECISIONS} partition {message.partition} offset {message.offset}: {error}")
                continue
            if not same(found.setdefault(each["number"], each), each):
                raise LostError(
                    f"the topic {DECISIONS} has two decisions {each['number']}: {named(found[each['number']])} and "
                    f"{named(each)}; a restored database was worked on before it was recovered"
                )
    return Published(found, unreadable)


async def wait_until_whole(pool: asyncpg.Pool, servers: str) -> None:
    """Raise LostError where the database lacks decisions that are published, or its recovery was not ended.

    Waits for servers that are away.
    """
    while True:
        try:
            async with pool.acquire() as connection:
                await _refuse_lost(connection, servers)
        except (KafkaError, *TRANSIENT) as error:
            log.warning("decisions.wait", error=repr(error))
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        else:
            return


async def _refuse_lost(connection: Connection, servers: str) -> None:
    if await connection.fetchval(_RECOVERING):
        raise LostError("the recovery of the database was not ended: run `plafond recover` again")
    told = await connection.fetchval(_LAST_PUBLISHED)  # before the topic: it may be published more meanwhile
    last = await last_published(servers)
    if last < told:
        raise LostError(
            f"the topic {DECISIONS} ends with decision {last}, and {told} was published: it was emptied, cut or made "
            "anew; where the database is whole, `plafond recover --republish` puts back what the topic lacks"
        )
    if last > (mine := await connection.fetchval(_LAST)):
        raise LostError(
            f"the database has {mine} decisions and the topic {DECISIONS} {last}: it was set back to an older state; "
            "run `plafond recover` before any service"
        )


async def last_published(servers: str) -> int:
    """Return the highest number near the end of the topic, 0 where it has no decision.

    What can't be read is passed over; where nothing can that is near the end, all is read.
    """
    begins, ends = await _places(servers)
    for count in (_NEAR_THE_END, max(ends.values(), default=0)):
        first = {each: max(begins[each], end - count) for each, end in ends.items()}
        last = 0
        async for messages in read_between(servers, first, ends):
            last = max(last, *map(_number, messages))
        if last:
            return last
    return 0


async def _places(servers: str) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return where the topic begins and ends."""
    async with Offsets(servers) as offsets:
        partitions = await offsets.partitions(DECISIONS.__eq__)
        return await offsets.begin(partitions), await offsets.end(partitions)


def _number(message: ConsumerRecord) -> int:
    """Return a decision's number, 0 of a message that can't be read."""
    try:
        number: int = codec("decision").decode(message.value)["number"]
    except UnreadableError as error:
        log.warning("decisions.unreadable", partition=message.partition, offset=message.offset, error=str(error))
        return 0
    return number
