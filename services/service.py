"""What a service needs around its work: the database ready, probes, metrics of lag, and an end when a part ends."""

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import asyncpg
import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from services.kafka_security import client
from services.metrics import LAG_MESSAGES
from services.offsets import Offsets, by_topic
from services.postgres import TRANSIENT
from services.standstill import Attention, Watch

log = structlog.get_logger()
LAG_SECONDS = 2.0
STOP_SECONDS_MAX = 10
GC_THRESHOLD = (20_000, 20, 20)
"""A batch is tens of thousands of objects without cycles: Python's own thresholds look through them again and again."""


async def run_together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run parts side by side until SIGTERM or SIGINT; raises when one of them ends or fails."""
    gc.set_threshold(*GC_THRESHOLD)
    gc.collect()
    gc.freeze()  # what is loaded by now stays for good, and no later collection looks at it again
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(part) for part in parts]
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    await _cancel([stopping, *tasks])
    for task in done - {stopping}:
        error = None if task.cancelled() else task.exception()
        raise RuntimeError(f"a part of the service ended by itself: {error!r}") from error


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End tasks, asking again: a worker that is just starting swallows the first cancellation."""
    waiting = set(tasks)
    for _ in range(STOP_SECONDS_MAX):
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=1)
        if not waiting:
            return
    log.warning("service.stop_took_too_long", parts=len(waiting))


async def watch_lag(service: str, kafka: str, group: str, wanted: Callable[[str], bool], attention: Attention) -> None:
    """Keep the metric current that tells how far a group is behind; raises StandsStillError for a stuck reader."""
    watch = Watch(attention)
    while True:
        try:
            async with Offsets(kafka) as offsets:
                while True:
                    behind = await offsets.behind(group, wanted)
                    for topic, messages in by_topic(behind).items():
                        LAG_MESSAGES.labels(service, topic).set(messages)
                    watch.look(behind, time.monotonic())
                    await asyncio.sleep(LAG_SECONDS)
        except (KafkaError, OSError) as error:
            log.warning("lag.unknown", error=repr(error))
            watch.forget()
            await asyncio.sleep(LAG_SECONDS)


async def kafka_answers(kafka: str) -> None:
    """Raise unless a broker answers: one that hangs still accepts connections."""
    probe = AIOKafkaClient(**client(kafka), client_id="plafond-probe")
    try:
        await probe.bootstrap()
    finally:
        await probe.close()


async def postgres_answers(pool: asyncpg.Pool) -> None:
    """Raise unless the database answers."""
    async with pool.acquire() as connection:
        await connection.execute("select 1")


async def forever(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do some work every so many seconds; a database that is away only delays it."""
    while True:
        try:
            await work()
        except TRANSIENT as error:
            log.warning("postgres.failed", error=repr(error))
        await asyncio.sleep(seconds)
