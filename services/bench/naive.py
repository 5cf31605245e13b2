"""What most people would write: a Faust agent that takes one JSON event a message, prices it and inserts the row.

Run as a process of its own: `python -m services.bench.naive KAFKA DATABASE_URL EVENTS`; prints the seconds it took.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import asyncpg
import faust

from services.bench.booked import NotBookedError
from services.kafka import Message, Sender, Topic, ensure_topics
from services.postgres import connect

TOPIC = "bench.naive"
EVENTS_MAX = 20_000
PRICE = Decimal("0.0125")
_CREATE = """
create schema if not exists bench;
drop table if exists bench.naive;
create table bench.naive (
    provider text, id text, time text, subject text, item text, quantity numeric, amount numeric,
    primary key (provider, id)
)
"""
_INSERT = "insert into bench.naive values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing"


async def measure(kafka: str, database_url: str, messages: Sequence[bytes]) -> float:
    """Return the events per second; raises RuntimeError when the agent fails, NotBookedError when rows are missing."""
    await ensure_topics(kafka, [Topic(TOPIC, 1)])
    connection = await connect(database_url)
    await connection.execute(_CREATE)
    await connection.close()
    sender = Sender(kafka, "bench")
    await sender.send([Message(TOPIC, message) for message in messages])
    await sender.stop()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.bench.naive", kafka, database_url, str(len(messages)),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"the plain agent ended with status {process.returncode}")
    await _require_all(database_url, len(messages))
    return len(messages) / float(output.split()[-1])


async def _require_all(database_url: str, messages: int) -> None:
    connection = await connect(database_url)
    try:
        stored = await connection.fetchval("select count(*) from bench.naive")
    finally:
        await connection.close()
    if stored != messages:
        raise NotBookedError(f"the plain agent took {messages:,} events, {stored:,} are in its table")


def _app(kafka: str, database_url: str, events: int) -> faust.App:
    app = faust.App("bench-naive", broker=f"aiokafka://{kafka}", store="memory://", web_enabled=False,
                    consumer_auto_offset_reset="earliest", topic_disable_leader=True)  # fmt: skip

    @app.agent(app.topic(TOPIC, value_serializer="raw"))
    async def take(stream: Any) -> None:
        pool = await asyncpg.create_pool(database_url, min_size=1, max_size=1)
        began, left = 0.0, events
        async for message in stream:
            began = began or time.perf_counter()
            event = json.loads(message)
            data = event["data"]
            quantity = Decimal(data["quantity"])
            await pool.execute(_INSERT, event["source"], event["id"], event["time"], event["subject"], data["item"],
                               quantity, quantity * PRICE)  # fmt: skip
            left -= 1
            if not left:
                sys.stdout.write(f"{time.perf_counter() - began}\n")
                sys.stdout.flush()
                os._exit(0)  # Faust's own end takes seconds

    return app


async def _run(app: faust.App) -> None:
    await app.start()
    parent = os.getppid()
    while True:
        await asyncio.sleep(1)
        if os.getppid() != parent or app.should_stop:  # it ends with the benchmark, however that does
            os._exit(1)


if __name__ == "__main__":
    asyncio.run(_run(_app(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
