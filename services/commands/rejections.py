"""plafond rejections: what was not taken, and sending it through again."""

import sys
import uuid
from typing import Annotated, Any

import typer

from services.commands.servers import DatabaseOption, KafkaOption, on_database
from services.ingest.replay import NEVER_REPLAYED, replay
from services.output import Column, JsonOption, console, fail, print_json, show
from services.postgres import Connection
from services.reasons import TEXTS, Reason

app = typer.Typer(help="Usage that was not taken.", no_args_is_help=True)
ReasonOption = Annotated[str | None, typer.Option(help="Only this reason.")]
ProviderOption = Annotated[str | None, typer.Option(help="Only this provider.")]

_LIST = """
select rejection, provider, event_id, reason, explanation, topic, partition, "offset", received_at, version,
       left(encode(payload, 'escape'), 4000) as payload,
       (select max(replayed_at) from ingest.replay where replay.rejection = rejection.rejection) as replayed_at
from ingest.rejection
where ($1::text is null or reason = $1) and ($2::text is null or provider = $2)
order by received_at desc, topic, partition, "offset" desc limit $3
"""
_PAYLOAD = "select payload from ingest.rejection where rejection = $1"
_SUMMARY = """
select reason, provider, count(distinct event_id) + count(*) filter (where event_id is null) as events,
       count(*) as messages, min(received_at) as first, max(received_at) as last
from ingest.rejection where ($1::text is null or reason = $1) and ($2::text is null or provider = $2)
group by reason, provider order by events desc, reason, provider
"""


@app.command("list")
def list_rejections(
    database_url: DatabaseOption,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show rejections, newest first; --json has the original message too.

    Example: `plafond rejections list --reason unknown_item --provider numergy`
    """
    _known(reason)
    rows = on_database(database_url, lambda connection: _fetch(connection, _LIST, reason, provider, limit))
    if not as_json:
        for row in rows:
            row["place"] = f"{row['partition']}/{row['offset']}"
    columns = [
        Column("received_at", "received", whole=True), Column("provider", "provider"), Column("place", "place"),
        Column("event_id", "event", cut=True), Column("explanation", "why"),
    ]  # fmt: skip
    show(rows, columns, title=f"Rejections, newest {len(rows)}", as_json=as_json)


@app.command("show")
def show_rejection(
    rejection: Annotated[uuid.UUID, typer.Argument(help="Its id, as `list --json` gives it.", metavar="REJECTION")],
    database_url: DatabaseOption,
) -> None:
    """Write the original message of one rejection to standard output, byte for byte.

    Example: `plafond rejections show 0b9d… > message.json`
    """
    rows = on_database(database_url, lambda connection: _fetch(connection, _PAYLOAD, rejection))
    if not rows:
        fail(f"there is no rejection {rejection}")
    sys.stdout.buffer.write(rows[0]["payload"] or b"")


@app.command("summary")
def summarise(
    database_url: DatabaseOption,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count rejections by reason and provider; one event may have come in several messages, or been replayed.

    Example: `plafond rejections summary`
    """
    _known(reason)
    rows = on_database(database_url, lambda connection: _fetch(connection, _SUMMARY, reason, provider))
    for row in rows:
        row["text"] = TEXTS[Reason(row["reason"])]
    columns = [
        Column("reason", "reason", whole=True), Column("provider", "provider", whole=True),
        Column("events", "events", right=True), Column("messages", "messages", right=True),
        Column("last", "last received", whole=True), Column("text", "which means", cut=True),
    ]  # fmt: skip
    show(rows, columns, title="Rejections", as_json=as_json)


@app.command("replay")
def replay_rejections(
    database_url: DatabaseOption,
    kafka: KafkaOption = "localhost:9092",
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were sent through before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send rejected messages through once more, once the contract is mended; what was taken meanwhile is a repeat.

    Example: `plafond rejections replay --reason unknown_item`
    """
    _known(reason)
    if reason in NEVER_REPLAYED:
        fail(f"{reason} can't be mended by sending the same message again: {TEXTS[Reason(reason)]}", 2)
    sent = on_database(
        database_url, lambda connection: replay(connection, kafka, reason=reason, provider=provider, again=again)
    )
    if as_json:
        print_json({"replayed": sent})
    else:
        console.print(f"{sent} messages sent through again")


async def _fetch(connection: Connection, statement: str, *arguments: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch(statement, *arguments)]


def _known(reason: str | None) -> None:
    if reason is not None and reason not in list(Reason):
        fail(f"there is no reason {reason!r}: one of {', '.join(Reason)}", 2)
