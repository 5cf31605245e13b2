"""plafond invoice: one issued document, what corrects it, and what is disputed of it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import typer

from services.commands.invoice_data import document_data
from services.commands.invoice_disputes import (
    Bearer,
    NumberArgument,
    check_words,
    dispute_command,
    disputes_command,
    on_invoices,
    settle_command,
    show_disputes,
)
from services.commands.servers import DatabaseOption
from services.contract.currencies import amount_text, money_text
from services.contract.money import round_half_up
from services.invoicing.credit import Asked, credit, reissue
from services.invoicing.credits import BorneBy
from services.invoicing.disputes import Dispute
from services.output import Column, JsonOption, console, counted, print_json, show, text
from services.postgres import Connection

QUANTITY_DIGITS_SHOWN = 3


app = typer.Typer(
    help="Look at one invoice, credit it, issue it anew, and keep track of disputes.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

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
FILE_COLUMNS = [
    Column("file", "in the folder of an export", whole=True), Column("sha256", "SHA-256", cut=True),
    Column("made_at", "first written"),
]  # fmt: skip


@app.command("show")
def show_command(number: NumberArgument, database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Show a document: its lines, what credits it, what is disputed of it, and which files were written of it.

    Example: `plafond invoice show CLOUD-I-2016-000012`
    """
    found = on_invoices(database_url, lambda connection: document_data(connection, number))
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
    check_words(reason, "--reason")

    async def work(connection: Connection) -> dict[str, Any]:
        asked = Asked(number, tuple(sorted(set(line or ()))), reason, BorneBy(borne_by))
        made = await credit(connection, asked)
        return await document_data(connection, made)

    found = on_invoices(database_url, work)
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
    check_words(reason, "--reason")

    async def work(connection: Connection) -> list[dict[str, Any]]:
        made = await reissue(connection, number, reason)
        return [await document_data(connection, each) for each in made if each]

    found = on_invoices(database_url, work)
    if as_json:
        print_json(found)
        return
    for each in found:
        _say_issued(each)


app.command("dispute")(dispute_command)
app.command("settle-dispute")(settle_command)
app.command("disputes")(disputes_command)


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


def _show(found: Mapping[str, Any]) -> None:
    title = f"{found['document'].capitalize()} {found['number']}, {found['institution_name']}, {found['month']}"
    rows = [
        row
        | {
            "whose": ", ".join(filter(None, (row["department"], row["pool"] and f"pool {row['pool']}"))),
            "used": row["usage_month"] if row["usage_month"] != found["month"] else "",
            "quantity": f"{round_half_up(Decimal(row['quantity']), QUANTITY_DIGITS_SHOWN):z,f}",
            "amount": amount_text(Decimal(row["amount"]), found["currency"]),
        }
        for row in found["lines"]
    ]
    show(rows, [column for column in LINE_COLUMNS if any(row[column.key] for row in rows)], title=title)
    console.print(f"total {money_text(Decimal(found['total']), found['currency'])}", style="bold", highlight=False)
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
    total = amount_text(Decimal(row["total"]), row["currency"])
    return {**row, "total": total, "issued_at": text(row["issued_at"])[:16]}
