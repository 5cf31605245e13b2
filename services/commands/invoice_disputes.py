"""plafond invoice dispute, settle-dispute, disputes: what institutions say is wrong, and what came of it."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from services.commands.invoice_data import dispute_data
from services.commands.servers import DatabaseOption, on_database
from services.invoicing.credit import CreditError, refuse_reason
from services.invoicing.credits import BorneBy
from services.invoicing.disputes import Dispute, DisputeError, State, disputes, end_dispute, open_dispute
from services.output import Column, JsonOption, fail, print_json, show, text
from services.postgres import Connection

T = TypeVar("T")

NumberArgument = Annotated[str, typer.Argument(help="The number, like CLOUD-I-2016-000012.", metavar="NUMBER")]

DISPUTE_COLUMNS = [
    Column("dispute", "dispute", right=True), Column("state", "state", whole=True),
    Column("number", "number", whole=True), Column("line", "line", right=True), Column("reason", "reason"),
    Column("opened", "opened"), Column("ended", "ended"), Column("outcome", "outcome"),
    Column("credit_note", "credit note", whole=True),
]  # fmt: skip


class Bearer(StrEnum):
    """Who can bear a credit for good."""

    COORDINATOR = "coordinator"
    SUPPLIER = "supplier"


def dispute_command(
    number: NumberArgument,
    database_url: DatabaseOption,
    reason: Annotated[str, typer.Option(help="What is wrong, in the institution's words.")],
    line: Annotated[int | None, typer.Option(min=1, help="Which line; else the whole.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Put on record that an institution disputes an invoice, or a line of it.

    `plafond invoice settle-dispute` puts on record what came of it.

    Example: `plafond invoice dispute CLOUD-I-2016-000012 --line 3 --reason "We have no such machine"`
    """
    check_words(reason, "--reason")
    found = on_invoices(database_url, lambda connection: open_dispute(connection, number, line, reason))
    _show_dispute(found, as_json=as_json)


def settle_command(
    dispute: Annotated[int, typer.Argument(help="The dispute's number.", metavar="DISPUTE")],
    database_url: DatabaseOption,
    note: Annotated[str, typer.Option(help="What came of it; with --credit it stands on the credit note.")],
    accepted: Annotated[bool, typer.Option("--accepted", help="The institution is right.")] = False,
    rejected: Annotated[bool, typer.Option("--rejected", help="The invoice is right.")] = False,
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="The institution takes it back.")] = False,
    do_credit: Annotated[bool, typer.Option("--credit", help="Issue the credit note over it at once.")] = False,
    borne_by: Annotated[Bearer, typer.Option(help="Of a credit: who bears it.")] = Bearer.COORDINATOR,
    as_json: JsonOption = False,
) -> None:
    """Put on record what came of a dispute: accepted, rejected or withdrawn. It can't be opened again; dispute anew.

    With --credit, what was disputed is credited in the same moment.

    Examples:

    `plafond invoice settle-dispute 3 --rejected --note "It ran from 1 to 31 March, see machine 1019"`

    `plafond invoice settle-dispute 3 --accepted --credit --note "Metered twice" --borne-by supplier`
    """
    states = {State.ACCEPTED: accepted, State.REJECTED: rejected, State.WITHDRAWN: withdrawn}
    chosen = [state for state, is_meant in states.items() if is_meant]
    if len(chosen) != 1:
        fail("say what came of it: one of --accepted, --rejected and --withdrawn", 2)
    if do_credit and not accepted:
        fail("--credit goes with --accepted", 2)
    check_words(note, "--note")
    bearer = BorneBy(borne_by) if do_credit else None
    found = on_invoices(database_url, lambda connection: end_dispute(connection, dispute, chosen[0], note, bearer))
    _show_dispute(found, as_json=as_json)


def disputes_command(
    database_url: DatabaseOption,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show all disputes with their states: who said what, when, and what came of it.

    Example: `plafond invoice disputes --open`
    """
    found = on_invoices(database_url, disputes)
    kept = [each for each in found if each.state is State.OPEN or not only_open]
    if as_json:
        print_json([dispute_data(each) for each in kept])
    else:
        show_disputes(kept, "Disputes")


def show_disputes(found: list[Dispute], title: str) -> None:
    """Print disputes as a table."""
    rows = [
        dispute_data(each)
        | {
            "opened": f"{text(each.opened_at)[:16]}, {each.opened_by}",
            "ended": f"{text(each.ended_at)[:16]}, {each.ended_by}" if each.ended_at else "",
        }
        for each in found
    ]
    show(rows, [column for column in DISPUTE_COLUMNS if any(row[column.key] for row in rows)] or DISPUTE_COLUMNS[:5],
         title=title)  # fmt: skip


def check_words(words: str, option: str) -> None:
    """End the command with status 2 where a text can't stand on a document."""
    try:
        refuse_reason(words)
    except CreditError as error:
        fail(f"{option}: {error}", 2)


def on_invoices(url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Work on the database; what can't be done ends the command with status 1 and says why."""
    try:
        return on_database(url, work)
    except LookupError as error:
        fail(str(error.args[0]))
    except (CreditError, DisputeError) as error:
        fail(str(error))


def _show_dispute(found: Dispute, *, as_json: bool) -> None:
    if as_json:
        print_json(dispute_data(found))
        return
    show_disputes([found], f"Dispute {found.dispute}")
