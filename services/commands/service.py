"""plafond run, migrate, topics: what an operator starts."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Annotated, Any, NoReturn

import structlog
import typer
import uvloop

from services import logs
from services.access import Grant, grants
from services.commands.servers import DatabaseOption, KafkaOption, on_contract, run
from services.contract_store import StoredContract
from services.decisions.topic import LostError
from services.kafka import ensure_topics, put_settings_right, topics
from services.kafka_access import Granted, apply_grants
from services.output import JsonOption, console, counted, fail, print_json
from services.postgres import AddressError, Connection, SchemaError, connect, migrate
from services.settings import Settings, from_environment

logger = structlog.get_logger()
PORTS = {"ingest": 9101, "rating": 9102, "invoicing": 9103, "delivery": 9104}
ServiceArgument = Annotated[str, typer.Argument(help="ingest, rating, invoicing or delivery.", metavar="SERVICE")]


def run_service(service: ServiceArgument) -> None:
    """Run one service until it is told to stop.

    Servers and ports come from the environment: PLAFOND_DATABASE_URL, PLAFOND_KAFKA, PLAFOND_HOST, PLAFOND_PORT
    (of /metrics, /healthz and /readyz: 9101 to 9104), for ingest and delivery PLAFOND_GATEWAY_PORT (8080), for
    ingest PLAFOND_EVENTS_PER_SECOND (how many a provider may push over HTTP; 0 for no limit), and for invoicing
    PLAFOND_AUDIT_SECONDS (how often the books are audited beside the work: 3600, 0 for never). Delivery sends
    what is issued by e-mail where PLAFOND_SMTP_URL is set (or PLAFOND_SMTP_URL_FILE, a file with it), from
    PLAFOND_MAIL_FROM, with at most PLAFOND_MAIL_BYTES_MAX bytes attached; into the folder or bucket PLAFOND_STORE_URL;
    and keeps what it made in the folder PLAFOND_DOCUMENTS.

    Example: `plafond run rating`
    """
    if service not in PORTS:
        fail(f"there is no service {service!r}: one of {', '.join(PORTS)}", 2)
    try:
        work = _main(service, from_environment(PORTS[service]))
    except (SchemaError, ValueError) as error:
        fail(str(error), 2)
    logs.configure(service)
    _run_to_the_end(work)


def _main(service: str, settings: Settings) -> Coroutine[Any, Any, None]:
    """Return what runs a service; each loads only what it needs."""
    if service == "ingest":
        from services.ingest.run import run as ingest  # noqa: PLC0415

        return ingest(settings)
    if service == "rating":
        from services.rating.run import run as rating  # noqa: PLC0415

        return rating(settings)
    if service == "delivery":
        from services.delivery.run import run as delivery  # noqa: PLC0415
        from services.delivery.settings import ways  # noqa: PLC0415

        return delivery(settings, ways())
    from services.audit.watch import audit_regularly  # noqa: PLC0415
    from services.closing.run import SECONDS, close_what_is_due  # noqa: PLC0415
    from services.invoicing.run import run as invoicing  # noqa: PLC0415

    return invoicing(settings, partial(close_what_is_due, settings.database_url), SECONDS, audit_regularly)


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
    database_url: DatabaseOption,
    kafka: KafkaOption = "localhost:9092",
    rights: Annotated[
        bool, typer.Option("--rights/--no-rights", help="Say who may use them; not where something else does.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Make the topics that providers and services need, with their settings, and say who may use them.

    A provider's user, `provider-<code>`, may write to its own topic and do nothing else; a service's, `plafond-<name>`,
    only what it needs; `plafond-operator`, who runs commands, everything. What of theirs is not granted any more is
    taken back; users of other names are left alone. Can be repeated at any time.

    Examples: `plafond topics apply --kafka localhost:9092`, `plafond topics apply --no-rights`
    """

    async def work(_: Connection, stored: StoredContract) -> tuple[list[str], list[str], Granted | None]:
        wanted, providers = topics(stored.contract.providers), stored.contract.providers
        made = await ensure_topics(kafka, wanted)
        changed = await put_settings_right(kafka, wanted)
        return made, changed, await apply_grants(kafka, grants(providers)) if rights else None

    made, changed, granted = on_contract(database_url, work)
    if as_json:
        told = granted and {what: [*map(_as_data, some)] for what, some in granted._asdict().items()}
        print_json({"made": made, "changed": changed, "grants": told})
        return
    for what, names in (("made", made), ("gave other settings to", changed)):
        if names:
            console.print(f"{what} {counted(len(names), 'topic')}: {', '.join(names)}", highlight=False)
    if granted is None and rights:
        console.print("this broker checks nobody's rights: whoever reaches it may do everything", style="yellow")
    elif granted and (granted.made or granted.taken_back):
        done = f"granted {counted(len(granted.made), 'right')}, took {counted(len(granted.taken_back), 'right')} back"
        console.print(done, highlight=False)
    elif not made and not changed:
        console.print("nothing to do")


def _as_data(grant: Grant) -> dict[str, Any]:
    return {**grant._asdict(), "kind": grant.kind.name.lower(), "operation": grant.operation.name.lower()}
