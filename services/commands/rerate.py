"""plafond rerate: a month priced again, after a price was wrong."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from services.commands.month_range import months_given
from services.commands.servers import DatabaseOption, KafkaOption, run
from services.contract.currencies import CURRENCY_DIGITS, amount_text
from services.contract.money import ZERO, plain, subtract, total
from services.contract_store import ContractError
from services.kafka import Sender
from services.output import Column, JsonOption, console, counted, fail, print_json, show
from services.postgres import Connection, check_schema, connect
from services.rerating.plan import Plan
from services.rerating.store import look, post, waiting

POSTED_SECONDS = 60
_MONTH = Column("month", "of month", whole=True)
_COLUMNS = [
    Column("institution", "institution", whole=True), Column("award", "award"), Column("item", "item"),
    Column("kind", "for"), Column("now", "now", right=True), Column("then", "then", right=True),
    Column("difference", "difference", right=True),
]  # fmt: skip
_INVOICE_MONTHS = """
select distinct invoice_month from invoicing.entry join invoicing.posting using (entry)
where batch = $1 order by invoice_month
"""


def rerate_command(
    month: Annotated[str, typer.Option(help="The month of use, like 2016-03.")],
    contract: Annotated[Path, typer.Option(help="The contract's file with the right prices.", metavar="FILE")],
    database_url: DatabaseOption,
    kafka: KafkaOption,
    award: Annotated[str | None, typer.Option(help="Only this award, like 2/CTA; else all.")] = None,
    do_post: Annotated[bool, typer.Option("--post", help="Post the difference; else it is only shown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a month costs under corrected prices, by institution and item; with --post, post the difference.

    All that follows is shown: fees, unused reservations, minimums, credit, and shares of others. In an open month it is
    charged there, for a closed one on the next open invoice, with its own month on the line; minimums, credit and what
    is unused come with the close.
    Nothing is overwritten, a second --post posts nothing, and usage of the month that is still to come is priced as
    corrected, too. For other months apply a contract with a new tariff.

    Examples:

    `plafond rerate --month 2016-03 --award 2/CTA --contract fixed.toml`

    `plafond rerate --month 2016-03 --award 2/CTA --contract fixed.toml --post`
    """
    months_given(month, month)
    try:
        text = contract.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{contract}: can't be read: {error}", 2)
    try:
        made, posted_on = run(_rerate(database_url, kafka, text, month, award, do_post=do_post))
    except ContractError as error:
        fail("\n".join([f"{contract}: {month} can't be re-rated", *(f"  {each}" for each in error.problems)]))
    except LookupError as error:
        fail(str(error))
    if as_json:
        print_json(_as_data(made, posted_on))
    else:
        _show(made, posted_on, do_post=do_post)


async def _rerate(
    database_url: str, kafka: str, text: str, month: str, award: str | None, *, do_post: bool
) -> tuple[Plan, list[str]]:
    connection = await connect(database_url)
    try:
        await check_schema(connection)
        if not do_post:
            _, made = await look(connection, text, month, award)
            return made, []
        made = await post(connection, text, month, award)
        return made, await _send(connection, kafka)
    finally:
        await connection.close()


async def _send(connection: Connection, kafka: str) -> list[str]:
    """Send what invoicing has not posted, an interrupted run's included, and return the months it goes on."""
    messages = await waiting(connection)
    if not messages:
        return []
    sender = Sender(kafka, "rerate", patient=False)
    try:
        await sender.send([message for _, message in messages])
    finally:
        await sender.stop()
    deadline = time.monotonic() + POSTED_SECONDS
    while await waiting(connection):
        if time.monotonic() > deadline:
            fail(f"the difference was sent, but invoicing has not posted it in {POSTED_SECONDS} s; is it up?", 3)
        await asyncio.sleep(0.2)
    rows = [await connection.fetch(_INVOICE_MONTHS, batch) for batch, _ in messages]
    return sorted({row["invoice_month"] for each in rows for row in each})


def _show(made: Plan, posted_on: list[str], *, do_post: bool) -> None:
    currency = made.contract.currency
    rows = [
        {**each._asdict(), "now": amount_text(each.now, currency), "then": amount_text(each.then, currency),
         "difference": amount_text(subtract(each.then, each.now), currency)}
        for each in made.changes
    ]  # fmt: skip
    if not made.awards:
        console.print(f"nothing in {made.month} would cost anything else", highlight=False)
    elif rows:
        other_months = any(each.month != made.month for each in made.changes)
        show(rows, [_MONTH, *_COLUMNS] if other_months else _COLUMNS, title=f"{made.month} priced again")
        if any(not row["difference"].strip("0.") for row in rows):
            less = plain(Decimal("0.5").scaleb(-CURRENCY_DIGITS[currency]))
            console.print(f"{amount_text(ZERO, currency)} is less than {less} {currency}", style="dim", highlight=False)
    difference = total(subtract(each.then, each.now) for each in made.changes)
    if not made.awards and not posted_on:
        return
    if not do_post:
        console.print(
            f"\nin all {amount_text(difference, currency)}; nothing is posted without --post", highlight=False
        )
        return
    for said in done(made, posted_on, difference):
        console.print(said, style="green", highlight=False)


def done(made: Plan, posted_on: list[str], difference: Decimal) -> Iterator[str]:
    """Yield what was posted and entered, in words, also where it comes to nothing in all."""
    currency, charged = made.contract.currency, total(each.share.amount for each in made.moved)
    if made.moved:
        where = f", on the invoices of {', '.join(posted_on)}" if posted_on else ""
        yield f"posted: {counted(len(made.moved), 'charge')}, {amount_text(charged, currency)} in all{where}"
    elif posted_on:
        yield f"posted: what was entered before, on the invoices of {', '.join(posted_on)}"
    rest = subtract(difference, charged)
    if made.awards and (rest or not made.moved):
        yield f"entered: {amount_text(rest, currency)} in all, due with the next close"


def _as_data(made: Plan, posted_on: list[str]) -> dict[str, Any]:
    return {
        "month": made.month,
        "awards": list(made.awards),
        "changes": [
            {**each._asdict(), "now": plain(each.now), "then": plain(each.then),
             "difference": plain(subtract(each.then, each.now))}
            for each in made.changes
        ],
        "charges": len(made.moved),
        "posted_on": posted_on,
    }  # fmt: skip
