"""Reading from Kafka: in a group, or the messages at some places."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError

from services.kafka import Place, let_go
from services.kafka_security import client

log = structlog.get_logger()
READ_TIMEOUT_MS = 5_000
READ_TRIES = 5


def consumer(servers: str, group: str, *names: str) -> AIOKafkaConsumer:
    """Make a consumer that commits only when told to; a killed one's partitions are free after 6 seconds."""
    return AIOKafkaConsumer(
        *names,
        **client(servers),
        group_id=group,
        client_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
        heartbeat_interval_ms=2_000,
        rebalance_timeout_ms=6_000,
        metadata_max_age_ms=5_000,
        fetch_max_bytes=32 * 1024 * 1024,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )


@contextlib.asynccontextmanager
async def reading(servers: str, group: str, *names: str, pattern: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    """Read topics in a group, by name or by pattern; waits for the broker, and leaves the group in the end."""
    while True:
        reader = consumer(servers, group, *names)
        if pattern is not None:
            reader.subscribe(pattern=pattern)
        try:
            await reader.start()
            break
        except (KafkaError, OSError) as error:
            log.warning("kafka.start_failed", group=group, error=repr(error))
            await let_go(reader)
            await asyncio.sleep(1)
    try:
        yield reader
    finally:
        await let_go(reader)


async def read_at(servers: str, places: Sequence[Place]) -> list[bytes | None]:
    """Return the messages at these places, in their order; None where the topic no longer has that very message.

    Tries for as long as the broker is away. A broker that answers and still does not give a message after `READ_TRIES`
    no longer has its topic.
    """
    found: list[bytes | None] = []
    tries = 0
    while len(found) < len(places):
        reader = AIOKafkaConsumer(**client(servers), enable_auto_commit=False, request_timeout_ms=2 * READ_TIMEOUT_MS)
        try:
            await reader.start()
            tries += 1
            for place in places[len(found) :]:
                found.append(await _read_one(reader, place))
                tries = 0
        except (KafkaError, OSError) as error:
            log.warning("kafka.read_failed", error=repr(error), **places[len(found)]._asdict())
            if tries == READ_TRIES:
                found.append(None)
                tries = 0
            await asyncio.sleep(1)
        finally:
            await let_go(reader)
    return found


async def _read_one(reader: AIOKafkaConsumer, place: Place) -> bytes | None:
    """Return one message, or None where it can't be there any more; raises KafkaError when the broker gives nothing."""
    partition = TopicPartition(place.topic, place.partition)
    reader.assign([partition])
    begin, end = await reader.beginning_offsets([partition]), await reader.end_offsets([partition])
    if not begin[partition] <= place.offset < end[partition]:
        return None
    reader.seek(partition, place.offset)
    polled = await reader.getmany(partition, timeout_ms=READ_TIMEOUT_MS, max_records=1)
    for record in polled.get(partition, []):
        is_it = (record.offset, record.timestamp) == (place.offset, place.received_at)
        return record.value if is_it else None
    raise KafkaTimeoutError(f"nothing came of {partition} within {READ_TIMEOUT_MS} ms")
