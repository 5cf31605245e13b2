"""The gateway on a real server with a real broker: 202 only for what Kafka has, and a clear no for the rest."""

import asyncio
import gzip
import json
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import aiokafka
import asyncpg
import httpx
import pytest
import pytest_asyncio
import uvicorn

from services import web
from services.ingest import gateway as door
from services.ingest import push
from services.ingest.outlet import Outlet, UnavailableError
from services.kafka import ensure_topics, raw_topic, topics
from services.keys import KeyRing, TooManyKeysError, create, revoke, rotate
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
        gateway.keys["gone"] = await create(connection, "alpha")  # and is valid at once
        assert (await gateway.post(b"[]", provider="gone")).status_code == 202
        stored = await connection.fetch("select key_id, sha256 from ingest.api_key where provider = 'alpha'")
        assert all(gateway.keys["gone"].encode() not in row["sha256"] for row in stored)
        newest = await connection.fetchval("select key_id from ingest.api_key order by created_at desc limit 1")
        assert await revoke(connection, newest) == "alpha"
    await gateway.ring.refresh(gateway.pool)
    assert (await gateway.post(b"[]", provider="gone")).status_code == 401


async def test_guessing_keys_does_not_load_the_database(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    reads = 0
    refresh = gateway.ring.refresh

    async def counted(pool: asyncpg.Pool) -> None:
        nonlocal reads
        reads += 1
        await refresh(pool)

    monkeypatch.setattr(gateway.ring, "refresh", counted)
    for number in range(50):
        gateway.keys[f"guess {number}"] = f"plf_{number}"
    answers = await asyncio.gather(*(gateway.post(b"[]", provider=f"guess {number}") for number in range(50)))
    assert {each.status_code for each in answers} == {401}
    assert reads <= 2


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


async def test_a_compressed_body_is_not_taken(gateway: Gateway):
    answer = await gateway.post(gzip.compress(b"[]"), **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
    assert (await gateway.post(b"[]", **{"Content-Encoding": "identity"})).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/usage", 405),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1/rejections?limit=many", 422),
        ("GET", "/v1/rejections?after=yesterday", 422),
    ],
)
async def test_every_no_is_a_problem(gateway: Gateway, method: str, path: str, status: int):
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"Authorization": f"Bearer {gateway.keys['alpha']}"}
        answer = await client.request(method, gateway.url + path, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_without_a_key_nothing_is_answered_but_that(gateway: Gateway):
    async with httpx.AsyncClient(trust_env=False, base_url=gateway.url) as client:
        for answer in (await client.post("/v1/usage", content=b"[]"), await client.get("/v1/rejections")):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_of_very_many_bad_events_the_first_are_named_and_all_counted(gateway: Gateway):
    answer = await gateway.post(b"[" + b",".join([b"{}"] * 1_500) + b"]")
    problem = answer.json()
    assert [each["position"] for each in problem["errors"]] == list(range(door.ERRORS_SHOWN_MAX))
    assert "1500 of 1500" in problem["detail"]


async def test_a_sender_that_goes_away_is_no_error_of_ours(gateway: Gateway, caplog: pytest.LogCaptureFixture):
    counter = web.REQUESTS_TOTAL.labels("400")
    before = counter._value.get()
    host, port = gateway.url.removeprefix("http://").split(":")
    head = f"POST /v1/usage HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {gateway.keys['alpha']}\r\n"
    with caplog.at_level(logging.ERROR):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}Content-Type: {BATCH}\r\nContent-Length: 1000\r\n\r\n[".encode())
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        for _ in range(50):
            if counter._value.get() > before:
                break
            await asyncio.sleep(0.1)
    assert counter._value.get() == before + 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_provider_reads_its_own_rejections_page_by_page(gateway: Gateway):
    rows = [
        (uuid.uuid4(), provider, f"{provider}-{number}", number % 2, number)
        for provider in ("alpha", "beta")
        for number in range(5)
    ]
    async with gateway.pool.acquire() as connection:
        await connection.executemany(
            """insert into ingest.rejection (rejection, provider, event_id, reason, explanation, topic, partition,
                "offset", received_at, rejected_at, version) values ($1, $2, $3, 'unknown_item', 'x', 't', $4, $5,
                '2016-03-02 10:00Z', now(), 1)""",
            rows,
        )
    seen: list[str] = []
    headers = {"Authorization": f"Bearer {gateway.keys['alpha']}"}
    async with httpx.AsyncClient(trust_env=False, base_url=gateway.url, headers=headers) as client:
        page = (await client.get("/v1/rejections", params={"limit": 2})).json()["rejections"]
        while page:
            seen += [each["event_id"] for each in page]
            following = {"limit": 2, "after": page[-1]["rejection"]}
            page = (await client.get("/v1/rejections", params=following)).json()["rejections"]
        assert sorted(seen) == [f"alpha-{number}" for number in range(5)]
        foreign = {"after": next(str(row[0]) for row in rows if row[1] == "beta")}
        assert (await client.get("/v1/rejections", params=foreign)).json() == {"rejections": []}


async def test_it_starts_and_says_503_while_no_server_is_there(gateway: Gateway, postgres: str):
    pool = await open_pool(postgres, "test")
    await pool.close()
    outlet = Outlet(f"127.0.0.1:{free_ports(1)[0]}")
    app = door.gateway(gateway.ring, outlet.send, pool)
    headers = {"Authorization": f"Bearer {gateway.keys['alpha']}", "Content-Type": ONE}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x", headers=headers) as client:
        for answer in (
            await client.post("/v1/usage", content=event("alpha", "early")),
            await client.get("/v1/rejections"),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert gateway.keys["alpha"] not in answer.text


async def test_pushing_names_what_is_refused_and_takes_the_rest(gateway: Gateway):
    batches = [
        [event("alpha", "p1"), event("beta", "p2"), event("alpha", "p3", quantity="many"), event("alpha", "p4")],
        [event("alpha", "p5"), b"{no json", event("alpha", "p6")],
        [],
    ]
    counted: list[int] = []
    pushed = await push.over_http(gateway.url, gateway.keys["alpha"], batches, counted.append, clients=2)
    assert pushed.taken == 4
    assert sorted(each["reason"] for each in pushed.refused) == ["bad_quantity", "malformed", "wrong_provider"]
    assert sum(counted) == 7
    stored = await gateway.stored()
    assert [event("alpha", f"p{number}") in stored for number in range(1, 7)] == [True, False, False, True, True, True]


@pytest.mark.parametrize("bad", ["plf_secret\n", "plf_secr\u00e9t", "plf_secret x", ""])
async def test_what_is_no_key_is_neither_sent_nor_shown(gateway: Gateway, bad: str):
    with pytest.raises(push.PushError) as caught:
        await push.over_http(gateway.url, bad, [[event("alpha", "never")]], lambda _: None)
    assert "secr" not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:1", "usage.example.eu", "http://x:port"])
async def test_a_url_that_can_not_be_used_is_said_at_once(url: str):
    async with asyncio.timeout(5):
        with pytest.raises(push.PushError, match="URL"):
            await push.over_http(url, "plf_x", [[event("alpha", "never")]], lambda _: None)


async def test_pushing_waits_out_a_gateway_that_is_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(push, "PAUSE_SECONDS", 0.01)
    answers = iter(
        [
            httpx.ConnectError("refused"),
            httpx.Response(503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
            httpx.Response(503),
            httpx.Response(202),
        ]
    )

    def answer(_: httpx.Request) -> httpx.Response:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://x") as client:
        said: list[str] = []
        assert (await push._patiently(client, b"[]", said.append)).status_code == 202
        assert "trying on" in said[0]
        assert "refused" in said[0]


async def test_many_single_events_at_once_are_all_taken(gateway: Gateway):
    sent = [event("alpha", f"many-{number}") for number in range(1_000)]
    headers = {"Authorization": f"Bearer {gateway.keys['alpha']}", "Content-Type": ONE}
    statuses: set[int] = set()

    async def send(mine: list[bytes]) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=30, verify=False, headers=headers) as client:  # noqa: S501
            for each in mine:
                statuses.add((await client.post(f"{gateway.url}/v1/usage", content=each)).status_code)

    async with asyncio.timeout(30):
        await asyncio.gather(*(send(sent[start::100]) for start in range(100)))
    assert statuses == {202}
    stored = await gateway.stored()
    assert sorted(each for each in stored if b'"many-' in each) == sorted(sent)


async def test_a_hanging_broker_is_answered_in_time_and_waits_for_none(gateway: Gateway, monkeypatch):
    outlet = Outlet(gateway.broker.bootstrap_servers)
    monkeypatch.setattr("services.ingest.outlet.SECONDS_MAX", 0.3)

    async def hang(topic, events):
        await asyncio.sleep(60)

    monkeypatch.setattr(outlet, "_send", hang)
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(outlet.send("t", [b"x"]) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(each, UnavailableError) for each in answers)
    assert (outlet._bytes_in_flight, outlet._waiting, outlet._writers) == (0, {}, {})


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


async def test_more_than_a_provider_may_push_is_refused_whole_and_told_when(gateway: Gateway):
    outlet = Outlet(gateway.broker.bootstrap_servers)
    app = door.gateway(gateway.ring, outlet.send, gateway.pool, events_per_second=1)
    transport = httpx.ASGITransport(app)
    lines = b"\n".join(event("alpha", f"limited-{number}") for number in range(10))
    headers = {"Authorization": f"Bearer {gateway.keys['alpha']}", "Content-Type": LINES}
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            assert (await client.post("/v1/usage", content=lines, headers=headers)).status_code == 202
            refused = await client.post("/v1/usage", content=lines, headers=headers)
    finally:
        await outlet.stop()
    assert (refused.status_code, refused.json()["title"]) == (429, "Too many events")
    assert 9 <= int(refused.headers["retry-after"]) <= 10
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert refused.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_keys_are_rotated_and_end(gateway: Gateway):
    async with gateway.pool.acquire() as connection:
        first = await create(connection, "rotated")
        second = await rotate(connection, "rotated", overlap=timedelta(days=7))
        with pytest.raises(TooManyKeysError, match="rotated has 2 valid keys already"):
            await create(connection, "rotated")
        assert [await gateway.ring.find(each, gateway.pool) for each in (first, second)] == ["rotated"] * 2
        await connection.execute(
            "update ingest.api_key set expires_at = now() where provider = 'rotated' and expires_at is not null"
        )
        await gateway.ring.refresh(gateway.pool)
        assert [await gateway.ring.find(each, gateway.pool) for each in (first, second)] == [None, "rotated"]
        third = await create(connection, "rotated", valid=timedelta(seconds=1))
        assert await gateway.ring.find(third, gateway.pool) == "rotated"
        await asyncio.sleep(1.1)
        assert gateway.ring.owner_of(third) is None, "also while nothing is read again"
