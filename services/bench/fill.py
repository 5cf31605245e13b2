"""Filling raw topics fast: whole batches are built here, as a provider's own producer would build them."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from services.kafka import RAW_PARTITIONS, raw_topic, started_producer

MESSAGES_A_BATCH = 500
_IN_FLIGHT = 32


async def fill(kafka: str, chunks: Iterable[tuple[str, list[bytes]]], report: Callable[[int], None]) -> int:
    """Write each chunk as one batch into its provider's topic, in turn over the partitions; raises KafkaError.

    Returns how many messages the broker has acknowledged.
    """
    producer = await started_producer(kafka, "bench")
    sent = 0
    try:
        waiting: list[asyncio.Future[object]] = []
        for number, (provider, messages) in enumerate(chunks):
            batches = _batches(producer, messages)
            sent += sum(batch.record_count() for batch in batches)
            waiting += await _send(producer, raw_topic(provider), number % RAW_PARTITIONS, batches)
            if len(waiting) >= _IN_FLIGHT:
                await asyncio.gather(*waiting)
                waiting = []
            report(len(messages))
        await asyncio.gather(*waiting)
        return sent
    finally:
        await producer.stop()


async def paced(kafka: str, chunks: Iterable[tuple[str, list[bytes]]], events_per_second: float) -> datetime:
    """Write chunks so that so many messages a second come in, evenly, and return when it began; raises KafkaError.

    The batches are made before, so that what is measured has the cores for itself.
    """
    producer = await started_producer(kafka, "bench")
    try:
        ready = [(provider, len(messages), _batches(producer, messages)) for provider, messages in chunks]
        began_at = datetime.now(UTC)
        began, sent = time.perf_counter(), 0
        waiting: set[asyncio.Future[object]] = set()
        for number, (provider, count, batches) in enumerate(ready):
            await asyncio.sleep(max(0.0, began + sent / events_per_second - time.perf_counter()))
            for acknowledged in await _send(producer, raw_topic(provider), number % RAW_PARTITIONS, batches):
                waiting.add(acknowledged)
                acknowledged.add_done_callback(waiting.discard)
            sent += count
        await asyncio.gather(*waiting)
        return began_at
    finally:
        await producer.stop()


def _batches(producer: AIOKafkaProducer, messages: list[bytes]) -> list[BatchBuilder]:
    """Return messages as one batch, or as few as hold them."""
    batches = [producer.create_batch()]
    for message in messages:
        if batches[-1].append(key=None, value=message, timestamp=None) is None:
            batches.append(producer.create_batch())
            batches[-1].append(key=None, value=message, timestamp=None)
    return batches


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, batches: list[BatchBuilder]
) -> list["asyncio.Future[object]"]:
    """Send batches; return what tells that each is acknowledged."""
    return [await producer.send_batch(batch, topic, partition=partition) for batch in batches]
