"""The consumer: raw messages in, batches and rejections out, offsets committed only once both are acknowledged.

Delivery is at least once: a process that dies between sending and committing sends the same events again in other
batches, and rating knows each event by (provider, id).
"""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from services.avro import codec
from services.contract_watch import NewestContract
from services.ingest.batch import Sorter
from services.ingest.decide import Accepted, Decider
from services.ingest.events import read
from services.ingest.short import ShortWay
from services.kafka import ACCEPTED, RAW_PREFIX, REJECTED, Message, Sender
from services.metrics import BATCH_EVENTS, BATCH_SECONDS, EVENTS_TOTAL
from services.reasons import Reason, Refusal
from services.rejection import Raw

log = structlog.get_logger()
POLL_WAIT_MS = 200
POLL_EVENTS_MAX = 20_000
FILL_EVENTS_MAX_FRESH = 40_000
FILL_SECONDS = 0.35
BEHIND_SECONDS = 5.0
FILL_SECONDS_BEHIND = 1.0
"""When events are older than that, freshness is lost, and a large batch costs less: its charges are fewer."""
FILL_EVENTS_MAX = 80_000
REJECTED_BYTES_MAX = 8 * 1024 * 1024
"""Rejections carry their message; a batch is closed before they fill the memory."""
SLICE = 250
_NO_VALUE = Refusal(Reason.MALFORMED, "a message without a value")

Polled = dict[TopicPartition, list[ConsumerRecord]]


class Ingest:
    """Reads every provider's topic, decides, passes on."""

    def __init__(self, consumer: AIOKafkaConsumer, sender: Sender, newest: NewestContract, partitions: int) -> None:
        self._consumer, self._sender, self._newest, self._partitions = consumer, sender, newest, partitions
        self._decider: Decider | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            polled = await self._consumer.getmany(timeout_ms=POLL_WAIT_MS, max_records=POLL_EVENTS_MAX)
            if not polled:
                continue
            with BATCH_SECONDS.labels("ingest").time():
                sorter, read = await self._fill(polled)
                await self._sender.send(_messages(sorter))
                await self._commit(read)
            _count(sorter)

    async def _fill(self, polled: Polled) -> tuple[Sorter, dict[TopicPartition, int]]:
        """Sort what was polled and what else comes within a moment, so that a trickle does not become many batches.

        Returns as well, by partition, the offset after the last one read.
        """
        decider, sorter = self._current(), Sorter(self._newest.version, self._partitions)
        read: dict[TopicPartition, int] = {}
        count = sum(map(len, polled.values()))
        oldest = min(records[0].timestamp for records in polled.values()) / 1000
        behind = time.time() - oldest > BEHIND_SECONDS
        seconds, most = (FILL_SECONDS_BEHIND, FILL_EVENTS_MAX) if behind else (FILL_SECONDS, FILL_EVENTS_MAX_FRESH)
        deadline = time.monotonic() + seconds
        while polled:
            await _sort(decider, sorter, polled)
            read |= {place: records[-1].offset + 1 for place, records in polled.items()}
            left = deadline - time.monotonic()
            room = min(POLL_EVENTS_MAX, most - count)
            if not room or left <= 0 or sorter.rejected_bytes > REJECTED_BYTES_MAX:
                break
            polled = await self._consumer.getmany(timeout_ms=min(POLL_WAIT_MS, int(left * 1000)), max_records=room)
            count += sum(map(len, polled.values()))
        return sorter, read

    def _current(self) -> Decider:
        contract = self._newest.contract
        assert contract is not None, "the consumer starts only once there is a contract"
        if self._decider is None or self._decider.contract is not contract:
            self._decider = Decider(contract)
        return self._decider

    async def _commit(self, read: dict[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(read)
        except KafkaError as error:
            # The partitions went to another worker, or the broker is away: the events come again and are known.
            log.warning("ingest.commit_failed", error=repr(error))


async def _sort(decider: Decider, sorter: Sorter, polled: Polled) -> None:
    now = datetime.now(UTC)
    rejected_at = time.time_ns() // 1000
    short_way = ShortWay(decider, sorter, now)
    for place, records in polled.items():
        provider = place.topic.removeprefix(RAW_PREFIX)
        for start in range(0, len(records), SLICE):
            some = records[start : start + SLICE]
            # Who writes one event otherwise mostly writes the next ones so too.
            for record in some[short_way.take(provider, some) :]:
                _sort_one(decider, sorter, provider, record, now, rejected_at)
            await asyncio.sleep(0)  # the gateway answers in between


def _sort_one(
    decider: Decider, sorter: Sorter, provider: str, record: ConsumerRecord, now: datetime, rejected_at: int
) -> None:
    event = _NO_VALUE if record.value is None else read(record.value)
    decision = event if isinstance(event, Refusal) else decider.decide(provider, event, now, record.timestamp)
    if isinstance(decision, Accepted):
        sorter.accept(decision, record.partition, record.offset, record.timestamp)
        return
    event_id = None if isinstance(event, Refusal) else _storable(event.id)
    sorter.reject(_raw(provider, record), event_id, decision, rejected_at)


def _raw(provider: str, record: ConsumerRecord) -> Raw:
    return Raw(provider, record.topic, record.partition, record.offset, record.timestamp, record.key, record.value)


def _storable(event_id: str) -> str | None:
    """Return the id where it can be stored as text: a refused event's may be anything."""
    return event_id[:200] if event_id.isprintable() else None


def _messages(sorter: Sorter) -> list[Message]:
    accepted_at = time.time_ns() // 1000
    batches = [
        Message(
            ACCEPTED, codec("usage_batch").encode(batch.record(sorter.version, accepted_at)), partition=batch.partition
        )
        for batch in sorter.batches
    ]
    return batches + [
        Message(REJECTED, codec("rejection").encode(each), key=each["provider"].encode()) for each in sorter.rejections
    ]


def _count(sorter: Sorter) -> None:
    outcomes = Counter({(provider, "accepted"): count for provider, count in sorter.accepted.items()})
    for batch in sorter.batches:
        BATCH_EVENTS.labels("ingest").observe(len(batch.rows))
    for each in sorter.rejections:
        outcomes[each["provider"], each["reason"]] += 1
    for (provider, outcome), count in outcomes.items():
        EVENTS_TOTAL.labels("ingest", provider, outcome).inc(count)
