"""Servers that are away: nothing starts wrong, nothing is lost, and everything comes back by itself."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from services.kafka import Place, raw_topic
from services.kafka_reader import read_at, reading
from services.stack.kafka import KafkaBroker
from services.stack.process import free_ports
from tests.pipeline import SERVICES, Pipeline, event


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> KafkaBroker:
    """A broker of one's own, which can be taken away."""
    return KafkaBroker(tmp_path_factory.mktemp("kafka"), *free_ports(2))


@pytest_asyncio.fixture(scope="module")
async def pipeline(broker: KafkaBroker, postgres: str, contract: str, tmp_path_factory) -> AsyncIterator[Pipeline]:
    """The contract applied, and no service started yet."""
    await asyncio.to_thread(broker.start)
    made = Pipeline(Path(tmp_path_factory.mktemp("services")), broker.bootstrap_servers, postgres)
    try:
        await made.prepare(contract)
        yield made
    finally:
        await made.stop()
        await asyncio.to_thread(broker.stop)


async def test_services_that_start_while_kafka_is_away_wait_and_say_so(pipeline: Pipeline, broker: KafkaBroker):
    await asyncio.to_thread(broker.kill)
    key = pipeline.json("keys", "create", "alpha")["key"]
    pipeline.launch(*SERVICES)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents+json"}
    async with httpx.AsyncClient(trust_env=False, timeout=30, headers=headers) as client:
        answer = await _answered(client, pipeline, {503})
        assert "Retry-After" in answer.headers
        assert (await client.get(f"{pipeline.probes['ingest']}/readyz")).status_code == 503
        assert (await client.get(f"{pipeline.probes['ingest']}/healthz")).status_code == 200
        assert all(map(pipeline.alive, SERVICES))
        await asyncio.to_thread(broker.start)
        await _answered(client, pipeline, {202})
    await pipeline.through()
    assert (await pipeline.spent())["contract small"] == Decimal("0.05")
    assert all(map(pipeline.alive, SERVICES))


async def test_kafka_killed_under_the_running_services(pipeline: Pipeline, broker: KafkaBroker):
    await pipeline.push("alpha", [event("alpha", f"k{number}") for number in range(500)])
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(2)
    await asyncio.to_thread(broker.start)
    await pipeline.push("alpha", [event("alpha", f"l{number}") for number in range(500)])
    await pipeline.through(120)
    assert (await pipeline.spent())["contract small"] == Decimal("50.05")
    assert await pipeline.audit() == []


async def test_messages_are_read_again_after_kafka_was_away(pipeline: Pipeline, broker: KafkaBroker):
    """A client's stop cancels the fetch that the broker's absence has broken, and that must not cancel who stops it."""
    await pipeline.push("alpha", [event("alpha", "r")])
    there = await _first(broker, raw_topic("alpha"))
    gone = there._replace(received_at=there.received_at - 1)
    reads = [asyncio.create_task(read_at(broker.bootstrap_servers, [there, gone] * 10)) for _ in range(8)]
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(6)  # longer than a read waits for a message
    await asyncio.to_thread(broker.start)
    for found in await asyncio.gather(*reads):
        assert found[1::2] == [None] * 10
        assert len(set(found[::2])) == 1
        assert b"alpha" in found[0]


async def _first(broker: KafkaBroker, topic: str) -> Place:
    async with reading(broker.bootstrap_servers, "test", topic) as reader:
        record = await reader.getone()
    return Place(topic, record.partition, record.offset, record.timestamp)


async def _answered(client: httpx.AsyncClient, pipeline: Pipeline, statuses: set[int]) -> httpx.Response:
    """Post the same event until the gateway answers with one of these."""
    for _ in range(120):
        try:
            answer = await client.post(f"{pipeline.gateway}/v1/usage", content=event("alpha", "first"))
        except httpx.ConnectError:
            pass
        else:
            if answer.status_code in statuses:
                return answer
        await asyncio.sleep(0.3)
    raise AssertionError(f"never answered {statuses}: {pipeline.log('ingest')}")
