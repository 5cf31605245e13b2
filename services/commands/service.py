"""plafond run, migrate, topics: what an operator starts."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn

import structlog
import typer
import uvloop

from services import logs
from services.commands.servers import DatabaseOption, KafkaOption, on_database, run
from services.contract_store import newest
from services.decisions.topic import LostError
from services.kafka import ensure_topics, topics
from services.output import JsonOption, console, fail, print_json
from services.postgres import AddressError, Connection, SchemaError, connect, migrate
from services.settings import Settings, from_environment

logger = structlog.get_logger()
PORTS = {"ingest": 9101, "rating": 9102, "invoicing": 9103}
ServiceArgument = Annotated[str, typer.Argument(help="ingest, rating or invoicing.", metavar="SERVICE")]


def run_service(service: ServiceArgument) -> None:
    """Run one service until it is told to stop.

    Servers and ports come from the environment: PLAFOND_DATABASE_URL, PLAFOND_KAFKA, PLAFOND_HOST, PLAFOND_PORT
    (of /metrics, /healthz and /readyz: 9101, 9102, 9103), for ingest PLAFOND_GATEWAY_PORT (8080), and for invoicing
    PLAFOND_AUDIT_SECONDS (how often the books are audited beside the work: 3600, 0 for never).

    Example: `plafond run rating`
    """
    if service not in PORTS:
        fail(f"there is no service {service!r}: one of {', '.join(PORTS)}", 2)
    try:
        settings = from_environment(PORTS[service])
    except (SchemaError, ValueError) as error:
        fail(str(error), 2)
    logs.configure(service)
    _run_to_the_end(_main(service, settings))


def _main(service: str, settings: Settings) -> Coroutine[Any, Any, None]:
    """Return what runs a service; each loads only what it needs."""
    if service == "ingest":
        from services.ingest.run import run as ingest  # noqa: PLC0415

        return ingest(settings)
    if service == "rating":
        from services.rating.run import run as rating  # noqa: PLC0415

        return rating(settings)
    from services.audit.watch import audit_regularly  # noqa: PLC0415
    from services.closing.run import SECONDS, close_what_is_due  # noqa: PLC0415
    from services.invoicing.run import run as invoicing  # noqa: PLC0415

    return invoicing(settings, close_what_is_due, SECONDS, audit_regularly)


def _run_to_the_end(service: Coroutine[Any, Any, None]) -> NoReturn:
    """Run a service and leave the process at once when it has closed all that is its own.

    Faust leaves tasks behind that swallow their cancellation; waiting for them would hang.
    """
    status = 0
    try:
        asyncio.Runner(loop_factory=uvloop.new_event_loop).run(service)
    except (AddressError, SchemaError, LostError) as error:
        logger.error("service.failed", error=str(error))  # noqa: TRY400 its text says it all
        status = 2 if isinstance(error, AddressError) else 3
    except Exception:
        logger.exception("service.failed")
        status = 1
    sys.stderr.flush()
    os._exit(status)


def migrate_database(database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Bring the database to this program's schema.

    Example: `plafond migrate --database-url postgresql://plafond@db/plafond`
    """

    async def work() -> list[str]:
        connection = await connect(database_url)
        try:
            return await migrate(connection)
        finally:
            await connection.close()

    done = run(work())
    if as_json:
        print_json({"migrations": done})
    else:
        console.print(f"{len(done)} migrations ran: {', '.join(done)}" if done else "nothing to do")


topics_app = typer.Typer(help="Kafka's topics.", no_args_is_help=True)


@topics_app.command("apply")
def apply_topics(
    database_url: DatabaseOption, kafka: KafkaOption = "localhost:9092", as_json: JsonOption = False
) -> None:
    """Make the topics that the applied contract's providers and the services need; those that are there stay.

    Example: `plafond topics apply --kafka localhost:9092`
    """

    async def work(connection: Connection) -> list[str]:
        stored = await newest(connection)
        if stored is None:
            fail("no contract is applied yet: run `plafond contract apply FILE`")
        return await ensure_topics(kafka, topics(stored.contract.providers))

    made = on_database(database_url, work)
    if as_json:
        print_json({"made": made})
    else:
        console.print(f"made {len(made)} topics: {', '.join(made)}" if made else "nothing to do")
