"""Keeping rejections: from `usage.rejected` into the table that people query."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from services.avro import UnreadableError, codec
from services.ingest.decide import read_time
from services.ingest.events import UsageEvent, read
from services.metrics import PARKED_TOTAL, RETRIES_TOTAL
from services.postgres import TRANSIENT, Connection
from services.standstill import Attention

log = structlog.get_logger()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A rejection that arrives again has the same id, made of its place and the reason.
_KEEP = """
insert into ingest.rejection (rejection, provider, event_id, reason, explanation, topic, partition, "offset",
                              received_at, rejected_at, version, key, payload, appended_at,
                              used_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
on conflict (rejection) do nothing
"""


class Recorder:
    """Reads `usage.rejected` and keeps each rejection once."""

    def __init__(self, consumer: AIOKafkaConsumer, pool: asyncpg.Pool, attention: Attention) -> None:
        self._consumer, self._pool, self._attention = consumer, pool, attention
        attention.partitions = consumer.assignment

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._attention.waits()
            polled = await self._consumer.getmany(timeout_ms=500, max_records=500)
            if polled:
                self._attention.works()
            rows = [row for records in polled.values() for row in rows_of(records)]
            if not polled:
                continue
            await self._keep(rows)
            try:
                await self._consumer.commit()
            except KafkaError as error:
                log.warning("rejections.commit_failed", error=repr(error))

    async def _keep(self, rows: list[tuple[Any, ...]]) -> None:
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await keep(connection, rows)
            except TRANSIENT as error:
                log.warning("rejections.keep_failed", error=repr(error))
                RETRIES_TOTAL.labels("ingest", "postgres").inc()
                await asyncio.sleep(1)
            else:
                return


async def keep(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Keep rejections that are not kept already."""
    async with connection.transaction():
        await connection.executemany(_KEEP, rows)


def rows_of(messages: Iterable[ConsumerRecord]) -> list[tuple[Any, ...]]:
    """Return the rejections in messages of `usage.rejected` as `keep` takes them."""
    return [row for each in messages if (row := _row(each))]


def _row(message: ConsumerRecord) -> tuple[Any, ...] | None:
    try:
        each = codec("rejection").decode(message.value)
    except UnreadableError:
        # It stays in the topic; the audit counts it as missing until it is dealt with.
        log.exception("rejections.unreadable", partition=message.partition, offset=message.offset)
        PARKED_TOTAL.labels("ingest").inc()
        return None
    return (
        uuid.UUID(each["rejection"]), each["provider"], each["event_id"], each["reason"], each["explanation"],
        each["topic"], each["partition"], each["offset"],
        _EPOCH + timedelta(milliseconds=each["received_at"]), _EPOCH + timedelta(microseconds=each["rejected_at"]),
        each["version"], each["key"], each["payload"], _EPOCH + timedelta(milliseconds=message.timestamp),
        _used_at(each["payload"]),
    )  # fmt: skip


def _used_at(payload: bytes | None) -> datetime | None:
    """Return when what was refused had been used; None where the message does not say so."""
    event = read(payload) if payload else None
    used = read_time(event.time) if isinstance(event, UsageEvent) else None
    return used if isinstance(used, datetime) else None
