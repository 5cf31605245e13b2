"""The gateway's way into Kafka: all of a request's events acknowledged in time, or an error at once."""

import asyncio
from collections.abc import Sequence
from itertools import count

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.kafka import started_producer

log = structlog.get_logger()
SECONDS_MAX = 5.0
BYTES_IN_FLIGHT_MAX = 64 * 1024 * 1024


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

    async def send(self, topic: str, events: Sequence[bytes]) -> None:
        """Return once all replicas have every event; raises UnavailableError, after which some may still arrive."""
        size = sum(map(len, events))
        if self._bytes_in_flight + size > BYTES_IN_FLIGHT_MAX:
            raise UnavailableError("too much is waiting to be stored")
        self._bytes_in_flight += size
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await self._send(topic, events)
        except (KafkaError, OSError) as error:  # a timeout is an OSError too
            log.warning("gateway.kafka_unavailable", error=repr(error))
            await self.stop()
            raise UnavailableError("the log of events does not answer") from error
        finally:
            self._bytes_in_flight -= size

    async def stop(self) -> None:
        """Let go of the connection; the next event opens it again."""
        old, self._producer = self._producer, None
        if old is not None:
            self._stopping = asyncio.create_task(_stop(old))

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


async def _stop(old: AIOKafkaProducer) -> None:
    try:
        await asyncio.wait_for(old.stop(), SECONDS_MAX)
    except (KafkaError, OSError) as error:
        log.warning("gateway.producer_stop", error=repr(error))
