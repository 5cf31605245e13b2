"""How the invoicing service starts."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
from prometheus_client import Gauge

from services.access import topics_of
from services.contract_watch import Contracts, NewestContract
from services.decisions.topic import publish, wait_until_whole
from services.invoicing import endings, outbox, sql
from services.invoicing.agent import Invoicing
from services.invoicing.alerts import Publisher
from services.invoicing.ceilings import CeilingKey, Level, reached, standings
from services.invoicing.ledger import park, raise_alerts
from services.invoicing.provisional import provisional_in_open_months
from services.invoicing.settle_open import settle_open_months
from services.kafka import CHARGES, INVOICING_GROUP, Sender, wait_for_topics
from services.postgres import open_pool, wait_until_ready
from services.probes import Probes
from services.service import forever, kafka_answers, postgres_answers, run_together, watch_lag
from services.settings import Settings
from services.worker import AT_A_TIME, add_agent, make_app, run_app

SPENT = Gauge("plafond_spent_euros", "Spent so far.", ["level", "code"])
CEILING = Gauge("plafond_ceiling_euros", "The most that may be spent.", ["level", "code"])
SPENT_RATIO = Gauge("plafond_spent_ratio", "Spent as a part of the ceiling; 1 is the ceiling.", ["level", "code"])
THRESHOLD_REACHED = Gauge(
    "plafond_threshold_reached_percent",
    "The highest of the contract's thresholds that is reached, in per cent of the ceiling; 0 where none is.",
    ["level", "code"],
)
BELOW_ZERO = Gauge("plafond_usage_below_zero", "Subjects' items of which more was taken back than used; 0 is right.")
RATES_MISSING = Gauge(
    "plafond_rates_missing",
    "Months of awards that are charged at an earlier month's rate until the contract has theirs.",
)
SETTLE_SECONDS = 3600.0
"""How often what is shared in open months is put right; until then it is as direct use stood when it was charged."""
LAST_CLOSE = Gauge("plafond_last_close_timestamp_seconds", "When a month was last closed, in Unix time.")


Close = Callable[[asyncpg.Pool], Awaitable[None]]
Audit = Callable[[Settings], Coroutine[Any, Any, None]]


async def run(settings: Settings, close: Close, close_seconds: float, audit: Audit) -> None:
    """Post until told to stop; `close` is called every so many seconds to close the months that are due.

    `audit` runs beside the work; it never ends.
    """
    await wait_until_ready(settings.database_url)
    pool = await open_pool(settings.database_url, "plafond-invoicing", size=2 * AT_A_TIME)
    sender = Sender(settings.kafka, "invoicing")
    newest = NewestContract(pool, "invoicing")
    publisher = Publisher(pool, sender)
    try:
        contract = await newest.wait()
        await wait_for_topics(settings.kafka, topics_of("invoicing", contract.providers))
        await wait_until_whole(pool, settings.kafka)
        app = make_app("invoicing", settings.kafka, settings.instance)
        contracts = Contracts(pool)
        invoicing = Invoicing(pool, contracts, publisher)
        attention = add_agent(app, "invoicing", CHARGES, invoicing.handle, partial(park, pool))

        async def follow() -> None:
            await newest.look()
            if newest.contract:
                await raise_alerts(pool, newest.contract)
            await publisher.publish()
            await publish(pool, sender)
            await show_spending(pool, newest)
            await show_missing_rates(pool, newest, contracts)

        checks = {"postgres": lambda: postgres_answers(pool), "kafka": lambda: kafka_answers(settings.kafka)}
        async with Probes(settings.host, settings.port, checks):
            lag = watch_lag("invoicing", settings.kafka, INVOICING_GROUP, CHARGES.__eq__, attention)
            settling = forever(0, partial(settle_later, pool))
            closing = forever(close_seconds, partial(close, pool))
            waiting = forever(outbox.SECONDS, partial(outbox.show_outbox, pool))
            ending = forever(endings.SECONDS, partial(show_endings_of, newest))
            parts = (settling, closing, waiting, ending, audit(settings), lag)
            await run_together(run_app(app), forever(1, follow), *parts)
    finally:
        await sender.stop()
        await pool.close()


async def settle_later(pool: asyncpg.Pool) -> None:
    """Settle open months once, not at the start, when there may be a backlog to work off."""
    await asyncio.sleep(SETTLE_SECONDS)
    await settle_open_months(pool)


async def show_endings_of(newest: NewestContract) -> None:
    """Set the gauges of what of the contract comes to an end."""
    assert newest.contract is not None
    endings.show_endings(newest.contract, datetime.now(UTC))


async def show_spending(pool: asyncpg.Pool, newest: NewestContract) -> None:
    """Set the gauges of spending from the books, so that every replica shows the same."""
    assert newest.contract is not None
    async with pool.acquire() as connection:
        rows = await connection.fetch(sql.SPENT)
        below_zero = await connection.fetchval("select count(*) from invoicing.charged where quantity < 0")
        last_close = await connection.fetchval("select max(closed_at) from invoicing.month")
    spent = {CeilingKey(Level(row["level"]), row["code"]): row["amount"] for row in rows}
    for each in standings(newest.contract, spent):
        SPENT.labels(*each.key).set(float(each.spent))
        if each.ceiling:
            CEILING.labels(*each.key).set(float(each.ceiling))
            SPENT_RATIO.labels(*each.key).set(float(each.spent / each.ceiling))
            passed = reached(newest.contract.thresholds, each.ceiling, each.spent)
            THRESHOLD_REACHED.labels(*each.key).set(max(passed, default=0))
    BELOW_ZERO.set(below_zero)
    if last_close:
        LAST_CLOSE.set(last_close.timestamp())


async def show_missing_rates(pool: asyncpg.Pool, newest: NewestContract, contracts: Contracts) -> None:
    """Set the gauge of rates that are missing, where the contract has prices in other currencies at all."""
    assert newest.contract is not None
    if not newest.contract.rates:
        return
    async with pool.acquire() as connection:
        rerating = await connection.fetchval("select coalesce(max(rerating), 0) from contract.rerating")
    contract = await contracts.version(newest.version, rerating)
    async with pool.acquire() as connection:
        RATES_MISSING.set(len(await provisional_in_open_months(connection, contract)))
