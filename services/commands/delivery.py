"""plafond delivery: what went to whom, what waits, and what only a person can decide."""

import json
from typing import Annotated, Any

import typer

from services.commands.month import refuse_no_month
from services.commands.servers import DatabaseOption, on_database
from services.contract.identifiers import is_email
from services.delivery import outbox
from services.delivery.outbox import AskedError, Channel
from services.invoicing.issued import issued_document
from services.output import Column, JsonOption, console, counted, fail, print_json, show
from services.postgres import Connection

REASON_MAX = 500
NAMES_SHOWN = 10
app = typer.Typer(
    help="What of invoices and credit notes went to whom, and what waits.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

NumberArgument = Annotated[str, typer.Argument(help="The document's number.", metavar="NUMBER")]
ReasonOption = Annotated[str, typer.Option(help="Why; it stays on record.")]

_LIST = """
select delivery, number, institution, month, channel, address, round, state, tries, answer, queued_at,
       case when state = 'queued' then due_at end as due_at, ended_at
from delivery.outbox join (select number, month from invoicing.issued) as issued using (number)
where ($1::text is null or month = $1) and ($2::text is null or institution = $2) and ($3::text is null or state = $3)
order by delivery
"""
_NOBODY = """
select number, given.channel
from delivery.given join (select number, month, institution from invoicing.issued) as issued using (number)
where not exists (select from delivery.outbox where outbox.number = given.number and outbox.channel = given.channel)
      and ($1::text is null or month = $1) and ($2::text is null or institution = $2)
order by number
"""
_NOT_MADE = """
select number, issued.month, institution from invoicing.issued
where not exists (select from invoicing.document as made where made.month = issued.month and made.name = number)
      and ($1::text is null or month = $1) and ($2::text is null or institution = $2)
order by month, number
"""
_ATTEMPTS = """
select attempt.ended_at as at, channel, address, round, outcome, attempt.answer, files, by
from delivery.attempt join delivery.outbox using (delivery) where number = $1 order by at, attempt
"""
_DOWNLOADS = """
select at, form, encode(sha256, 'hex') as sha256 from delivery.download where number = $1 order by download
"""
_COLUMNS = [
    Column("delivery", "id", right=True), Column("number", "document", whole=True),
    Column("institution", "institution", spare=True), Column("channel", "by", whole=True),
    Column("address", "to"), Column("state", "state", whole=True), Column("tries", "tries", right=True),
    Column("when", "when", whole=True), Column("answer", "answer"),
]  # fmt: skip
_ATTEMPT_COLUMNS = [
    Column("at", "when", whole=True), Column("channel", "by", whole=True), Column("address", "to"),
    Column("outcome", "outcome", whole=True), Column("answer", "answer"), Column("files", "files"),
]  # fmt: skip
_DOWNLOAD_COLUMNS = [
    Column("at", "when", whole=True), Column("form", "file", whole=True), Column("sha256", "SHA-256", cut=True),
]  # fmt: skip
STATES = ("queued", "sent", "refused", "doubtful", "dismissed")


@app.command("list")
def list_command(
    database_url: DatabaseOption,
    month: Annotated[str | None, typer.Option(help="Only documents of this month, like 2016-03.")] = None,
    institution: Annotated[str | None, typer.Option(help="Only what is this institution's.")] = None,
    state: Annotated[str | None, typer.Option(help=f"Only what is {', '.join(STATES)}.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what went to whom and when, and what waits, was refused, or is doubtful.

    Doubtful is what was handed over whole and nobody said whether it was taken. It is never sent again by itself: ask
    the receiver, then `plafond delivery resend` or `dismiss`. Exit status 1: something is refused or doubtful.

    Examples: `plafond delivery list --month 2016-03`, `plafond delivery list --state doubtful`
    """
    if month is not None:
        refuse_no_month(month)
    if state is not None and state not in STATES:
        fail(f"--state {state!r}: one of {', '.join(STATES)}", 2)

    async def work(connection: Connection) -> list[list[dict[str, Any]]]:
        asked = [await connection.fetch(_LIST, month, institution, state)]
        asked += [await connection.fetch(each, month, institution) for each in (_NOBODY, _NOT_MADE)]
        return [[dict(row) for row in rows] for rows in asked]

    rows, nobody, not_made = on_database(database_url, work)
    if as_json:
        print_json({"deliveries": rows, "to_nobody": nobody, "not_made": not_made})
    else:
        _show_list(rows)
    if state is None and not as_json:
        _show_others(
            "to nobody, since no address is known", [f"{each['number']} by {each['channel']}" for each in nobody]
        )
        _show_others("not made yet, or lacking something (`plafond months`)", [each["number"] for each in not_made])
    if any(row["state"] in {"refused", "doubtful"} for row in rows):
        raise typer.Exit(1)


def _show_list(rows: list[dict[str, Any]]) -> None:
    if rows:
        shown = [{**row, "when": row["ended_at"] or row["due_at"]} for row in rows]
        show(shown, _COLUMNS, title="Deliveries")
    else:
        console.print("no deliveries")


def _show_others(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        said = f"{what}: {', '.join(names[:NAMES_SHOWN])}{more}"
        console.print(said, style="yellow", highlight=False, soft_wrap=True, markup=False)


@app.command("show")
def show_command(number: NumberArgument, database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Show every try to deliver a document, what was sent with it, and when it was fetched over HTTP.

    Example: `plafond delivery show CLOUD-I-2016-000012`
    """

    async def work(connection: Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        await _refuse_unknown(connection, number)
        attempts = [dict(row) for row in await connection.fetch(_ATTEMPTS, number)]
        return attempts, [dict(row) for row in await connection.fetch(_DOWNLOADS, number)]

    attempts, downloads = on_database(database_url, work)
    for each in attempts:
        each["files"] = json.loads(each["files"])
    if as_json:
        print_json({"attempts": attempts, "downloads": downloads})
        return
    if attempts:
        rows = [{**each, "files": ", ".join(each["files"])} for each in attempts]
        show(rows, _ATTEMPT_COLUMNS, title=f"Attempts to deliver {number}")
    else:
        console.print(f"{number}: never tried to deliver")
    if downloads:
        show(downloads, _DOWNLOAD_COLUMNS, title="Fetched over HTTP")


@app.command("resend")
def resend_command(
    numbers: Annotated[list[str], typer.Argument(help="The documents' numbers.", metavar="NUMBER...")],
    reason: ReasonOption,
    database_url: DatabaseOption,
    to: Annotated[list[str] | None, typer.Option(help="To this address alone; may be given several times.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Queue documents' e-mails once more: to all addresses that they went to, or to others.

    The delivery service sends each as a message of its own. Who asked for it and why stays on record.

    Examples: `plafond delivery resend CLOUD-I-2016-000012 --reason "The mailbox was full"`,
    `plafond delivery resend CLOUD-I-2016-000012 --to accounts@example.eu --reason "New address"`
    """
    _check_reason(reason)
    if bad := [each for each in to or [] if not is_email(each)]:
        fail(f'--to {bad[0]!r}: wanted one e-mail address, like "invoices@example.eu"', 2)

    async def work(connection: Connection) -> list[dict[str, Any]]:
        made = []
        async with connection.transaction():
            for each in dict.fromkeys(numbers):
                mine = await _refuse_unknown(connection, each)
                queued = await outbox.send_again(connection, each, mine, Channel.EMAIL, to or [], reason.strip())
                made.append({"number": each, "deliveries": queued})
        return made

    try:
        made = on_database(database_url, work)
    except AskedError as error:
        fail(str(error))
    if as_json:
        print_json(made)
        return
    for each in made:
        console.print(f"{each['number']}: queued {counted(len(each['deliveries']), 'e-mail')}", highlight=False)


@app.command("dismiss")
def dismiss_command(
    delivery: Annotated[int, typer.Argument(help="Its id, as `delivery list` shows it.", metavar="ID")],
    reason: ReasonOption,
    database_url: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """End a delivery that waits, was refused or is doubtful, without sending it.

    Example: `plafond delivery dismiss 17 --reason "They have confirmed that they got it"`
    """
    _check_reason(reason)
    try:
        number = on_database(database_url, lambda connection: outbox.dismiss(connection, delivery, reason.strip()))
    except AskedError as error:
        fail(str(error))
    if as_json:
        print_json({"delivery": delivery, "number": number})
    else:
        console.print(f"delivery {delivery} of {number} is dismissed", highlight=False)


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= REASON_MAX:
        fail(f"--reason: wanted 1 to {REASON_MAX} characters", 2)


async def _refuse_unknown(connection: Connection, number: str) -> str:
    """Return whose document it is; ends the command where there is none of that number."""
    try:
        return (await issued_document(connection, number)).institution
    except LookupError as error:
        fail(str(error))
