"""The consumer: raw messages in, batches and rejections out, offsets committed only once both are acknowledged.

Delivery is at least once: a process that dies between sending and committing sends the same events again in other
batches, and rating knows each event by (provider, id).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from services.avro import codec
from services.contract_watch import NewestContract
from services.ingest.batch import Closed, Sorter
from services.ingest.decide import Accepted, Decider
from services.ingest.delivered import Delivered
from services.ingest.events import read
from services.ingest.short import ShortWay
from services.ingest.turns import Turns
from services.kafka import ACCEPTED, RAW_PREFIX, REJECTED, Message, Sender
from services.metrics import BATCH_EVENTS, BATCH_SECONDS, EVENTS_TOTAL
from services.reasons import Reason, Refusal
from services.rejection import Raw
from services.standstill import Attention

log = structlog.get_logger()
POLL_WAIT_MS = 200
POLL_EVENTS_MAX = 20_000
FILL_EVENTS_MAX_FRESH = 40_000
FILL_SECONDS = 0.45
BEHIND_SECONDS = 5.0
FILL_SECONDS_BEHIND = 1.0
"""When events are older than that, freshness is lost, and a large batch costs less: its charges are fewer."""
FILL_EVENTS_MAX = 80_000
FEW_EVENTS = 5_000
REST_SECONDS = 0.05
"""A poll that brought few events is not repeated at once: a few polls, each of all partitions, cost less than many."""
REJECTED_BYTES_MAX = 8 * 1024 * 1024
"""Rejections carry their message; a batch is closed before they fill the memory."""
SLICE = 250
_NO_VALUE = Refusal(Reason.MALFORMED, "a message without a value")

Polled = dict[TopicPartition, list[ConsumerRecord]]


class Ingest:
    """Reads every provider's topic, decides, passes on: fresh usage in turns, a backlog all at once."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        sender: Sender,
        newest: NewestContract,
        partitions: int,
        attention: Attention,
        delivered: Delivered,
    ) -> None:
        self._consumer, self._sender, self._newest, self._partitions = consumer, sender, newest, partitions
        self._attention, self._delivered = attention, delivered
        attention.partitions = consumer.assignment
        self._turns: Turns[TopicPartition] = Turns(partitions)
        self._turn_seconds = FILL_SECONDS / partitions
        self._decider: Decider | None = None
        self._sorter = Sorter(0, partitions)
        self._uncommitted: dict[TopicPartition, int] = {}
        self._began = self._turned = time.monotonic()
        self._few = False

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            polled = await self._poll()
            if polled:
                await self._take(polled)
            behind = _is_behind(polled)
            if self._is_full(behind=behind):
                await self._pass_on(self._sorter.close(), self._turns.close_all())
            elif not behind and not self._turns.is_through and self._until_turn() <= 0:
                await self._pass_on_next()
            elif self._uncommitted and self._turns.is_through:
                await self._commit({})

    async def _poll(self) -> Polled:
        """Wait for events until it is a partition's turn; where few come, let some gather before."""
        wait = float(POLL_WAIT_MS)
        if not self._turns.is_through:
            if self._few:
                await asyncio.sleep(min(REST_SECONDS, max(0.0, self._until_turn())))
            wait = max(0.0, self._until_turn()) * 1000
        self._attention.waits()
        polled: Polled = await self._consumer.getmany(timeout_ms=int(wait), max_records=POLL_EVENTS_MAX)
        if polled:
            self._attention.works()
        return polled

    async def _take(self, polled: Polled) -> None:
        """Sort what was polled; what was begun under another contract version is passed on before."""
        if self._decider is None or self._decider.contract is not self._newest.contract:
            await self._pass_on(self._sorter.close(), self._turns.close_all())
            assert self._newest.contract is not None, "the consumer starts only once there is a contract"
            self._decider = Decider(self._newest.contract)
            self._sorter = Sorter(self._newest.version, self._partitions, contract=self._newest.sha256)
        if self._turns.is_through:
            self._began = self._turned = time.monotonic()
        await _sort(self._decider, self._sorter, polled)
        self._few = sum(map(len, polled.values())) < FEW_EVENTS
        self._turns.read({place: records[-1].offset + 1 for place, records in polled.items()})

    def _until_turn(self) -> float:
        return self._turned + self._turn_seconds - time.monotonic()

    def _is_full(self, *, behind: bool) -> bool:
        """Tell whether all batches are to be closed: a backlog's after a second, others only when they are large."""
        most = FILL_EVENTS_MAX if behind else FILL_EVENTS_MAX_FRESH
        is_late = behind and time.monotonic() - self._began > FILL_SECONDS_BEHIND
        return is_late or self._sorter.events > most or self._sorter.rejected_bytes > REJECTED_BYTES_MAX

    async def _pass_on_next(self) -> None:
        """Pass on the batches whose turn it is; where nothing else is left, everything is through."""
        self._turned = max(self._turned + self._turn_seconds, time.monotonic() - self._turn_seconds)
        closed = self._sorter.close(self._turns.close_next())
        through = self._turns.close_all() if self._sorter.is_empty else self._turns.closed_before_all()
        await self._pass_on(closed, through)

    async def _pass_on(self, closed: Closed, through: Mapping[TopicPartition, int]) -> None:
        """Send what was closed, and commit what is through with that."""
        with BATCH_SECONDS.labels("ingest").time():
            await self._sender.send(_messages(closed, self._sorter))
            await self._commit(through)
        self._began = time.monotonic()
        _count(closed)
        self._delivered.note(provider for provider, count in closed.accepted.items() if count)

    async def _commit(self, through: Mapping[TopicPartition, int]) -> None:
        self._uncommitted |= through
        mine = self._consumer.assignment()
        self._uncommitted = {place: offset for place, offset in self._uncommitted.items() if place in mine}
        if not self._uncommitted:
            return
        try:
            await self._consumer.commit(self._uncommitted)
        except KafkaError as error:
            # The partitions went to another worker, or the broker is away: it is tried again, as long as they are ours.
            log.warning("ingest.commit_failed", error=repr(error))
        else:
            self._uncommitted = {}


def _is_behind(polled: Polled) -> bool:
    """Tell whether events are so old that large batches, which cost less, matter more than freshness."""
    oldest = min((records[0].timestamp for records in polled.values()), default=None)
    return oldest is not None and time.time() - oldest / 1000 > BEHIND_SECONDS


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


def _messages(closed: Closed, sorter: Sorter) -> list[Message]:
    accepted_at = time.time_ns() // 1000
    batches = [
        Message(ACCEPTED, codec("usage_batch").encode(record), partition=batch.partition)
        for batch in closed.batches
        for record in [batch.record(sorter.version, accepted_at, sorter.contract)]
    ]
    return batches + [
        Message(REJECTED, codec("rejection").encode(each), key=each["provider"].encode()) for each in closed.rejections
    ]


def _count(closed: Closed) -> None:
    outcomes = Counter({(provider, "accepted"): count for provider, count in closed.accepted.items()})
    for batch in closed.batches:
        BATCH_EVENTS.labels("ingest").observe(len(batch.rows))
    for each in closed.rejections:
        outcomes[each["provider"], each["reason"]] += 1
    for (provider, outcome), count in outcomes.items():
        EVENTS_TOTAL.labels("ingest", provider, outcome).inc(count)
