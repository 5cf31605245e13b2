"""After the database was set back to an older state: the services read again what it has lost.

Law: what is read again is in the books already or is lost from them; nothing that is lost is left out. Rating commits
the messages of a partition nearly in order (`worker.AT_A_TIME` side by side, a paused worker's beside its successor's),
so what was lost lies behind the last `MARGIN` batches that the database has of each partition. What it has rated and
not posted it has with its charges: these are sent again as they are.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from services.kafka import ACCEPTED, CHARGES, INVOICING_GROUP, RATING_GROUP, RECORD_GROUP, REJECTED, Sender
from services.offsets import Offsets, move
from services.postgres import Connection
from services.rating.unposted import message_of, unposted

MARGIN = 100
_SEND_AT_ONCE = 100

# A partition of which the database has fewer batches begins anew.
_RATED_UNTIL = """
select partition, min(appended_at) as since
from (select partition, appended_at, row_number() over (partition by partition order by batch_no desc) as age
      from rating.batch where partition is not null) as aged
where age <= $1 group by partition having count(*) = $1
"""
_KEPT_UNTIL = "select max(appended_at) from ingest.rejection"


class StillReadError(Exception):
    """A service reads that must be stopped."""


class Rewound(NamedTuple):
    """Where each partition goes on, and how many batches of charges were sent again."""

    first: dict[TopicPartition, int]
    charges: int


async def rewind(connection: Connection, servers: str, *, everything: bool, margin: int = MARGIN) -> Rewound:
    """Let the services read again what the database has lost, or everything there is.

    Rating and the rejections' recorder go back; invoicing goes on at the end, since every charge that it lacks is sent
    again. Raises StillReadError, and moves nothing, while a service reads.
    """
    async with Offsets(servers) as offsets:
        for group in (INVOICING_GROUP, RECORD_GROUP, RATING_GROUP):
            await _refuse_members(servers, group, await offsets.committed(group))
        accepted = await offsets.partitions(lambda name: name == ACCEPTED)
        rejected = await offsets.partitions(lambda name: name == REJECTED)
        first = {**await offsets.begin(accepted), **await offsets.begin(rejected)}
        if not everything:
            since = await _since(connection, rejected, margin)
            for partition in first.keys() & since.keys():
                first |= await offsets.at([partition], int(since[partition].timestamp() * 1000))
        charges = await offsets.end(await offsets.partitions(lambda name: name == CHARGES))
    sent = await send_unposted(connection, servers)  # before invoicing is moved to where they begin
    for group, partitions in ((RECORD_GROUP, rejected), (RATING_GROUP, accepted), (INVOICING_GROUP, charges)):
        await move(servers, group, {each: (first | charges)[each] for each in partitions})
    return Rewound(first | charges, sent)


async def _refuse_members(servers: str, group: str, committed: dict[TopicPartition, int]) -> None:
    """Raise StillReadError where a group has members: what it has committed can't be committed from outside then."""
    try:
        await move(servers, group, committed)
    except CommitFailedError:
        raise StillReadError(
            f"{group} still reads: stop ingest, rating and invoicing, and try again (one that was killed counts as "
            "there for 6 seconds)"
        ) from None


async def _since(
    connection: Connection, rejected: Iterable[TopicPartition], margin: int
) -> dict[TopicPartition, datetime]:
    """Return since when a partition's messages may be missing, where the database can tell."""
    rows = await connection.fetch(_RATED_UNTIL, margin)
    since = {TopicPartition(ACCEPTED, row["partition"]): row["since"] for row in rows}
    if kept_until := await connection.fetchval(_KEPT_UNTIL):
        since |= dict.fromkeys(rejected, kept_until)
    return since


async def send_unposted(connection: Connection, servers: str) -> int:
    """Send the charges of all batches that invoicing has not posted, and return how many batches these were."""
    rows = await unposted(connection)
    sender = Sender(servers, "rewind")
    try:
        for begin in range(0, len(rows), _SEND_AT_ONCE):
            await sender.send([await message_of(connection, row) for row in rows[begin : begin + _SEND_AT_ONCE]])
    finally:
        await sender.stop()
    return len(rows)
