"""Alerts that were published: a restored database gets them back as they were raised, and raises none of them again."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

from aiokafka import ConsumerRecord

from services.avro import UnreadableError, codec
from services.postgres import Connection
from services.recovery.lacking import EPOCH

_KEEP = """
insert into invoicing.alert (alert, level, code, threshold, ceiling, spent, currency, raised_at, published_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict do nothing
"""
_IS_PUBLISHED = "update invoicing.alert set published_at = $2 where alert = $1 and published_at is null"


async def keep_alerts(connection: Connection, messages: AsyncIterator[list[ConsumerRecord]]) -> list[str]:
    """Keep the alerts in messages of `alerts`, as published, and return in words where one can't be read."""
    unreadable = []
    async for some in messages:
        for message in some:
            try:
                each = codec("alert").decode(message.value)
            except UnreadableError as error:
                unreadable.append(f"{message.topic} partition {message.partition} offset {message.offset}: {error}")
                continue
            alert, at = uuid.UUID(each["alert"]), EPOCH + timedelta(milliseconds=message.timestamp)
            await connection.execute(
                _KEEP, alert, each["level"], each["code"], each["threshold"], Decimal(each["ceiling"]),
                Decimal(each["spent"]), each["currency"], EPOCH + timedelta(microseconds=each["raised_at"]), at,
            )  # fmt: skip
            await connection.execute(_IS_PUBLISHED, alert, at)
    return unreadable
