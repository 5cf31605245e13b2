"""How the ingest service starts: gateway, consumer and recorder in one process."""

import asyncpg

from services.access import topics_of
from services.contract.model import Contract
from services.contract_watch import NewestContract
from services.decisions.topic import wait_until_whole
from services.ingest.consume import Ingest
from services.ingest.delivered import SECONDS, Delivered
from services.ingest.gateway import gateway
from services.ingest.outlet import Outlet
from services.ingest.record import Recorder
from services.kafka import (
    FLOW_PARTITIONS,
    INGEST_GROUP,
    RAW_PATTERN,
    RECORD_GROUP,
    REJECTED,
    Sender,
    is_raw,
    wait_for_topics,
)
from services.kafka_reader import reading
from services.keys import KeyRing
from services.metrics import begin_at_zero
from services.postgres import open_pool, wait_until_ready
from services.probes import Probes
from services.reasons import Reason
from services.service import forever, kafka_answers, postgres_answers, run_together, watch_lag
from services.settings import Settings
from services.standstill import Attention
from services.web import serve


async def run(settings: Settings) -> None:
    """Take usage in until told to stop. The gateway answers at once, with 503 for as long as Kafka is away."""
    await wait_until_ready(settings.database_url)
    pool = await open_pool(settings.database_url, "plafond-ingest")
    sender, outlet, ring = Sender(settings.kafka, "ingest"), Outlet(settings.kafka), KeyRing()
    newest, attention, recorder = NewestContract(pool, "ingest"), Attention(), Attention()
    delivered = Delivered()
    try:
        _begin_at_zero(await newest.wait())
        await ring.refresh(pool)

        async def follow() -> None:
            if await newest.look() and newest.contract:
                _begin_at_zero(newest.contract)
                await wait_for_topics(settings.kafka, topics_of("ingest", newest.contract.providers))

        checks = {"postgres": lambda: postgres_answers(pool), "kafka": lambda: kafka_answers(settings.kafka)}
        door = gateway(ring, outlet.send, pool, settings.events_per_second)
        async with Probes(settings.host, settings.port, checks):
            await run_together(
                serve(door, settings.host, settings.gateway_port),
                _consume(settings.kafka, pool, sender, newest, attention, delivered),
                _record(settings.kafka, pool, recorder),
                forever(1, follow),
                forever(2, lambda: ring.refresh(pool)),
                forever(SECONDS, lambda: delivered.keep(pool, newest.contract)),
                watch_lag("ingest", settings.kafka, INGEST_GROUP, is_raw, attention),
                watch_lag("ingest", settings.kafka, RECORD_GROUP, REJECTED.__eq__, recorder),
            )
    finally:
        await outlet.stop()
        await sender.stop()
        await pool.close()


def _begin_at_zero(contract: Contract) -> None:
    begin_at_zero("ingest", contract.providers, ["accepted", *Reason])


async def _consume(
    kafka: str,
    pool: asyncpg.Pool,
    sender: Sender,
    newest: NewestContract,
    attention: Attention,
    delivered: Delivered,
) -> None:
    contract = await newest.wait()
    await wait_for_topics(kafka, topics_of("ingest", contract.providers))
    await wait_until_whole(pool, kafka)
    async with reading(kafka, INGEST_GROUP, pattern=RAW_PATTERN) as reader:
        await Ingest(reader, sender, newest, FLOW_PARTITIONS, attention, delivered).run()


async def _record(kafka: str, pool: asyncpg.Pool, attention: Attention) -> None:
    async with reading(kafka, RECORD_GROUP, REJECTED) as reader:
        await Recorder(reader, pool, attention).run()
