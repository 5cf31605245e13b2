"""The gateway's way into Kafka: all of a request's events acknowledged in time, or an error at once.

What comes for a topic while an earlier write is under way is written together after it. Kafka's client has one batch
of a partition under way at a time, so a batch a request would let 200 requests a second through, and few more.
"""

import asyncio
from collections.abc import Sequence
from itertools import count

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.kafka import let_go, started_producer

log = structlog.get_logger()
SECONDS_MAX = 5.0
BYTES_IN_FLIGHT_MAX = 64 * 1024 * 1024
BYTES_TOGETHER_MAX = 8 * 1024 * 1024
_Waiting = list[tuple[Sequence[bytes], "asyncio.Future[None]"]]


class UnavailableError(Exception):
    """Kafka did not acknowledge in time, or too much is waiting for it already."""


class Outlet:
    """Writes events as batches that are made here, since a future an event would cost more than the event."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._turn = count()
        self._bytes_in_flight = 0
        self._waiting: dict[str, _Waiting] = {}
        self._writers: dict[str, asyncio.Task[None]] = {}

    async def send(self, topic: str, events: Sequence[bytes]) -> None:
        """Return once all replicas have every event; raises UnavailableError, after which some may still arrive."""
        size = sum(map(len, events))
        if self._bytes_in_flight + size > BYTES_IN_FLIGHT_MAX:
            raise UnavailableError("too much is waiting to be stored")
        self._bytes_in_flight += size
        try:
            written = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(topic, []).append((events, written))
            if topic not in self._writers:
                self._writers[topic] = asyncio.create_task(self._write(topic))
            async with asyncio.timeout(2 * SECONDS_MAX):
                await written
        except TimeoutError as error:
            raise UnavailableError("too much is waiting to be stored") from error
        finally:
            self._bytes_in_flight -= size

    async def stop(self) -> None:
        """Let go of the connection; the next event opens it again."""
        old, self._producer = self._producer, None
        if old is not None:
            self._stopping = asyncio.create_task(let_go(old))

    async def _write(self, topic: str) -> None:
        """Write what waits for a topic until nothing does. Where that fails, all of it is given up at once."""
        together: _Waiting = []
        try:
            while together := self._take(topic):
                error = await self._try([event for events, _ in together for event in events], topic)
                _answer(together + (self._waiting.pop(topic, []) if error else []), error)
        finally:
            del self._writers[topic]
            _answer(together + self._waiting.pop(topic, []), UnavailableError("the gateway is stopping"))

    def _take(self, topic: str) -> _Waiting:
        """Return the next requests of a topic that are written together: at least one, if any waits."""
        waiting, size, taken = self._waiting.pop(topic, []), 0, 0
        for events, _ in waiting:
            size += sum(map(len, events))
            if taken and size > BYTES_TOGETHER_MAX:
                break
            taken += 1
        if waiting[taken:]:
            self._waiting[topic] = waiting[taken:]
        return waiting[:taken]

    async def _try(self, events: Sequence[bytes], topic: str) -> UnavailableError | None:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await self._send(topic, events)
        except (KafkaError, OSError) as error:  # a timeout is an OSError too
            log.warning("gateway.kafka_unavailable", error=repr(error))
            await self.stop()
            return UnavailableError("the log of events does not answer")
        return None

    async def _send(self, topic: str, events: Sequence[bytes]) -> None:
        sending = await self._started()
        partitions = sorted(await sending.partitions_for(topic))
        partition = partitions[next(self._turn) % len(partitions)]
        batch, acknowledgements = sending.create_batch(), []
        for event in events:
            if batch.append(key=None, value=event, timestamp=None) is None:
                acknowledgements.append(await sending.send_batch(batch, topic, partition=partition))
                batch = sending.create_batch()
                batch.append(key=None, value=event, timestamp=None)
        acknowledgements.append(await sending.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*acknowledgements)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await started_producer(self._servers, "gateway")
        return self._producer


def _answer(waiting: _Waiting, error: UnavailableError | None) -> None:
    for _, written in waiting:
        if written.done():
            continue  # the client went away
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(UnavailableError(*error.args))
