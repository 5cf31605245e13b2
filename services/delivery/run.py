"""How the delivery service starts: the rounds, and the desk where institutions fetch their documents."""

from functools import partial

import structlog
from aiokafka.errors import KafkaError

from services.access import topics_of
from services.contract_watch import NewestContract
from services.decisions.topic import wait_until_whole
from services.delivery.channels import ways_of
from services.delivery.documents import Documents
from services.delivery.download import downloads
from services.delivery.journal import Journal
from services.delivery.metrics import measure
from services.delivery.outbox import Channel
from services.delivery.rounds import Rounds
from services.delivery.settings import Ways
from services.kafka import Sender, wait_for_topics
from services.keys import INSTITUTIONS, KeyRing
from services.postgres import open_pool, wait_until_ready
from services.probes import Probes
from services.service import forever, kafka_answers, postgres_answers, run_together
from services.settings import Settings
from services.web import serve

ROUND_SECONDS, MEASURE_SECONDS, KEYS_SECONDS = 5.0, 10.0, 2.0
CONNECTIONS = 8
"""Making documents and each way keep one for as long as they are at it; the desk must not wait for them."""

log = structlog.get_logger()


async def run(settings: Settings, ways: Ways) -> None:
    """Deliver until told to stop."""
    await wait_until_ready(settings.database_url)
    pool = await open_pool(settings.database_url, "plafond-delivery", size=CONNECTIONS)
    sender = Sender(settings.kafka, "delivery")
    journal, ring = Journal(settings.kafka, sender), KeyRing(INSTITUTIONS)
    documents = Documents(ways.documents, settings.database_url)
    rounds = Rounds(pool, documents, ways_of(ways, journal))

    try:
        contract = await NewestContract(pool, "delivery").wait()
        await wait_for_topics(settings.kafka, topics_of("delivery", contract.providers))
        await wait_until_whole(pool, settings.kafka)
        await ring.refresh(pool)
        log.info("delivery.ways", channels=[each.value for each in rounds.channels], documents=str(ways.documents))
        checks = {"postgres": lambda: postgres_answers(pool), "kafka": lambda: kafka_answers(settings.kafka)}
        async with Probes(settings.host, settings.port, checks):
            await run_together(
                serve(downloads(ring, pool, documents), settings.host, settings.gateway_port),
                forever(ROUND_SECONDS, rounds.prepare),
                *(forever(ROUND_SECONDS, partial(_send, rounds, each)) for each in rounds.channels),
                forever(MEASURE_SECONDS, lambda: measure(pool)),
                forever(KEYS_SECONDS, lambda: ring.refresh(pool)),
            )
    finally:
        await journal.stop()
        await sender.stop()
        await pool.close()


async def _send(rounds: Rounds, channel: Channel) -> None:
    try:
        await rounds.send(channel)
    except KafkaError as error:
        log.warning("kafka.failed", error=repr(error))
