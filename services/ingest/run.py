"""How the ingest service starts: gateway, consumer and recorder in one process."""

import asyncio

import uvicorn
from fastapi import FastAPI

from services.contract_watch import NewestContract
from services.ingest.consume import Ingest
from services.ingest.gateway import gateway
from services.ingest.keys import KeyRing
from services.ingest.outlet import Outlet
from services.ingest.record import Recorder
from services.kafka import (
    FLOW_PARTITIONS,
    INGEST_GROUP,
    RAW_PATTERN,
    RECORD_GROUP,
    REJECTED,
    Sender,
    consumer,
    ensure_topics,
    is_raw,
    topics,
)
from services.postgres import open_pool, wait_until_ready
from services.probes import Probes
from services.service import forever, kafka_answers, postgres_answers, run_together, watch_lag
from services.settings import Settings


async def run(settings: Settings) -> None:
    """Take usage in until told to stop."""
    await wait_until_ready(settings.database_url)
    pool = await open_pool(settings.database_url, "plafond-ingest")
    sender = Sender(settings.kafka, "ingest")
    newest = NewestContract(pool, "ingest")
    reader = consumer(settings.kafka, INGEST_GROUP)
    recorder_reader = consumer(settings.kafka, RECORD_GROUP, REJECTED)
    try:
        contract = await newest.wait()
        await ensure_topics(settings.kafka, topics(contract.providers))
        reader.subscribe(pattern=RAW_PATTERN)
        await reader.start()
        await recorder_reader.start()

        async def follow() -> None:
            if await newest.look() and newest.contract:
                await ensure_topics(settings.kafka, topics(newest.contract.providers))

        checks = {"postgres": lambda: postgres_answers(pool), "kafka": lambda: kafka_answers(settings.kafka)}
        ring = KeyRing()
        await ring.refresh(pool)
        outlet = Outlet(settings.kafka)
        async with Probes(settings.host, settings.port, checks):
            await run_together(
                Ingest(reader, sender, newest, FLOW_PARTITIONS).run(),
                Recorder(recorder_reader, pool).run(),
                _serve(gateway(ring, outlet.send, pool), settings),
                forever(1, follow),
                forever(2, lambda: ring.refresh(pool)),
                watch_lag("ingest", settings.kafka, INGEST_GROUP, is_raw),
            )
    finally:
        await reader.stop()
        await recorder_reader.stop()
        await sender.stop()
        await pool.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service has its own."""

    def install_signal_handlers(self) -> None:
        pass


async def _serve(app: FastAPI, settings: Settings) -> None:
    config = uvicorn.Config(
        app,
        settings.host,
        settings.gateway_port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    server = _Server(config)
    try:
        await server.serve()
    except asyncio.CancelledError:
        server.should_exit = True
        await server.shutdown()
        raise
