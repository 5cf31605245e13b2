"""Kafka: topics, and clients set so that nothing acknowledged can be lost.

Every topic takes the broker's append time, since usage may be months old and retention must not delete it
for that. Producers wait for all replicas and are idempotent.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAlreadyExistsError, for_code

from services.metrics import RETRIES_TOTAL

log = structlog.get_logger()

ACCEPTED = "usage.accepted"
REJECTED = "usage.rejected"
CHARGES = "charges"
ALERTS = "alerts"
DECISIONS = "decisions"
INGEST_GROUP = "plafond-ingest"
RECORD_GROUP = "plafond-ingest-rejections"
RATING_GROUP = "plafond-rating"
INVOICING_GROUP = "plafond-invoicing"
RAW_PREFIX = "usage.raw."
RAW_PATTERN = r"^usage\.raw\..+"
MESSAGE_SIZE_MAX = 16 * 1024 * 1024
_REJECTED_SIZE_MAX = MESSAGE_SIZE_MAX + 64 * 1024
RAW_PARTITIONS = 2
READ_TIMEOUT_MS = 5_000
FLOW_PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    message_size_max: int = MESSAGE_SIZE_MAX


def raw_topic(provider: str) -> str:
    """Return the topic that a provider writes to."""
    return RAW_PREFIX + provider


def topics(providers: Iterable[str]) -> list[Topic]:
    """Return every topic that the contract's providers and the services need."""
    flow = [
        Topic(ACCEPTED, FLOW_PARTITIONS),
        Topic(CHARGES, FLOW_PARTITIONS),
        Topic(REJECTED, 1, _REJECTED_SIZE_MAX),
        Topic(ALERTS, 1),
        Topic(DECISIONS, 1),
    ]
    return flow + [Topic(raw_topic(provider), RAW_PARTITIONS) for provider in sorted(providers)]


def is_raw(topic: str) -> bool:
    """Tell whether a topic is a provider's."""
    return topic.startswith(RAW_PREFIX)


def bootstrap_servers() -> str:
    """Return PLAFOND_KAFKA, by default localhost:9092."""
    return os.environ.get("PLAFOND_KAFKA", "localhost:9092")


async def started_producer(servers: str, name: str) -> AIOKafkaProducer:
    """Start a producer: acks=all, idempotent, batches compressed; raises KafkaError when there is no broker."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        client_id=name,
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        linger_ms=5,
        max_batch_size=256 * 1024,
        max_request_size=_REJECTED_SIZE_MAX,
        request_timeout_ms=10_000,
    )
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer


def consumer(servers: str, group: str, *names: str) -> AIOKafkaConsumer:
    """Make a consumer that commits only when told to; a killed one's partitions are free after 6 seconds."""
    return AIOKafkaConsumer(
        *names,
        bootstrap_servers=servers,
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


async def ensure_topics(servers: str, wanted: Iterable[Topic]) -> list[str]:
    """Create the topics that are missing and return their names; raises KafkaError when the broker refuses."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=20_000)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in existing]
        if missing:
            response = await admin.create_topics([_new_topic(topic) for topic in missing])
            _refuse_errors(response.topic_errors)
        return [topic.name for topic in missing]
    finally:
        await admin.close()


def _new_topic(topic: Topic) -> NewTopic:
    replicas = int(os.environ.get("PLAFOND_KAFKA_REPLICATION", "1"))
    return NewTopic(
        topic.name,
        topic.partitions,
        replicas,
        topic_configs={
            "min.insync.replicas": str(in_sync_min(replicas)),
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(topic.message_size_max),
            "retention.ms": "-1",
            "cleanup.policy": "delete",
        },
    )


def in_sync_min(replicas: int) -> int:
    """Return how many replicas must have a message before it counts: two of three or more, so that one may be away."""
    return 2 if replicas >= 3 else 1


def _refuse_errors(errors: Iterable[tuple[str, int, str | None]]) -> None:
    for name, code, *message in errors:
        kind: type[KafkaError] = for_code(code)
        if code and kind is not TopicAlreadyExistsError:
            raise kind(f"topic {name}: {message[0] if message and message[0] else kind.__name__}")


class Place(NamedTuple):
    """Where a message stands, and the broker's append time in milliseconds, which tells a topic made anew."""

    topic: str
    partition: int
    offset: int
    received_at: int


class Message(NamedTuple):
    """A message to be sent; no partition means by key."""

    topic: str
    value: bytes
    key: bytes | None = None
    partition: int | None = None


class Sender:
    """Sends until the broker has acknowledged all, however long it is away; one that is not patient raises KafkaError.

    After a failure the producer is made anew: an idempotent producer that gave a batch up cannot go on in sequence.
    A message may then arrive twice, which every reader knows by its id.
    """

    def __init__(self, servers: str, name: str, *, patient: bool = True) -> None:
        self._servers, self._name, self._patient = servers, name, patient
        self._producer: AIOKafkaProducer | None = None
        self._one_at_a_time = asyncio.Lock()  # no caller may stop the producer that another one waits for

    async def send(self, messages: Sequence[Message]) -> None:
        """Return once every message is acknowledged by all in-sync replicas."""
        async with self._one_at_a_time:
            await self._send(messages)

    async def _send(self, messages: Sequence[Message]) -> None:
        pause = 0.2
        while True:
            try:
                producer = await self._started()
                await _acknowledged(
                    [
                        await producer.send(each.topic, each.value, key=each.key, partition=each.partition)
                        for each in messages
                    ]
                )
            except (KafkaError, OSError) as error:
                if isinstance(error, MessageSizeTooLargeError) or not self._patient:
                    raise
                log.warning("kafka.send_failed", service=self._name, error=repr(error), pause_seconds=pause)
                RETRIES_TOTAL.labels(self._name, "kafka").inc()
                await self.stop()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return

    async def stop(self) -> None:
        """Let go of the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(producer.stop(), 5)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await started_producer(self._servers, self._name)
        return self._producer


async def _acknowledged(waiting: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for every acknowledgement, then raise the first error."""
    for answer in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer


async def wait_for_topics(servers: str, wanted: Sequence[Topic]) -> None:
    """Create the topics that are missing, trying for as long as the broker is away."""
    while True:
        try:
            await ensure_topics(servers, wanted)
        except (KafkaError, OSError) as error:
            log.warning("kafka.topics_wait", error=repr(error))
            await asyncio.sleep(1)
        else:
            return


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
            await reader.stop()
            await asyncio.sleep(1)
    try:
        yield reader
    finally:
        await reader.stop()


async def read_at(servers: str, places: Sequence[Place]) -> list[bytes | None]:
    """Return the messages at these places, in their order; None where the topic no longer has that very message.

    Tries for as long as the broker is away.
    """
    while places:
        reader = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
        try:
            await reader.start()
            return [await _read_one(reader, place) for place in places]
        except (KafkaError, OSError) as error:
            log.warning("kafka.read_failed", error=repr(error))
            await asyncio.sleep(1)
        finally:
            await reader.stop()
    return []


async def _read_one(reader: AIOKafkaConsumer, place: Place) -> bytes | None:
    partition = TopicPartition(place.topic, place.partition)
    reader.assign([partition])
    reader.seek(partition, place.offset)
    polled = await reader.getmany(partition, timeout_ms=READ_TIMEOUT_MS, max_records=1)
    for record in polled.get(partition, []):
        if (record.offset, record.timestamp) == (place.offset, place.received_at):
            value: bytes | None = record.value
            return value
    return None
