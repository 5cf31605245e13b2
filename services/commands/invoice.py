"""plafond invoice: one issued document, what corrects it, and what is disputed of it."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from services.commands.invoice_data import dispute_data, document_data
from services.commands.servers import DatabaseOption, on_database
from services.contract.money import round_half_up
from services.invoicing.credit import Asked, CreditError, credit, refuse_reason, reissue
from services.invoicing.credits import BorneBy
from services.invoicing.disputes import Dispute, DisputeError, State, disputes, end_dispute, open_dispute
from services.output import Column, JsonOption, console, counted, euros, fail, print_json, show, text
from services.postgres import Connection

T = TypeVar("T")
QUANTITY_DIGITS_SHOWN = 3


class Bearer(StrEnum):
    """Who can bear a credit for good."""

    COORDINATOR = "coordinator"
    SUPPLIER = "supplier"


app = typer.Typer(
    help="Look at one invoice, credit it, issue it anew, and keep track of disputes.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

NumberArgument = Annotated[str, typer.Argument(help="The number, like CLOUD-I-2016-000012.", metavar="NUMBER")]
ReasonOption = Annotated[str, typer.Option(help="Why; it stands on the document.")]

LINE_COLUMNS = [
    Column("line", "line", right=True), Column("award", "award", whole=True), Column("item", "item", whole=True),
    Column("whose", "for"), Column("used", "of month", whole=True), Column("quantity", "quantity", right=True),
    Column("unit", "unit", cut=True, spare=True), Column("amount", "amount", right=True),
    Column("credited_by", "credited by", whole=True),
]  # fmt: skip
NOTE_COLUMNS = [
    Column("number", "number", whole=True), Column("issued_at", "issued", whole=True, spare=True),
    Column("lines", "lines", right=True), Column("borne_by", "borne by"), Column("total", "total", right=True),
    Column("reason", "reason"),
]  # fmt: skip
DISPUTE_COLUMNS = [
    Column("dispute", "dispute", right=True), Column("state", "state", whole=True),
    Column("number", "number", whole=True), Column("line", "line", right=True), Column("reason", "reason"),
    Column("opened", "opened"), Column("ended", "ended"), Column("outcome", "outcome"),
    Column("credit_note", "credit note", whole=True),
]  # fmt: skip
FILE_COLUMNS = [
    Column("file", "in the folder of an export", whole=True), Column("sha256", "SHA-256", cut=True),
    Column("made_at", "first written"),
]  # fmt: skip


@app.command("show")
def show_command(number: NumberArgument, database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Show a document: its lines, what credits it, what is disputed of it, and which files were written of it.

    Example: `plafond invoice show CLOUD-I-2016-000012`
    """
    found = _work(database_url, lambda connection: document_data(connection, number))
    if as_json:
        print_json(found)
    else:
        _show(found)


@app.command("credit")
def credit_command(
    number: NumberArgument,
    database_url: DatabaseOption,
    reason: ReasonOption,
    line: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Only this line; may be given several times. Else all that are left."),
    ] = None,
    borne_by: Annotated[
        Bearer, typer.Option(help="Who bears it: the coordinator, or the supplier, who is then owed less.")
    ] = Bearer.COORDINATOR,
    as_json: JsonOption = False,
) -> None:
    """Issue a credit note over an invoice, or over some of its lines; the invoice itself never changes.

    A line is credited once, whole. Later months do not charge again what was credited. Where only the data of the
    invoice were wrong, like an address, `plafond invoice reissue` takes it back and issues it anew.

    Examples:

    `plafond invoice credit CLOUD-I-2016-000012 --line 3 --reason "The machine had stood still"`

    `plafond invoice credit CLOUD-I-2016-000012 --reason "Service credits for March" --borne-by supplier`
    """
    _check(reason, "--reason")

    async def work(connection: Connection) -> dict[str, Any]:
        asked = Asked(number, tuple(sorted(set(line or ()))), reason, BorneBy(borne_by))
        made = await credit(connection, asked)
        return await document_data(connection, made)

    found = _work(database_url, work)
    if as_json:
        print_json(found)
    else:
        _say_issued(found)


@app.command("reissue")
def reissue_command(
    number: NumberArgument, database_url: DatabaseOption, reason: ReasonOption, as_json: JsonOption = False
) -> None:
    """Issue an invoice anew with who is who by the newest contract; or charge again what a credit note took back.

    A credit note takes back all that is left of the invoice, and the same lines get a new number: nobody bears
    anything. Mend the contract first (`plafond contract apply`).

    Examples:

    `plafond invoice reissue CLOUD-I-2016-000012 --reason "The address was wrong"`

    `plafond invoice reissue CLOUD-I-2016-000060 --reason "Credit note 60 was issued by mistake"`
    """
    _check(reason, "--reason")

    async def work(connection: Connection) -> list[dict[str, Any]]:
        made = await reissue(connection, number, reason)
        return [await document_data(connection, each) for each in made if each]

    found = _work(database_url, work)
    if as_json:
        print_json(found)
        return
    for each in found:
        _say_issued(each)


