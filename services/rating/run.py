"""How the rating service starts."""

from services.access import topics_of
from services.contract_watch import Contracts, NewestContract
from services.decisions.topic import wait_until_whole
from services.kafka import ACCEPTED, RATING_GROUP, Sender, wait_for_topics
from services.metrics import begin_at_zero
from services.postgres import open_pool, wait_until_ready
from services.probes import Probes
from services.rating.agent import OUTCOMES, Rating
from services.rating.sql import STAGING
from services.rating.store import Books
from services.service import forever, kafka_answers, postgres_answers, run_together, watch_lag
from services.settings import Settings
from services.worker import AT_A_TIME, add_agent, make_app, run_app


async def run(settings: Settings) -> None:
    """Rate until told to stop."""
    await wait_until_ready(settings.database_url)
    pool = await open_pool(settings.database_url, "plafond-rating", size=2 * AT_A_TIME, first=STAGING)
    sender = Sender(settings.kafka, "rating")
    newest = NewestContract(pool, "rating")
    books = Books(pool)
    try:
        contract = await newest.wait()
        await wait_for_topics(settings.kafka, topics_of("rating", contract.providers))
        await wait_until_whole(pool, settings.kafka)
        await books.make_partitions(contract)
        begin_at_zero("rating", contract.providers, OUTCOMES)
        app = make_app("rating", settings.kafka, settings.instance)
        rating = Rating(books, Contracts(pool), sender, settings.kafka)
        attention = add_agent(app, "rating", ACCEPTED, rating.handle, books.park)

        async def follow() -> None:
            if await newest.look() and newest.contract:
                await books.make_partitions(newest.contract)
                begin_at_zero("rating", newest.contract.providers, OUTCOMES)

        checks = {"postgres": lambda: postgres_answers(pool), "kafka": lambda: kafka_answers(settings.kafka)}
        async with Probes(settings.host, settings.port, checks):
            lag = watch_lag("rating", settings.kafka, RATING_GROUP, ACCEPTED.__eq__, attention)
            await run_together(run_app(app), forever(1, follow), lag)
    finally:
        await sender.stop()
        await pool.close()
