"""Servers that hang are told, and a service that hangs gives its locks back."""

import asyncio
import time

import httpx
import pytest

from services.postgres import TRANSIENT, open_pool
from services.probes import Probes
from services.service import kafka_answers
from services.stack.process import free_ports


async def test_a_broker_that_hangs_is_not_ready():
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)
        writer.close()

    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    kafka = f"127.0.0.1:{hanging.sockets[0].getsockname()[1]}"
    (port,) = free_ports(1)
    began = time.monotonic()
    probes = Probes("127.0.0.1", port, {"kafka": lambda: kafka_answers(kafka)})
    async with probes, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/readyz", timeout=20)
    assert answer.status_code == 503
    assert "kafka" in answer.json()["problems"]
    assert time.monotonic() - began < 10
    hanging.close()


async def test_a_service_that_is_paused_in_a_transaction_gives_its_locks_to_its_successor(postgres: str):
    paused = await open_pool(postgres, "paused", idle_ms_max=300)
    successor = await open_pool(postgres, "successor")
    async with paused.acquire() as mine, successor.acquire() as another:
        transaction = mine.transaction()
        await transaction.start()
        await mine.execute("select pg_advisory_xact_lock(1)")
        await asyncio.wait_for(another.execute("select pg_advisory_lock(1)"), 20)
        with pytest.raises(TRANSIENT):
            await mine.execute("select 1")
        assert await another.fetchval("show idle_in_transaction_session_timeout") != "0"
    await asyncio.gather(paused.close(), successor.close())
