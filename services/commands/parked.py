"""plafond parked: messages between the services that could not be read."""

from typing import Annotated

import typer

from services.commands.servers import DatabaseOption, KafkaOption, on_database
from services.output import Column, JsonOption, console, fail, print_json, show
from services.recovery.parked import dismiss, parked, send_again

app = typer.Typer(help="Messages between the services that could not be read, kept whole.", no_args_is_help=True)
_PARTITION_MAX, _OFFSET_MAX = 2**31 - 1, 2**63 - 1
_COLUMNS = [
    Column("parked_at", "parked", whole=True), Column("service", "by"), Column("place", "place", whole=True),
    Column("bytes", "bytes", right=True), Column("error", "why", cut=True), Column("resolution", "dealt with"),
]  # fmt: skip


@app.command("list")
def list_parked(
    database_url: DatabaseOption,
    everything: Annotated[bool, typer.Option("--all", help="Also what was dealt with.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is parked, newest first; the audit is not clean until each is sent again or dismissed.

    Example: `plafond parked list`
    """
    rows = on_database(database_url, lambda connection: parked(connection, everything=everything))
    for row in rows:
        row["place"] = f"{row['topic']}/{row['partition']}/{row['offset']}"
    show(rows, _COLUMNS, title=f"Parked messages: {len(rows)}", as_json=as_json)


@app.command("replay")
def replay_parked(
    database_url: DatabaseOption, kafka: KafkaOption = "localhost:9092", as_json: JsonOption = False
) -> None:
    """Send all parked messages through again, once what was amiss is mended; what still can't be read is parked anew.

    A broker that is away ends the command with status 3; what was not sent stays parked.

    Example: `plafond parked replay`, after `plafond contract apply` of the version that was missing
    """
    sent = on_database(database_url, lambda connection: send_again(connection, kafka))
    if as_json:
        print_json({"sent_again": sent})
    else:
        console.print(f"{sent} messages sent through again", highlight=False)


@app.command("dismiss")
def dismiss_parked(
    place: Annotated[str, typer.Argument(help="topic/partition/offset, as `list` shows it.", metavar="PLACE")],
    reason: Annotated[str, typer.Option(help="Why nothing is lost without it; stays on record.")],
    database_url: DatabaseOption,
) -> None:
    """Mark a parked message as dealt with, for a reason; if it held usage, the audit goes on showing what is missing.

    Example: `plafond parked dismiss usage.accepted/2/1041 --reason "a test message of 3 March"`
    """
    topic, _, rest = place.partition("/")
    partition, _, offset = rest.partition("/")
    is_place = partition.isdecimal() and offset.isdecimal()
    if not is_place or int(partition) > _PARTITION_MAX or int(offset) > _OFFSET_MAX:
        fail(f"{place!r} is no place: give topic/partition/offset, like usage.accepted/2/1041", 2)
    if not reason.strip():
        fail("--reason is empty: say why nothing is lost", 2)
    found = on_database(
        database_url, lambda connection: dismiss(connection, topic, int(partition), int(offset), reason.strip())
    )
    if not found:
        fail(f"nothing is parked at {place}: see `plafond parked list`")
    console.print("dismissed", highlight=False)
