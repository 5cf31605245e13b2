"""Kafka: topics, and clients set so that nothing acknowledged can be lost.

Every topic takes the broker's append time, since usage may be months old and retention must not delete it
for that. Producers wait for all replicas and are idempotent.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, TopicAlreadyExistsError, for_code

from services.kafka_security import client
from services.metrics import RETRIES_TOTAL

log = structlog.get_logger()

ACCEPTED = "usage.accepted"
REJECTED = "usage.rejected"
CHARGES = "charges"
ALERTS = "alerts"
DECISIONS = "decisions"
DELIVERIES = "deliveries"
INGEST_GROUP = "plafond-ingest"
RECORD_GROUP = "plafond-ingest-rejections"
RATING_GROUP = "plafond-rating"
INVOICING_GROUP = "plafond-invoicing"
RAW_PREFIX = "usage.raw."
RAW_PATTERN = r"^usage\.raw\..+"
MESSAGE_SIZE_MAX = 16 * 1024 * 1024
_REJECTED_SIZE_MAX = MESSAGE_SIZE_MAX + 64 * 1024
RAW_PARTITIONS = 2
FLOW_PARTITIONS = 4
STOP_SECONDS_MAX = 5.0
SEND_SECONDS_MAX = 20.0
"""After that long without any answer a send is tried with a new connection, should the old one be stuck."""


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
        Topic(DELIVERIES, 1),
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
        **client(servers),
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
        await let_go(producer)
        raise
    return producer


async def let_go(*clients: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """Stop clients, whatever state they are in; where that goes wrong, it is logged and nobody waits for it.

    A consumer waits for the fetch that it cancels, and the cancellation comes out of its stop() as if it were meant for
    the caller (aiokafka 0.14, while the broker is away). So each is stopped in a task of its own.
    """
    stopping = [asyncio.create_task(_stop(each)) for each in clients]
    done, late = await asyncio.wait(stopping, timeout=STOP_SECONDS_MAX)
    for task in late:
        log.warning("kafka.stop_took_too_long", seconds=STOP_SECONDS_MAX)
        task.cancel()
    for task in done:
        if not task.cancelled() and (error := task.exception()):
            log.warning("kafka.stop_failed", error=repr(error))


async def _stop(client: Any) -> None:
    """Stop a client; a stop() that fails half-way would leave its connections open."""
    if isinstance(client, AIOKafkaAdminClient):
        await client.close()
        return
    try:
        await client.stop()
    finally:
        await (client.client if isinstance(client, AIOKafkaProducer) else client._client).close()


async def ensure_topics(servers: str, wanted: Iterable[Topic]) -> list[str]:
    """Create the topics that are missing and return their names; raises KafkaError when the broker refuses."""
    async with admin_of(servers) as admin:
        existing = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in existing]
        if missing:
            response = await admin.create_topics([_new_topic(topic) for topic in missing])
            _refuse_errors(response.topic_errors)
        return [topic.name for topic in missing]


async def put_settings_right(servers: str, wanted: Sequence[Topic]) -> list[str]:
    """Give topics that are there the settings that they should have, and return the names of those that had others."""
    async with admin_of(servers) as admin:
        resources = [ConfigResource(ConfigResourceType.TOPIC, each.name) for each in wanted]
        found = {
            resource[3]: {entry[0]: entry[1] for entry in resource[4]}
            for answer in await admin.describe_configs(resources)
            for resource in answer.resources
        }
        other = [each for each in wanted if not _settings(each).items() <= found[each.name].items()]
        if other:
            changed = [ConfigResource(ConfigResourceType.TOPIC, each.name, _settings(each)) for each in other]
            for answer in await admin.alter_configs(changed):
                _refuse_errors((name, code, text) for code, text, _, name in answer.resources)
        return [each.name for each in other]


@asynccontextmanager
async def admin_of(servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a client that administers; raises KafkaError where no broker answers."""
    admin = AIOKafkaAdminClient(**client(servers), request_timeout_ms=20_000)
    try:
        await admin.start()
        yield admin
    finally:
        await let_go(admin)


def _new_topic(topic: Topic) -> NewTopic:
    return NewTopic(topic.name, topic.partitions, _replicas(), topic_configs=_settings(topic))


def _replicas() -> int:
    return int(os.environ.get("PLAFOND_KAFKA_REPLICATION", "1"))


def _settings(topic: Topic) -> dict[str, str]:
    return {
        "min.insync.replicas": str(in_sync_min(_replicas())),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(topic.message_size_max),
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
    }


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
                await self._try(messages)
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

    async def _try(self, messages: Sequence[Message]) -> None:
        producer = await asyncio.wait_for(self._started(), SEND_SECONDS_MAX)
        await _acknowledged(
            [await producer.send(each.topic, each.value, key=each.key, partition=each.partition) for each in messages]
        )

    async def stop(self) -> None:
        """Let go of the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await let_go(producer)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await started_producer(self._servers, self._name)
        return self._producer


async def _acknowledged(waiting: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for every acknowledgement; raises the first error, and KafkaTimeoutError where nothing comes any more."""
    pending = set(waiting)
    while pending:
        done, pending = await asyncio.wait(pending, timeout=SEND_SECONDS_MAX)
        if not done:
            raise KafkaTimeoutError(f"no acknowledgement within {SEND_SECONDS_MAX} s")
    for answer in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(answer, asyncio.CancelledError):
            raise KafkaError("the producer gave a message up")
        if isinstance(answer, BaseException):
            raise answer


async def wait_for_topics(servers: str, wanted: Sequence[Topic]) -> None:
    """Create the topics that are missing, trying for as long as the broker is away, or lets only operators do that."""
    while True:
        try:
            await ensure_topics(servers, wanted)
        except (KafkaError, OSError) as error:
            log.warning("kafka.topics_wait", error=repr(error))
            await asyncio.sleep(1)
        else:
            return
