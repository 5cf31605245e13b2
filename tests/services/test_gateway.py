"""The gateway on a real server with a real broker: 202 only for what Kafka has, and a clear no for the rest."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiokafka
import asyncpg
import httpx
import pytest
import pytest_asyncio
import uvicorn

from services.ingest import gateway as door
from services.ingest.keys import KeyRing, create, revoke
from services.ingest.outlet import Outlet
from services.kafka import ensure_topics, raw_topic, topics
from services.postgres import migrate, open_pool
from services.stack.kafka import KafkaBroker
from services.stack.process import free_ports
from tests.pipeline import event

ONE, BATCH, LINES = door.ONE, door.BATCH, door.LINES[0]


class Gateway:
    """A running gateway, its broker, and a client for each of two providers."""

    def __init__(self, broker: KafkaBroker, pool: asyncpg.Pool, url: str, keys: dict[str, str], ring: KeyRing) -> None:
        self.broker, self.pool, self.url, self.keys, self.ring = broker, pool, url, keys, ring

    async def post(self, body: bytes, kind: str = BATCH, provider: str = "alpha", **headers: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[provider]}", "Content-Type": kind, **headers}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return await client.post(f"{self.url}/v1/usage", content=body, headers=headers)

    async def stored(self, provider: str = "alpha") -> list[bytes]:
        async with aiokafka.AIOKafkaConsumer(
            raw_topic(provider), bootstrap_servers=self.broker.bootstrap_servers, auto_offset_reset="earliest"
        ) as reader:
            ends = await reader.end_offsets(reader.assignment())
            found: list[bytes] = []
            while len(found) < sum(ends.values()):
                polled = await reader.getmany(timeout_ms=2000)
                found += [record.value for records in polled.values() for record in records]
            return found


@pytest_asyncio.fixture(scope="module")
async def gateway(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), *free_ports(2))
    await asyncio.to_thread(broker.start)
    await ensure_topics(broker.bootstrap_servers, topics(["alpha", "beta"]))
    pool = await open_pool(postgres, "test")
    async with pool.acquire() as connection:
        await migrate(connection)
        keys = {name: await create(connection, name) for name in ("alpha", "beta")}
    ring, outlet = KeyRing(), Outlet(broker.bootstrap_servers)
    await ring.refresh(pool)
    (port,) = free_ports(1)
    server = uvicorn.Server(
        uvicorn.Config(door.gateway(ring, outlet.send, pool), "127.0.0.1", port, log_config=None, lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    yield Gateway(broker, pool, f"http://127.0.0.1:{port}", keys, ring)
    server.should_exit = True
    await serving
    await outlet.stop()
    await pool.close()
    await asyncio.to_thread(broker.stop)


async def test_the_original_bytes_of_every_form_reach_the_topic(gateway: Gateway):
    odd = event("alpha", "odd").replace(b'"quantity": "1"', b'"quantity": 0.100000000000001') + b" "
    sent = [odd, event("alpha", "a"), event("alpha", "b").replace(b'"id"', b'"traceparent": "00-1", "id"')]
    assert (await gateway.post(odd, ONE)).json() == {"taken": 1}
    assert (await gateway.post(b"[" + b" , ".join(sent[1:2]) + b"]", BATCH + "; charset=utf-8")).status_code == 202
    assert (await gateway.post(sent[2] + b"\n\r\n", LINES)).json() == {"taken": 1}
    assert (await gateway.post(b"[]")).json() == {"taken": 0}
    assert sorted(await gateway.stored()) == sorted(sent)


async def test_every_bad_event_is_named_and_nothing_is_taken(gateway: Gateway):
    before = await gateway.stored()
    batch = [
        event("alpha", "good"), event("alpha", "", time="2016-03-02T10:00:00Z"), event("alpha", "t", time="yesterday"),
        event("alpha", "q", quantity="1e400"), event("alpha", "w", source="/providers/beta"), b'{"id": 1}',
    ]  # fmt: skip
    answer = await gateway.post(b"[" + b",".join(batch) + b"]")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert [(each["position"], each["reason"]) for each in problem["errors"]] == [
        (1, "malformed"), (2, "bad_time"), (3, "bad_quantity"), (4, "wrong_provider"), (5, "malformed"),
    ]  # fmt: skip
    assert problem["status"] == 400
    assert sorted(await gateway.stored()) == sorted(before)


async def test_a_provider_speaks_only_for_itself(gateway: Gateway):
    answer = await gateway.post(event("beta", "x"), ONE, provider="alpha")
    assert answer.status_code == 403
    assert await gateway.stored("beta") == []
    assert (await gateway.post(event("beta", "x"), ONE, provider="beta")).status_code == 202
    assert await gateway.stored("beta") == [event("beta", "x")]


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status"),
    [
        (b"{}", "text/plain", {}, 415),
        (b"{}", "", {}, 415),
        (b"[1, 2", BATCH, {}, 400),
        (b"\xff", BATCH, {}, 400),
        (b"[" * 100_000, BATCH, {}, 400),
        (b"{}", ONE, {"Authorization": "Bearer wrong"}, 401),
        (b"{}", ONE, {"Authorization": "Basic YTpi"}, 401),
        (b"{}", ONE, {"Authorization": "Bearer"}, 401),
        (b"x" * (door.BODY_SIZE_MAX + 1), LINES, {}, 413),
        (b"[" + b"1," * door.EVENTS_MAX + b"1]", BATCH, {}, 413),
    ],
)
async def test_what_is_no_request_gets_its_own_answer(gateway: Gateway, body, kind, headers, status):
    answer = await gateway.post(body, kind, **headers)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers.get("www-authenticate") if status == 401 else True


async def test_a_body_of_unknown_length_is_counted_as_it_comes(gateway: Gateway):
    async def body() -> AsyncIterator[bytes]:
        for _ in range(door.BODY_SIZE_MAX // 65536 + 2):
            yield b"x" * 65536

    headers = {"Authorization": f"Bearer {gateway.keys['alpha']}", "Content-Type": LINES}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{gateway.url}/v1/usage", content=body(), headers=headers)
    assert answer.status_code == 413


async def test_a_revoked_key_is_refused(gateway: Gateway):
    async with gateway.pool.acquire() as connection:
        gateway.keys["gone"] = await create(connection, "alpha")
        await gateway.ring.refresh(gateway.pool)
        assert (await gateway.post(b"[]", provider="gone")).status_code == 202
        stored = await connection.fetch("select key_id, sha256 from ingest.api_key where provider = 'alpha'")
        assert all(gateway.keys["gone"].encode() not in row["sha256"] for row in stored)
        newest = await connection.fetchval("select key_id from ingest.api_key order by created_at desc limit 1")
        assert await revoke(connection, newest) == "alpha"
    await gateway.ring.refresh(gateway.pool)
    assert (await gateway.post(b"[]", provider="gone")).status_code == 401


async def test_the_documentation_needs_no_other_host(gateway: Gateway):
    async with httpx.AsyncClient(trust_env=False, base_url=gateway.url) as client:
        page = (await client.get("/docs")).text
        assert "https://" not in page
        assert (await client.get("/docs/assets/swagger-ui-bundle.js")).status_code == 200
        described = (await client.get("/openapi.json")).json()
    assert set(described["paths"]["/v1/usage"]["post"]["requestBody"]["content"]) == {ONE, BATCH, LINES}
    assert set(described["paths"]["/v1/usage"]["post"]["responses"]) >= {
        "202",
        "400",
        "401",
        "403",
        "413",
        "415",
        "503",
    }
    json.dumps(described)


async def test_no_202_while_kafka_is_away_and_again_when_it_is_back(gateway: Gateway):
    await asyncio.to_thread(gateway.broker.kill)
    answer = await gateway.post(event("alpha", "away"), ONE)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    await asyncio.to_thread(gateway.broker.start)
    for _ in range(30):
        if (answer := await gateway.post(event("alpha", "back"), ONE)).status_code == 202:
            break
        await asyncio.sleep(0.5)
    assert answer.status_code == 202
    assert event("alpha", "back") in await gateway.stored()
