"""Invoicing's agent: a batch of charges in, postings, spending and alerts out."""

import time

import asyncpg
from prometheus_client import Histogram

from services.avro import codec
from services.contract_watch import Contracts
from services.invoicing.alerts import Publisher
from services.invoicing.ledger import post_charges
from services.kafka import Place
from services.metrics import BATCH_EVENTS, EVENTS_TOTAL, SECONDS

FRESHNESS_SECONDS = Histogram(
    "plafond_freshness_seconds", "From an event's being accepted to the ceilings' being updated.", buckets=SECONDS
)


class Invoicing:
    """Posts one batch after the other."""

    def __init__(self, pool: asyncpg.Pool, contracts: Contracts, publisher: Publisher) -> None:
        self._pool, self._contracts, self._publisher = pool, contracts, publisher

    async def handle(self, message: bytes, _place: Place) -> None:
        """Post the batch in a message of `charges`."""
        batch = codec("charge_batch").decode(message)
        contract = await self._contracts.version(batch["version"], sha256=batch["contract"])
        posted = await post_charges(self._pool, batch, contract)
        outcome = "posted" if posted else "batch_again"
        EVENTS_TOTAL.labels("invoicing", "all", outcome).inc(len(batch["lines"]))
        if posted:
            BATCH_EVENTS.labels("invoicing").observe(len(batch["lines"]))
            FRESHNESS_SECONDS.observe(max(0.0, time.time() - batch["accepted_at"] / 1_000_000))
            await self._publisher.publish()
