"""After the database was set back to an older state: it gets back from the topics what it lacks.

Law: what is read again is in the books already or is lost from them; nothing that is lost is left out. Rating commits
the messages of a partition nearly in order (`worker.AT_A_TIME` side by side, a paused worker's beside its successor's),
so what was lost lies behind the last `MARGIN` batches that the database has of each partition.

Everything can be done again: after a kill, the same command goes on from where it was.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import asyncpg
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from services.decisions.records import named
from services.decisions.topic import publish, published
from services.ingest.record import keep, rows_of
from services.invoicing.settle_open import settle_open_months
from services.kafka import ACCEPTED, ALERTS, CHARGES, INVOICING_GROUP, RATING_GROUP, RECORD_GROUP, REJECTED, Sender
from services.offsets import Offsets, move, read_between
from services.postgres import Connection
from services.recovery.alerts import keep_alerts
from services.recovery.lacking import take_over, unpublish
from services.recovery.order import Order
from services.recovery.replay import Replay
from services.recovery.steps import repeat

MARGIN = 100
Offset = dict[TopicPartition, int]
Say = Callable[[str], None]
_GROUPS = {RECORD_GROUP: REJECTED, RATING_GROUP: ACCEPTED, INVOICING_GROUP: CHARGES}

# A partition of which the database has fewer batches begins anew.
_RATED_UNTIL = """
select partition, min(appended_at) as since
from (select partition, appended_at, row_number() over (partition by partition order by batch_no desc) as age
      from rating.batch where partition is not null) as aged
where age <= $1 group by partition having count(*) = $1
"""
_KEPT_UNTIL = "select max(appended_at) from ingest.rejection"
_BEGIN = """
insert into decisions.recovery (partition, since) select * from unnest($1::int[], $2::timestamptz[])
on conflict (partition) do update set since = null where excluded.since is null
"""
_BEGUN = "select partition, since from decisions.recovery"
_END = "delete from decisions.recovery"


class StillReadError(Exception):
    """A service reads that must be stopped."""


class Recovered(NamedTuple):
    """What was decided again, in words, how many batches of usage were read, of how many charges were posted, and where
    in the topics something stands that can't be read.
    """

    decisions: list[str]
    read: int
    posted: int
    unreadable: list[str]


class Topics(NamedTuple):
    """Where the topics begin and end."""

    begins: Offset
    ends: Offset

    def of(self, topic: str) -> tuple[Offset, Offset]:
        """Return the same of one topic."""
        begins = {each: offset for each, offset in self.begins.items() if each.topic == topic}
        return begins, {each: self.ends[each] for each in begins}


async def recover(
    pool: asyncpg.Pool,
    servers: str,
    *,
    everything: bool = False,
    republish: bool = False,
    margin: int = MARGIN,
    say: Say = lambda _: None,
) -> Recovered:
    """Bring the database to where the topics are, and let the services go on from there.

    `everything` reads all topics from their beginning; `republish` first puts back into `decisions` what the database
    has and the topic lacks. Raises StillReadError, and changes nothing, while a service
    reads; LostError or RecoveryError where topics and database contradict each other.
    """
    async with Offsets(servers) as offsets:
        places = await offsets.partitions((*_GROUPS.values(), ALERTS).__contains__)
        topics = Topics(await offsets.begin(places), await offsets.end(places))
        for group, topic in _GROUPS.items():
            # where a group has committed nothing, it begins at the beginning anyway
            await _refuse_members(servers, group, topics.of(topic)[0] | await offsets.committed(group))
        sender = Sender(servers, "recover", patient=False)
        try:
            if republish:
                await _republish(pool, sender, servers)
            there = await published(servers)
            async with pool.acquire() as connection:
                since = await _begin(connection, topics.begins, margin, everything=everything)
                order = await take_over(connection, there)
                await _keep_rejections(connection, servers, offsets, topics, everything=everything)
                unreadable = await keep_alerts(connection, read_between(servers, *topics.of(ALERTS)))
            replay = Replay(pool, sender, servers, offsets, order)
            await _replay(pool, replay, order, await _first(offsets, topics, since), topics.of(ACCEPTED)[1], say)
        finally:
            await sender.stop()
    await settle_open_months(pool)
    for group, topic in _GROUPS.items():
        await move(servers, group, topics.of(topic)[1])
    async with pool.acquire() as connection:
        await connection.execute(_END)
    return Recovered(
        [named(each.record) for each in order.steps], replay.read, replay.posted, there.unreadable + unreadable
    )


async def _republish(pool: asyncpg.Pool, sender: Sender, servers: str) -> None:
    """Put back into the topic what the database has of what was published."""
    there = await published(servers)
    async with pool.acquire() as connection:
        await unpublish(connection, there.decisions)
    await publish(pool, sender)


async def _refuse_members(servers: str, group: str, committed: Offset) -> None:
    """Raise StillReadError where a group has members: what it has committed can't be committed from outside then."""
    try:
        await move(servers, group, committed)
    except CommitFailedError:
        raise StillReadError(
            f"{group} still reads: stop ingest, rating and invoicing, and try again (one that was killed counts as "
            "there for 6 seconds)"
        ) from None


async def _begin(
    connection: Connection, begins: Offset, margin: int, *, everything: bool
) -> dict[int, datetime | None]:
    """Keep since when each partition may have what is missing, None where the database can't tell; a recovery that was
    interrupted goes on from where it began.
    """
    found = {row["partition"]: row["since"] for row in await connection.fetch(_RATED_UNTIL, margin)}
    partitions = [each.partition for each in begins if each.topic == ACCEPTED]
    since = [None if everything else found.get(each) for each in partitions]
    await connection.execute(_BEGIN, partitions, since)
    return {row["partition"]: row["since"] for row in await connection.fetch(_BEGUN)}


async def _first(offsets: Offsets, topics: Topics, since: dict[int, datetime | None]) -> Offset:
    """Return from where on usage is read again."""
    first, _ = topics.of(ACCEPTED)
    for place in first:
        if at := since[place.partition]:
            first |= await offsets.at([place], int(at.timestamp() * 1000))
    return first


async def _keep_rejections(
    connection: Connection, servers: str, offsets: Offsets, topics: Topics, *, everything: bool
) -> None:
    """Keep what was rejected before anything is rated: of conflicting events, the same ones count again."""
    first, ends = topics.of(REJECTED)
    if not everything and (until := await connection.fetchval(_KEPT_UNTIL)):
        first = await offsets.at(list(first), int(until.timestamp() * 1000))
    async for messages in read_between(servers, first, ends):
        await keep(connection, rows_of(messages))


async def _replay(pool: asyncpg.Pool, replay: Replay, order: Order, first: Offset, ends: Offset, say: Say) -> None:
    """Do again, step by step, what was done: rate, post, decide."""
    await replay.prepare()
    for count, step in enumerate(order.steps):
        first = await replay.go_on(count, first, ends)
        say(f"again: {named(step.record)}")
        async with pool.acquire() as connection:
            await repeat(connection, step.record)
    await replay.go_on(len(order.steps), first, ends)
