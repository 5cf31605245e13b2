"""A Faust worker around one agent: takes a message, hands it on, acknowledges it only once it is done.

By itself Faust acknowledges a message whenever its agent lets go of it: when it raised, and also when the worker is
stopped in the middle. So messages are acknowledged here, by hand, after the work: work that a server's absence stopped
is tried again for as long as it takes, a message that can't be read is parked, and any other error stops the worker.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, TypeVar

import asyncpg
import faust
import structlog

from services.avro import UnreadableError
from services.kafka import Place
from services.kafka_security import Security, own_security
from services.metrics import BATCH_SECONDS, PARKED_TOTAL, RETRIES_TOTAL
from services.postgres import TRANSIENT
from services.standstill import Attention

log = structlog.get_logger()
PAUSE_SECONDS_MAX = 5.0
STOP_SECONDS_MAX = 5.0
COMMIT_AGAIN_SECONDS = 2.0
FETCH_SIZE_MAX = 1024 * 1024
"""Bytes that are fetched ahead of a partition; the broker sends at least one message, however large."""
METADATA_AGE_MS_MAX = 5_000
"""A broker that has just started may not know every topic yet; by itself Faust would ask again after 300 s."""
STREAM_BUFFER_MAX = 4
"""Messages that wait in a worker: batches are megabytes, and a backlog belongs to the broker."""
ERROR_LENGTH_MAX = 2_000
AT_A_TIME = 3
"""While the database works on one batch, others are decoded; with more, all of them end late. Sums don't care which
comes first."""

UNREADABLE = (UnreadableError, LookupError, ValueError, ArithmeticError, asyncpg.DataError)
"""Errors that the message itself causes: the same message would cause them for ever."""


T = TypeVar("T")
Handle = Callable[[bytes, Place], Awaitable[None]]
Park = Callable[[Place, str, bytes], Awaitable[None]]


def make_app(name: str, kafka: str, instance: str) -> faust.App:
    """Make a Faust app that commits at least once and whose partitions are free 6 seconds after it dies."""
    return faust.App(
        f"plafond-{name}",
        broker=[f"aiokafka://{server}" for server in kafka.split(",")],
        broker_client_id=f"plafond-{name}-{instance}",
        value_serializer="raw",
        key_serializer="raw",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        broker_rebalance_timeout=6.0,
        broker_commit_interval=0.5,
        broker_commit_every=100,
        consumer_max_fetch_size=FETCH_SIZE_MAX,
        consumer_metadata_max_age_ms=METADATA_AGE_MS_MAX,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=STREAM_BUFFER_MAX,
        stream_wait_empty=False,
        processing_guarantee="at_least_once",
        store="memory://",
        broker_credentials=_credentials(own_security()),
    )


def _credentials(security: Security) -> faust.SSLCredentials | faust.SASLCredentials | None:
    """Return the same for Faust as `kafka_security.client` has for others."""
    if security.protocol == "SSL":
        return faust.SSLCredentials(context=security.ssl_context())
    if security.protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=security.mechanism, username=security.username, password=security.password,
            ssl_context=security.ssl_context() if security.protocol == "SASL_SSL" else None,
        )  # fmt: skip
    return None


def add_agent(app: faust.App, name: str, topic: str, handle: Handle, park: Park) -> Attention:
    """Let the app read a topic and hand its messages to `handle`, `AT_A_TIME` at a time; tells what it is at."""
    source = app.topic(topic, key_serializer="raw", value_serializer="raw", internal=False)
    in_hand = InHand(app, lambda event: _take(app, name, event, handle, park))

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            await in_hand.add(event)

    app.agent(source, name=f"{name}-{topic}")(agent)
    revoked: Any = app.on_partitions_revoked
    revoked.connect(in_hand.forget, weak=False)
    app.timer(COMMIT_AGAIN_SECONDS)(in_hand.commit_again)
    in_hand.attention.partitions = lambda: set(app.consumer.assignment())
    return in_hand.attention


class InHand:
    """Events that are worked on side by side, and acknowledged in the order in which they came.

    Faust counts an event as done once a later one of its partition is acknowledged, and forgets a commit that failed
    until the next one. So none is acknowledged before those that came earlier, and what is done is committed again.
    """

    def __init__(self, app: faust.App, work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        self._app, self._work = app, work
        self._room = asyncio.Semaphore(AT_A_TIME)
        self._queue: deque[tuple[Any, asyncio.Task[None]]] = deque()
        self._done: dict[Any, int] = {}
        self._strays: set[int] = set()
        self._ending: asyncio.Task[None] | None = None
        self.attention = Attention()
        self.attention.waits()

    async def add(self, event: Any) -> None:
        """Begin to work on an event, once there is room."""
        self.attention.works()
        await self._room.acquire()
        task = asyncio.create_task(self._work(event))
        self._queue.append((event, task))
        task.add_done_callback(self._acknowledge)

    async def forget(self, _app: faust.App, revoked: Iterable[Any], **_: Any) -> None:
        """Commit nothing more for partitions that another worker may have by now, nor for what is in hand of them."""
        gone = set(revoked)
        for partition in gone:
            self._done.pop(partition, None)
        self._strays |= {id(event) for event, _ in self._queue if event.message.tp in gone}

    async def commit_again(self) -> None:
        """Commit what is done."""
        if self._done and not self._app.rebalancing:
            consumer: Any = self._app.consumer
            await consumer._commit_offsets(dict(self._done))  # there is no public way

    def _acknowledge(self, _task: asyncio.Task[None]) -> None:
        while self._queue and self._queue[0][1].done():
            event, task = self._queue[0]
            if task.cancelled() or task.exception():
                self._end(task)  # neither it nor what came after it is acknowledged
                return
            self._queue.popleft()
            self._room.release()
            if id(event) in self._strays:
                self._strays.remove(id(event))
                continue
            event.ack()
            self._done[event.message.tp] = event.message.offset + 1
        if not self._queue:
            self.attention.waits()

    def _end(self, task: asyncio.Task[None]) -> None:
        """End the worker, which would stand still for ever behind work that nobody does any more.

        A library's cancellation that leaks out of the work must not pass for one of ours, which only a stop causes.
        """
        if self._ending is None and not self._app.should_stop:
            found = None if task.cancelled() else task.exception()
            error = found or RuntimeError("the work was cancelled, and not by a stop")
            log.error("worker.stops", error=repr(error))
            self._ending = asyncio.create_task(self._app.crash(error))


async def _take(app: faust.App, name: str, event: Any, handle: Handle, park: Park) -> None:
    began = time.perf_counter()
    value: bytes = event.message.value or b""
    place = _place(event.message)
    try:
        try:
            await patiently(name, lambda: handle(value, place))
        except UNREADABLE as error:
            log.exception("message.parked", **place._asdict())
            await patiently(name, partial(park, place, repr(error)[:ERROR_LENGTH_MAX], value))
            PARKED_TOTAL.labels(name).inc()
    except Exception as error:
        log.exception("worker.stops", **place._asdict())
        await app.crash(error)
        await asyncio.Event().wait()
    BATCH_SECONDS.labels(name).observe(time.perf_counter() - began)


async def patiently(name: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work, again and again while the database is away."""
    pause = 0.1
    while True:
        try:
            return await work()
        except TRANSIENT as error:
            log.warning("postgres.failed", error=repr(error), pause_seconds=pause)
            RETRIES_TOTAL.labels(name, "postgres").inc()
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)


def _place(message: Any) -> Place:
    return Place(message.topic, message.partition, message.offset, round(message.timestamp * 1000))


async def run_app(app: faust.App) -> None:
    """Run the worker until cancelled; raises what crashed it."""
    await app.start()
    try:
        await app.wait_until_stopped()
    finally:
        try:
            await asyncio.wait_for(app.stop(), STOP_SECONDS_MAX)
        except TimeoutError:
            log.warning("worker.stop_took_too_long", seconds=STOP_SECONDS_MAX)
    if app.crash_reason is not None:
        raise app.crash_reason
