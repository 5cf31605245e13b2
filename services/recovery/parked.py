"""Parked messages: what rating or invoicing could not read, kept whole until someone deals with it.

A message is sent through again once what was amiss is mended (a contract version that was not there, a newer program's
schema), or dismissed with a reason that stays on record. A batch has its own id, so sending it twice costs nothing.
"""

from typing import Any

from services.kafka import Message, Sender
from services.postgres import Connection

SENT_AGAIN = "sent again"
_CHUNK = 50

_LIST = """
select 'rating' as service, topic, partition, "offset", parked_at, error, length(payload) as bytes, resolved_at,
       resolution from rating.parked where $1 or resolved_at is null
union all
select 'invoicing', topic, partition, "offset", parked_at, error, length(payload), resolved_at, resolution
from invoicing.parked where $1 or resolved_at is null
order by parked_at desc
"""
_SCHEMAS = ("rating", "invoicing")
_TAKE = """
select topic, partition, "offset", received_at, payload from rating.parked
where resolved_at is null and parked_at <= $1 order by parked_at limit $2
"""
_RESOLVE = """
update rating.parked set resolved_at = clock_timestamp(), resolution = $1
where resolved_at is null and (topic, partition, "offset", received_at) in (
    select * from unnest($2::text[], $3::int[], $4::bigint[], $5::timestamptz[]))
"""
_DISMISS = """
update rating.parked set resolved_at = clock_timestamp(), resolution = $4
where resolved_at is null and topic = $1 and partition = $2 and "offset" = $3
"""


async def parked(connection: Connection, *, everything: bool) -> list[dict[str, Any]]:
    """Return what is parked, newest first; with `everything` also what was dealt with."""
    return [dict(row) for row in await connection.fetch(_LIST, everything)]


async def send_again(connection: Connection, kafka: str) -> int:
    """Send every parked message to the end of its topic's partition, and return how many there were.

    It is noted once the broker has it. One that still can't be read is parked again, at its new place.
    """
    sender = Sender(kafka, "parked", patient=False)
    began, sent = await connection.fetchval("select clock_timestamp()"), 0
    try:
        for schema in _SCHEMAS:
            while rows := await connection.fetch(_of(schema, _TAKE), began, _CHUNK):
                await sender.send([Message(row["topic"], row["payload"], partition=row["partition"]) for row in rows])
                topics, partitions, offsets, received = (
                    [row[name] for row in rows] for name in ("topic", "partition", "offset", "received_at")
                )
                await connection.execute(_of(schema, _RESOLVE), SENT_AGAIN, topics, partitions, offsets, received)
                sent += len(rows)
    finally:
        await sender.stop()
    return sent


async def dismiss(connection: Connection, topic: str, partition: int, offset: int, reason: str) -> bool:
    """Mark a message as dealt with, with the reason; tells whether there was such a one."""
    tags = [await connection.execute(_of(schema, _DISMISS), topic, partition, offset, reason) for schema in _SCHEMAS]
    return any(tag != "UPDATE 0" for tag in tags)


def _of(schema: str, statement: str) -> str:
    """Return a statement for one service's parked messages; both keep them in the same columns."""
    return statement.replace("rating.parked", f"{schema}.parked")
