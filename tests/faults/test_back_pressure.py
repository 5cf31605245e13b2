"""More than a part can take: a backlog waits in the broker, not in memory, and a full disk is said at the door."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from services.bench.processes import memory_mib
from services.chaos.world import Disks
from services.kafka import ACCEPTED, INGEST_GROUP, RATING_GROUP, is_raw
from services.stack.kafka import KafkaBroker
from services.stack.process import free_ports
from tests.pipeline import SERVICES, Pipeline, event
from tests.servers import database

BACKLOG = 200_000
MEMORY_MIB_MAX = 300
CHUNK = 20_000
EVENTS_A_POST, POSTS = 200, 12


async def test_a_backlog_waits_in_the_broker_and_is_caught_up_with(pipeline: Pipeline) -> None:
    await pipeline.stop("rating")
    for begin in range(0, BACKLOG, CHUNK):
        await pipeline.push("alpha", (event("alpha", f"b{begin + number}") for number in range(CHUNK)))
    seen: dict[str, list[float]] = {name: [] for name in SERVICES}

    def look() -> None:
        for name in filter(pipeline.alive, SERVICES):
            seen[name].append(memory_mib(pipeline.identity(name)))

    await pipeline.read_by(INGEST_GROUP, is_raw, look)
    await pipeline.start("rating")
    await pipeline.read_by(RATING_GROUP, ACCEPTED.__eq__, look)
    await pipeline.through()
    assert all(0 < max(each) < MEMORY_MIB_MAX for each in seen.values()), seen
    assert await pipeline.fetch("select count(*)::int as n from rating.event") == [(BACKLOG,)]
    assert await pipeline.audit() == []


class Small:
    """A broker on a small disk, and that disk."""

    def __init__(self, folder: Path) -> None:
        self.disks = Disks(folder)
        self.disks.mount()
        self.broker = KafkaBroker(folder / "kafka", *free_ports(2))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A broker whose disk can be made full, where one may mount disks."""
    made = Small(tmp_path_factory.mktemp("small"))
    if "kafka" not in made.disks.mounted:
        made.disks.unmount()
        pytest.skip("only root may mount a small disk")
    made.broker.start()
    yield made
    made.broker.stop()
    made.disks.unmount()


@pytest_asyncio.fixture(scope="module")
async def full(small: Small, contract: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    """The services on that broker, with a database of their own: what was decided is in one broker's topic."""
    with database() as url:
        made = Pipeline(tmp_path_factory.mktemp("services"), small.broker.bootstrap_servers, url)
        await made.prepare(contract)
        try:
            await made.start()
            yield made
        finally:
            await made.stop()


async def test_a_full_disk_is_said_at_the_door_and_nothing_acknowledged_is_lost(full: Pipeline, small: Small) -> None:
    key = full.json("keys", "create", "alpha")["key"]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents-batch+json"}
    taken: set[str] = set()
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers=headers) as client:

        async def post() -> int:
            ids = [secrets.token_hex(60) for _ in range(EVENTS_A_POST)]
            body = b"[" + b",".join(event("alpha", each) for each in ids) + b"]"
            try:
                status = (await client.post(f"{full.gateway}/v1/usage", content=body)).status_code
            except httpx.TransportError:
                return 0
            taken.update(ids if status == 202 else ())
            return status

        assert await post() == 202
        small.disks.fill("kafka")
        answers = [await post() for _ in range(POSTS)]
        assert answers[-1] == 503, answers
        small.disks.free("kafka")
        await asyncio.to_thread(small.broker.stop)
        await asyncio.to_thread(small.broker.start)
        async with asyncio.timeout(60):
            while await post() != 202:
                await asyncio.sleep(0.3)
    await full.through()
    assert {row["id"] for row in await full.fetch("select id from rating.event")} >= taken
    assert await full.audit() == []
