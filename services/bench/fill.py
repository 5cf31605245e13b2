"""Filling raw topics fast: whole batches are built here, as a provider's own producer would build them."""

import asyncio
import time
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaProducer

from services.kafka import RAW_PARTITIONS, raw_topic, started_producer

MESSAGES_A_BATCH = 500
_IN_FLIGHT = 32


async def fill(kafka: str, chunks: Iterable[tuple[str, list[bytes]]], report: Callable[[int], None]) -> None:
    """Write each chunk as one batch into its provider's topic, in turn over the partitions; raises KafkaError."""
    producer = await started_producer(kafka, "bench")
    try:
        waiting: list[asyncio.Future[object]] = []
        for number, (provider, messages) in enumerate(chunks):
            waiting += await _send(producer, raw_topic(provider), number % RAW_PARTITIONS, messages)
            if len(waiting) >= _IN_FLIGHT:
                await asyncio.gather(*waiting)
                waiting = []
            report(len(messages))
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


async def paced(kafka: str, chunks: Iterable[tuple[str, list[bytes]]], events_per_second: float) -> None:
    """Write chunks so that so many messages a second come in, evenly; raises KafkaError."""
    producer = await started_producer(kafka, "bench")
    try:
        began, sent = time.perf_counter(), 0
        waiting: set[asyncio.Future[object]] = set()
        for number, (provider, messages) in enumerate(chunks):
            await asyncio.sleep(max(0.0, began + sent / events_per_second - time.perf_counter()))
            for acknowledged in await _send(producer, raw_topic(provider), number % RAW_PARTITIONS, messages):
                waiting.add(acknowledged)
                acknowledged.add_done_callback(waiting.discard)
            sent += len(messages)
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, messages: list[bytes]
) -> list["asyncio.Future[object]"]:
    """Send messages as one batch, or as few as hold them; return what tells that each is acknowledged."""
    batch, sent = producer.create_batch(), []
    for message in messages:
        if batch.append(key=None, value=message, timestamp=None) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=None, value=message, timestamp=None)
    sent.append(await producer.send_batch(batch, topic, partition=partition))
    return sent
