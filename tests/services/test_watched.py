"""What alerts go by, on real servers: silent providers, outboxes, grace, and the audit beside the flow."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from services import keys
from services.audit import watch
from services.closing.run import close_what_is_due
from services.closing.stages import grace_ends
from services.contract.load import load
from services.ingest.delivered import Delivered
from services.invoicing.outbox import show_outbox
from services.postgres import connect, open_pool
from services.reasons import Reason
from services.settings import Settings
from tests.conftest import SMALL
from tests.pipeline import Pipeline, event

LAST = "plafond_provider_last_accepted_timestamp_seconds"
OUTBOX = "plafond_outbox_oldest_seconds"
BREACHES = "plafond_audit_breaches"
POSTINGS = "postings = charges"


def shown(name: str, **labels: str) -> float | None:
    """Return a metric of this process, None where it is not there."""
    return REGISTRY.get_sample_value(name, labels)


@pytest_asyncio.fixture
async def pool(pipeline: Pipeline) -> AsyncIterator[asyncpg.Pool]:
    opened = await open_pool(pipeline.url, "test", size=2)
    yield opened
    await opened.close()


async def metrics_of(pipeline: Pipeline, service: str) -> dict[str, float]:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{pipeline.probes[service]}/metrics")).text
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_counts_by_provider_are_there_before_the_first_event(pipeline: Pipeline):
    found = await metrics_of(pipeline, "ingest")
    for outcome in ("accepted", *Reason):
        assert found[f'plafond_events_total{{outcome="{outcome}",provider="alpha",service="ingest"}}'] == 0
    found = await metrics_of(pipeline, "rating")
    assert found['plafond_events_total{outcome="conflict",provider="alpha",service="rating"}'] == 0


async def test_when_usage_was_last_accepted_outlives_a_restart(pipeline: Pipeline):
    began = time.time()
    await pipeline.push("alpha", [event("alpha", "first"), event("alpha", "odd", item="nothing")])
    await pipeline.push("beta-north", [event("beta-north", "odd", item="nothing")])
    name = f'{LAST}{{provider="alpha"}}'
    async with asyncio.timeout(60):
        while name not in (found := await metrics_of(pipeline, "ingest")):
            await asyncio.sleep(0.5)
    assert began <= found[name] <= time.time()
    assert f'{LAST}{{provider="beta-north"}}' not in found, "what is refused is not accepted"
    await pipeline.stop("ingest")
    await pipeline.start("ingest")
    async with asyncio.timeout(60):
        while name not in (again := await metrics_of(pipeline, "ingest")):
            await asyncio.sleep(0.5)
    assert again[name] == pytest.approx(found[name], abs=0.001)


async def test_a_provider_with_a_key_is_expected_and_time_never_goes_back(pipeline: Pipeline, pool: asyncpg.Pool):
    contract = load(SMALL)
    async with pool.acquire() as connection:
        await keys.create(connection, "beta-north")
    delivered = Delivered()
    await delivered.keep(pool, contract)
    assert shown(LAST, provider="beta-north") == pytest.approx(time.time(), abs=60), "since it has the key"
    [before] = await pipeline.fetch("select last_accepted_at as at from ingest.delivered where provider = 'alpha'")
    delivered._at = {"alpha": datetime.now(UTC) - timedelta(days=2), "left-the-contract": datetime.now(UTC)}
    await delivered.keep(pool, contract)
    assert shown(LAST, provider="alpha") == before["at"].timestamp()
    assert shown(LAST, provider="left-the-contract") is None
    delivered.note(["alpha"])
    await delivered.keep(pool, contract)
    assert shown(LAST, provider="alpha") > before["at"].timestamp()


async def test_what_was_noted_is_kept_once_the_database_is_back(pipeline: Pipeline, pool: asyncpg.Pool):
    delivered = Delivered()
    delivered.note(["alpha"])
    closed = await open_pool(pipeline.url, "test", size=1)
    await closed.close()
    with pytest.raises(asyncpg.InterfaceError):
        await delivered.keep(closed, load(SMALL))
    began = time.time()
    await delivered.keep(pool, load(SMALL))
    assert began - 60 < shown(LAST, provider="alpha") <= began


async def test_outboxes_show_how_long_the_oldest_waits(pipeline: Pipeline, pool: asyncpg.Pool):
    await pipeline.through()
    await pipeline.stop("invoicing")
    await show_outbox(pool)
    assert (shown(OUTBOX, outbox="alerts"), shown(OUTBOX, outbox="decisions")) == (0, 0)
    await pipeline.fetch("update decisions.decision set published_at = null, decided_at = now() - interval '5 minutes'")
    await show_outbox(pool)
    assert shown(OUTBOX, outbox="alerts") == 0
    assert shown(OUTBOX, outbox="decisions") == pytest.approx(300, abs=60)
    await pipeline.start("invoicing")
    async with asyncio.timeout(60):
        while shown(OUTBOX, outbox="decisions"):
            await asyncio.sleep(0.5)
            await show_outbox(pool)


async def test_grace_is_that_of_the_oldest_month_that_is_not_closed(pipeline: Pipeline, pool: asyncpg.Pool):
    await pipeline.push("alpha", [event("alpha", "april", time="2016-04-02T10:00:00Z")])
    await pipeline.through()
    await close_what_is_due(pipeline.url, pool)
    march, april = (grace_ends(load(SMALL), month).timestamp() for month in ("2016-03", "2016-04"))
    assert shown("plafond_grace_end_timestamp_seconds") == march
    assert await pipeline.close("2016-03")
    await close_what_is_due(pipeline.url, pool)
    assert shown("plafond_grace_end_timestamp_seconds") == april


async def test_thresholds_are_shown_once_they_are_reached(pipeline: Pipeline):
    name = 'plafond_threshold_reached_percent{code="2",level="lot"}'
    [spent] = await pipeline.fetch("select amount from invoicing.spent where level = 'lot' and code = '2'")
    async with asyncio.timeout(30):
        while name not in (found := await metrics_of(pipeline, "invoicing")):
            await asyncio.sleep(0.5)
    thresholds = [each for each in load(SMALL).thresholds if spent["amount"] * 100 >= 400 * each]
    assert found[name] == max(thresholds, default=0)
    assert any(each.startswith("plafond_contract_phase_end_timestamp_seconds") for each in found)


async def test_usage_under_way_is_no_breach_and_what_is_off_is_found(pipeline: Pipeline):
    connection = await connect(pipeline.url, name="plafond-audit")
    flowing = asyncio.create_task(_flow(pipeline))
    try:
        for _ in range(5):
            began = time.time()
            await watch.audit_once(connection, pipeline.kafka)
            assert shown("plafond_audit_last_timestamp_seconds") >= began
            assert {each: value for each, value in _breaches().items() if value} == {}
        assert len(_breaches()) > 20
        await connection.execute("update invoicing.charged set amount = amount + 1 where month = '2016-03'")
        await watch.audit_once(connection, pipeline.kafka)
        assert _breaches()[POSTINGS] >= 1
        await connection.execute("update invoicing.charged set amount = amount - 1 where month = '2016-03'")
        await watch.audit_once(connection, pipeline.kafka)
        assert _breaches()[POSTINGS] == 0
    finally:
        flowing.cancel()
        with suppress(asyncio.CancelledError):
            await flowing
        await connection.close()


def _breaches() -> dict[str, float]:
    return {each.labels["identity"]: each.value for metric in watch.BREACHES.collect() for each in metric.samples}


async def _flow(pipeline: Pipeline) -> None:
    number = 0
    while True:
        await pipeline.push("alpha", [event("alpha", f"flow-{number + each}") for each in range(200)])
        number += 200


async def test_an_audit_is_put_off_where_usage_is_not_through(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch):
    await pipeline.through()
    await pipeline.stop("rating")
    await pipeline.push("alpha", [event("alpha", "waits")])
    await pipeline.read_by("plafond-ingest", lambda topic: topic.startswith("usage.raw."))
    monkeypatch.setattr(watch, "WAIT_SECONDS", 1.0)
    before = shown("plafond_audit_last_timestamp_seconds")
    connection = await connect(pipeline.url)
    await watch.audit_once(connection, pipeline.kafka)
    await connection.close()
    assert shown("plafond_audit_last_timestamp_seconds") == before
    await pipeline.start("rating")
    await pipeline.through()


async def test_one_worker_alone_audits_and_the_next_takes_over(pipeline: Pipeline):
    settings = Settings(pipeline.url, pipeline.kafka, "127.0.0.1", 0, 0, "1", audit_seconds=0.1)
    watch.LAST_AUDIT.set(0)
    await pipeline.stop("invoicing")  # its worker holds the lock
    other = await connect(pipeline.url)
    assert await other.fetchval(watch._ONE_WORKER)
    await asyncio.wait_for(watch._audit_alone(settings), 30)
    assert shown("plafond_audit_last_timestamp_seconds") == 0
    await other.close()
    mine = asyncio.create_task(watch._audit_alone(settings))
    await pipeline.start("invoicing")
    async with asyncio.timeout(60):
        while not shown("plafond_audit_last_timestamp_seconds"):
            await asyncio.sleep(0.1)
    mine.cancel()
    with suppress(asyncio.CancelledError):
        await mine
    assert shown("plafond_audit_last_timestamp_seconds") == 0, "whoever no longer audits shows nothing"
    assert _breaches() == {}


async def test_audits_can_be_switched_off(pipeline: Pipeline):
    settings = Settings("postgresql://nobody@127.0.0.1:1/none", pipeline.kafka, "127.0.0.1", 0, 0, "1", audit_seconds=0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch.audit_regularly(settings), 0.3)
