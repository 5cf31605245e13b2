"""Readiness is asked of the servers themselves: one that hangs still accepts connections."""

import asyncio
import time

import httpx

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
