"""The topic `decisions`: publishing what is entered, and telling whether a database has all that was published.

Law: decisions are published in the order of their numbers, and no service works on a database that lacks one.
"""

import asyncio

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from services.avro import codec
from services.decisions.records import Record, named, records, same
from services.kafka import DECISIONS, Message, Sender
from services.offsets import Offsets, read_between
from services.postgres import TRANSIENT, Connection

log = structlog.get_logger()
_PUBLISHED_AT_ONCE = 500
_LOOK_AGAIN_SECONDS = 1.0

_PUBLISH_ALONE = "select pg_try_advisory_xact_lock(hashtext('publish decisions'))"
_UNPUBLISHED = "select number from decisions.decision where published_at is null order by number limit $1"
_PUBLISHED = "update decisions.decision set published_at = clock_timestamp() where number = any($1::bigint[])"
_LAST = "select coalesce(max(number), 0) from decisions.decision"
_RECOVERING = "select exists (select from decisions.recovery)"


class LostError(Exception):
    """The database was set back to an older state and is not recovered yet."""


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


async def published(servers: str) -> dict[int, Record]:
    """Return what is in the topic, by number; raises LostError where one number stands for two decisions."""
    async with Offsets(servers) as offsets:
        partitions = await offsets.partitions(lambda name: name == DECISIONS)
        first, ends = await offsets.begin(partitions), await offsets.end(partitions)
    found: dict[int, Record] = {}
    async for messages in read_between(servers, first, ends):
        for message in messages:
            each = codec("decision").decode(message.value)
            if not same(found.setdefault(each["number"], each), each):
                raise LostError(
                    f"the topic {DECISIONS} has two decisions {each['number']}: {named(found[each['number']])} and "
                    f"{named(each)}; a restored database was worked on before it was recovered"
                )
    return found


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
    last = await last_published(servers)
    if last > (mine := await connection.fetchval(_LAST)):
        raise LostError(
            f"the database has {mine} decisions and the topic {DECISIONS} {last}: it was set back to an older state; "
            "run `plafond recover` before any service"
        )


async def last_published(servers: str) -> int:
    """Return the number of the last decision in the topic, 0 where there is none."""
    async with Offsets(servers) as offsets:
        partitions = await offsets.partitions(lambda name: name == DECISIONS)
        ends = await offsets.end(partitions)
    last = 0
    async for messages in read_between(servers, {each: max(0, end - 1) for each, end in ends.items()}, ends):
        last = max(last, *(codec("decision").decode(each.value)["number"] for each in messages))
    return last