@app.command("dispute")
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
    _check(reason, "--reason")
    found = _work(database_url, lambda connection: open_dispute(connection, number, line, reason))
    _show_dispute(found, as_json=as_json)


@app.command("settle-dispute")
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
    _check(note, "--note")
    bearer = BorneBy(borne_by) if do_credit else None
    found = _work(database_url, lambda connection: end_dispute(connection, dispute, chosen[0], note, bearer))
    _show_dispute(found, as_json=as_json)


@app.command("disputes")
def disputes_command(
    database_url: DatabaseOption,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show all disputes with their states: who said what, when, and what came of it.

    Example: `plafond invoice disputes --open`
    """
    found = _work(database_url, disputes)
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


def _check(words: str, option: str) -> None:
    try:
        refuse_reason(words)
    except CreditError as error:
        fail(f"{option}: {error}", 2)


def _work(url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    try:
        return on_database(url, work)
    except LookupError as error:
        fail(str(error.args[0]))
    except (CreditError, DisputeError) as error:
        fail(str(error))


def _say_issued(found: Mapping[str, Any]) -> None:
    of = found["corrects"] or found["anew"]
    verb = "takes back" if found["corrects"] else "has again what was taken back by"
    lines = counted(len(found["lines"]), "line")
    of_lines = f"{lines} of {of}" if found["corrects"] else f"{of}, {lines}"
    console.print(
        f"{found['document']} {found['number']} {verb} {of_lines}: {found['total']} {found['currency']}",
        style="bold", highlight=False, soft_wrap=True, markup=False,
    )  # fmt: skip
    console.print(
        f"`plafond invoices export --month {found['month']}` writes it", highlight=False, soft_wrap=True, markup=False
    )


def _show_dispute(found: Dispute, *, as_json: bool) -> None:
    if as_json:
        print_json(dispute_data(found))
        return
    show_disputes([found], f"Dispute {found.dispute}")


def _show(found: Mapping[str, Any]) -> None:
    title = f"{found['document'].capitalize()} {found['number']}, {found['institution_name']}, {found['month']}"
    rows = [
        row
        | {
            "whose": ", ".join(filter(None, (row["department"], row["pool"] and f"pool {row['pool']}"))),
            "used": row["usage_month"] if row["usage_month"] != found["month"] else "",
            "quantity": f"{round_half_up(Decimal(row['quantity']), QUANTITY_DIGITS_SHOWN):z,f}",
            "amount": euros(Decimal(row["amount"])),
        }
        for row in found["lines"]
    ]
    show(rows, [column for column in LINE_COLUMNS if any(row[column.key] for row in rows)], title=title)
    console.print(f"total {euros(Decimal(found['total']))} {found['currency']}", style="bold", highlight=False)
    for name, value in _facts(found):
        console.print(f"  {name:<12} {value}", markup=False, highlight=False, soft_wrap=True)
    for key, heading in (("credit_notes", "\nCredited"), ("reissues", "\nIssued anew")):
        if found[key]:
            show([_shortly(row) for row in found[key]], NOTE_COLUMNS, title=heading)
    if found["disputes"]:
        show_disputes([Dispute(**each) for each in found["disputes"]], "\nDisputes")
    if found["documents"]:
        show(found["documents"], FILE_COLUMNS, title="\nFiles")
    else:
        export = f"`plafond invoices export --month {found['month']} --out DIR` writes them"
        console.print(f"no files were written yet: {export}", highlight=False, soft_wrap=True, markup=False)


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    by = f", {found['issued_by']}" if found["issued_by"] else ""
    facts = [
        ("issued", f"{text(found['issued_at'])}{by}"),
        ("takes back", found["corrects"] and f"lines of {found['corrects']}"),
        ("borne by", found["borne_by"] if found["borne_by"] != BorneBy.NOBODY else ""),
        ("anew", found["anew"] and f"what {found['anew']} took back"),
        ("issued anew", found["issued_anew"]),
        ("reason", found["reason"]),
        ("left", f"{found['left']} {found['currency']}" if found["credit_notes"] else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _shortly(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "total": euros(Decimal(row["total"])), "issued_at": text(row["issued_at"])[:16]}
