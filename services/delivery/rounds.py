"""The rounds of delivery: what was issued is made and queued for whoever is to have it; each channel sends what is due.

Law: before an e-mail is sent, the topic `deliveries` has it that this attempt alone may send it; how that ended is
kept in the topic and in the outbox. A server in trouble is asked with one delivery, not with all that wait for it.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import structlog

from services import contract_store
from services.contract.model import Contract
from services.delivery import outbox
from services.delivery.channels import Tried, Way
from services.delivery.documents import Documents, MissingError
from services.delivery.metrics import ATTEMPTS_TOTAL
from services.delivery.outbox import Channel, Delivery
from services.delivery.outcome import Outcome, State
from services.postgres import Connection

AT_ONCE = 100
STOP_SECONDS_MAX = 8.0
REST_SECONDS, REST_SECONDS_MAX = 30.0, 600.0
"""So long a channel rests after trouble with its server, twice as long each time, up to a limit."""

log = structlog.get_logger()


class Rounds:
    """Makes and queues, and sends by each way; of several workers, one at a time does each of these."""

    def __init__(self, pool: asyncpg.Pool, documents: Documents, ways: Sequence[Way]) -> None:
        self._pool, self._documents = pool, documents
        self._ways = {each.channel: each for each in ways}
        self._rests: dict[Channel, tuple[float, float]] = {}

    @property
    def channels(self) -> list[Channel]:
        """The channels that are set up."""
        return list(self._ways)

    async def prepare(self) -> None:
        """Make what was issued, and give each channel what it has not been given of that."""
        async with self._alone("make") as connection:
            newest = await contract_store.newest(connection) if connection else None
            if connection is None or newest is None:
                return
            await outbox.open_channels(connection, self.channels)
            await self._documents.make(connection)
            await self._queue(connection, newest.contract)

    async def send(self, channel: Channel) -> int:
        """Send what is due by a channel, unless it rests, and return how many attempts were made."""
        until, _ = self._rests.get(channel, (0.0, 0.0))
        if time.monotonic() < until:
            return 0
        async with self._alone(channel) as connection:
            return await self._send_due(connection, self._ways[channel]) if connection else 0

    async def go(self) -> int:
        """Go one round of all, and return how many attempts were made."""
        await self.prepare()
        return sum([await self.send(each) for each in self.channels])

    @asynccontextmanager
    async def _alone(self, what: str) -> AsyncIterator["Connection | None"]:
        """Give a connection that holds the right to do something; None where another worker does it."""
        async with self._pool.acquire() as connection:  # that it is let go gives the lock back
            name = f"delivery {what}"
            held = await connection.fetchval("select pg_try_advisory_lock(hashtext($1))", name)
            yield connection if held else None

    async def _queue(self, connection: Connection, contract: Contract) -> None:
        for each in await outbox.not_given(connection, self.channels):
            try:
                await self._documents.read(connection, each.month, each.institution, each.number)
            except MissingError:  # what it lacks is told where invoices are parked, and by `Documents.lacking`
                continue
            addresses = self._ways[each.channel].addresses(contract, each.institution)
            if await outbox.give(connection, each, addresses):
                log.info("delivery.queued", number=each.number, channel=each.channel)

    async def _send_due(self, connection: Connection, way: Way) -> int:
        made = after = 0
        try:
            while batch := await outbox.due(connection, [way.channel], after, AT_ONCE):
                for each in batch:
                    outcome = await _to_its_end(self._attempt(connection, way, each))
                    after, made = each.delivery, made + 1
                    if outcome.is_trouble:
                        self._rest(way.channel)
                        return made
                    self._rests.pop(way.channel, None)
        finally:
            await way.leave()
        return made

    def _rest(self, channel: Channel) -> None:
        _, before = self._rests.get(channel, (0.0, REST_SECONDS / 2))
        seconds = min(before * 2, REST_SECONDS_MAX)
        self._rests[channel] = (time.monotonic() + seconds, seconds)
        log.warning("delivery.rests", channel=channel, seconds=seconds)

    async def _attempt(self, connection: Connection, way: Way, delivery: Delivery) -> Outcome:
        """Try to deliver, and keep how that ended."""
        attempt = uuid.uuid4()
        try:
            texts = await self._documents.read(connection, delivery.month, delivery.institution, delivery.number)
        except MissingError as error:
            tried = Tried(Outcome(State.LATER, str(error)))
        else:
            tried = await way.send(delivery, attempt, texts)
        await asyncio.gather(
            way.tell(delivery, attempt, tried), outbox.end(connection, delivery, attempt, tried.outcome, tried.files)
        )
        ATTEMPTS_TOTAL.labels(delivery.channel.value, tried.outcome.state.value).inc()
        log.info(
            "delivery.tried", delivery=delivery.delivery, number=delivery.number, channel=delivery.channel,
            address=delivery.address, outcome=tried.outcome.state, answer=tried.outcome.answer,
        )  # fmt: skip
        return tried.outcome


async def _to_its_end(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Do some work to its end also when the service is told to stop meanwhile."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=STOP_SECONDS_MAX)
        raise
