"""plafond explain."""

import csv
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer

from services.audit.explain_event import explain
from services.audit.explain_line import events_of_line, explain_issued, explain_line, line_place
from services.audit.parts import UnexplainedError
from services.commands.explain_event import show_event
from services.commands.explain_line import show_line
from services.commands.servers import DatabaseOption, on_database
from services.contract.months import MONTH_PATTERN
from services.output import JsonOption, console, counted, fail, print_json, text
from services.postgres import Connection


def explain_command(
    what: Annotated[
        str,
        typer.Argument(help="An event's id, an invoice's number, or a month.", metavar="EVENT_ID|INVOICE|MONTH"),
    ],
    database_url: DatabaseOption,
    provider: Annotated[str | None, typer.Option(help="Of an event: whose it is.")] = None,
    line: Annotated[int | None, typer.Option(min=1, help="Which line of the invoice, counted from 1.")] = None,
    institution: Annotated[str | None, typer.Option(help="Of a month: whose statement.")] = None,
    events: Annotated[
        Path | None, typer.Option(help="Write the events behind the line into this CSV file instead.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell all about one event, or about one line of an invoice or an open month's statement.

    Of an event: when it came, what applied, what it cost, who pays, on which invoice. Of a line, downwards: what it is
    made of, the parts adding up to it; the meter, pool, fee or promise; the events behind it; and what was posted when.

    Examples:

    `plafond explain 1019-1376314846-v --provider numergy`

    `plafond explain CLOUD-I-2016-000012 --line 3`

    `plafond explain 2016-03 --institution EP --line 3`

    `plafond explain CLOUD-I-2016-000012 --line 3 --events events.csv`
    """
    if (provider is None) == (line is None):
        fail("say whose event it is with --provider, or which line of an invoice with --line", 2)
    if provider is not None:
        if institution is not None or events is not None:
            fail("--institution and --events go with --line", 2)
        _explain_event(database_url, provider, what, as_json=as_json)
        return
    is_month = re.fullmatch(MONTH_PATTERN, what) is not None
    if is_month == (institution is None):
        fail("a month goes with --institution, an invoice's number without", 2)
    assert line is not None, "there is a provider or a line"
    if events is not None:
        _write_events(database_url, what, institution, line, events)
        return

    try:
        found = on_database(database_url, lambda connection: _explain(connection, what, institution, line))
    except LookupError as error:
        fail(str(error.args[0]))
    except UnexplainedError as error:
        fail(f"{what} line {line} can't be explained: {error}; `plafond audit` checks the books as a whole")
    if as_json:
        print_json(found)
    else:
        show_line(found)


async def _explain(connection: Connection, what: str, institution: str | None, line: int) -> dict[str, Any]:
    if institution:
        return await explain_line(connection, what, institution, line)
    return await explain_issued(connection, what, line)


def _explain_event(database_url: str, provider: str, event_id: str, *, as_json: bool) -> None:
    found = on_database(database_url, lambda connection: explain(connection, provider, event_id))
    if found is None:
        fail(f"nothing is known of an event {event_id!r} of {provider!r}")
    if as_json:
        print_json(found)
    else:
        show_event(found)


def _write_events(database_url: str, what: str, institution: str | None, line: int, path: Path) -> None:
    async def work(connection: Connection) -> int:
        if institution:
            place = (what, institution, line)
        else:
            document, of_invoice = await line_place(connection, what, line)
            place = (document.month, document.institution, of_invoice)
        async with aclosing(events_of_line(connection, *place)) as found:
            return await _write(path, found)

    try:
        count = on_database(database_url, work)
    except LookupError as error:
        fail(str(error.args[0]))
    console.print(f"wrote {counted(count, 'event')} to {path}", highlight=False, soft_wrap=True)


async def _write(path: Path, events: AsyncGenerator[asyncpg.Record]) -> int:
    """Write events as they come, and return how many; a file that can't be written ends the command with status 2."""
    columns = ("provider", "id", "time", "quantity", "billed", "region", "resource", "batch", "corrected_by")
    count = 0
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            async for row in events:
                writer.writerow([text(row[column]) for column in columns])
                count += 1
    except OSError as error:
        fail(f"{path}: can't be written: {error.strerror}", 2)
    return count
