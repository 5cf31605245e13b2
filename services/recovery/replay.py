"""Rating and posting again, in this process and without the topic between the two, what a restored database lacks.

Law: batches are rated and posted after the decisions that they came after before. Batches that are in already stay so.
"""

import asyncio
from datetime import datetime, timedelta

import asyncpg
from aiokafka import ConsumerRecord, TopicPartition

from services.avro import UnreadableError, codec
from services.contract_store import newest
from services.contract_watch import Contracts
from services.invoicing.ledger import post_charges
from services.kafka import Place, Sender
from services.offsets import Offsets, read_between
from services.rating.agent import Rating
from services.rating.store import Books
from services.rating.unposted import message_of, unposted
from services.recovery.lacking import EPOCH
from services.recovery.order import Order
from services.worker import AT_A_TIME, ERROR_LENGTH_MAX, UNREADABLE

Offset = dict[TopicPartition, int]


class Replay:
    """Reads `usage.accepted` from step to step, and counts what it did."""

    def __init__(self, pool: asyncpg.Pool, sender: Sender, kafka: str, offsets: Offsets, order: Order) -> None:
        self._pool, self._sender, self._kafka, self._offsets, self._order = pool, sender, kafka, offsets, order
        self._contracts = Contracts(pool)
        self._books = Books(pool, EPOCH)
        self._rating = Rating(self._books, self._contracts, sender, kafka)
        self.read = self.posted = 0

    async def prepare(self) -> None:
        """Make the partitions that usage goes into, of the newest contract's months."""
        async with self._pool.acquire() as connection:
            stored = await newest(connection)
        if stored is not None:
            await self._books.make_partitions(stored.contract)

    async def go_on(self, count: int, first: Offset, ends: Offset) -> Offset:
        """Rate and post what came after so many of the steps, and before the next, and return where to read on."""
        if count:
            self._books.again_after = self._decided_at(count - 1)
        stops = await self._stops(count, first, ends)
        skipped: Offset = {}
        async for messages in read_between(self._kafka, first, stops, at_once=AT_A_TIME):
            steps = [(self._steps_before(each), each) for each in messages]
            for each in (each for before, each in steps if before > count):
                skipped.setdefault(TopicPartition(each.topic, each.partition), each.offset)
            # What is in already is known again; and no message is passed over where the broker's clock went back.
            mine = [each for before, each in steps if before <= count]
            await asyncio.gather(*map(self._rate, mine))
            self.read += len(mine)
        await self._post(count)
        return stops | skipped

    def _decided_at(self, index: int) -> datetime:
        return EPOCH + timedelta(microseconds=self._order.steps[index].record["decided_at"])

    async def _stops(self, count: int, first: Offset, ends: Offset) -> Offset:
        """Return up to where batches may have come before the next step."""
        if count == len(self._order.steps) or (until := self._order.steps[count].rated_until) is None:
            return ends
        stops = {}
        for place in ends:
            (stop,) = (await self._offsets.at([place], until.get(place.partition, -1) + 1)).values()
            stops[place] = max(first[place], min(stop, ends[place]))
        return stops

    def _steps_before(self, message: ConsumerRecord) -> int:
        try:
            batch = codec("usage_batch").decode(message.value or b"")["batch"]
        except UnreadableError:
            batch = ""
        return self._order.steps_before(batch, message.partition, message.timestamp)

    async def _rate(self, message: ConsumerRecord) -> None:
        """Rate a batch; one that can't be is parked, as the service does it."""
        place = Place(message.topic, message.partition, message.offset, message.timestamp)
        try:
            batch = codec("usage_batch").decode(message.value or b"")
            rated = await self._rating.rate(batch, place)
            await self._sender.send(await self._rating.conflicts(batch, rated))
        except UNREADABLE as error:
            await self._books.park(place, repr(error)[:ERROR_LENGTH_MAX], message.value or b"")

    async def _post(self, count: int) -> None:
        """Post what is rated and came after so many of the steps at most."""
        async with self._pool.acquire() as connection:
            rows = [row for row in await unposted(connection) if self._steps_before_posting(row) <= count]
            messages = [await message_of(connection, row) for row in rows]
        for message in messages:
            batch = codec("charge_batch").decode(message.value)
            contract = await self._contracts.version(batch["version"], sha256=batch["contract"])
            self.posted += await post_charges(self._pool, batch, contract)

    def _steps_before_posting(self, row: asyncpg.Record) -> int:
        appended_at = round(row["appended_at"].timestamp() * 1000) if row["appended_at"] else 0
        return self._order.steps_before(str(row["batch"]), row["partition"], appended_at)
