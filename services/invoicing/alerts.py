"""Publishing alerts: from the table, where each threshold is raised once, to the topic.

An alert is marked published only once the broker has it. One that is sent twice has the same id.
"""

import asyncpg

from services.avro import codec
from services.contract.money import plain
from services.kafka import ALERTS, Message, Sender

_UNPUBLISHED = """
select alert, level, code, threshold, ceiling, spent, currency, raised_at
from invoicing.alert where published_at is null order by raised_at, level, code, threshold
for update skip locked
"""
_PUBLISHED = "update invoicing.alert set published_at = clock_timestamp() where alert = any($1::uuid[])"


class Publisher:
    """Sends what was raised and not yet published."""

    def __init__(self, pool: asyncpg.Pool, sender: Sender) -> None:
        self._pool, self._sender = pool, sender

    async def publish(self) -> None:
        """Publish every alert that waits."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_UNPUBLISHED)
            if not rows:
                return
            await self._sender.send([_message(row) for row in rows])
            await connection.execute(_PUBLISHED, [row["alert"] for row in rows])


def _message(row: asyncpg.Record) -> Message:
    record = {
        "alert": str(row["alert"]),
        "level": row["level"],
        "code": row["code"],
        "threshold": row["threshold"],
        "ceiling": plain(row["ceiling"]),
        "spent": plain(row["spent"]),
        "currency": row["currency"],
        "raised_at": int(row["raised_at"].timestamp() * 1_000_000),
    }
    return Message(ALERTS, codec("alert").encode(record), key=f"{row['level']}/{row['code']}".encode())
