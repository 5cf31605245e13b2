"""plafond reconcile-missing: what is expected of suppliers and was not invoiced yet."""

from typing import Annotated, Any

import typer

from services.commands.reconcile import expected_of_books, open_note
from services.commands.reconcile_shown import say
from services.commands.servers import DatabaseOption, on_database
from services.contract.money import total
from services.contract.months import first_day
from services.output import Column, JsonOption, console, counted, fail, print_json, show
from services.postgres import Connection
from services.reconciliation import record
from services.reconciliation.missing import Missing, lacking, missing
from services.reconciliation.model import Expectation, InvoiceError, Row
from services.reconciliation.rows import currency_text, of_row, quantity

_COLUMNS = [
    Column("award", "award", whole=True), Column("supplier", "supplier", cut=True), Column("invoices", "invoices"),
    Column("expected", "expected", right=True), Column("invoiced", "invoiced", right=True),
    Column("missing", "missing", right=True), Column("items", "of", cut=True, spare=True),
]  # fmt: skip


def reconcile_missing_command(
    month: Annotated[str, typer.Option(help="The month that is to be invoiced, like 2016-03.")],
    database_url: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """List the awards that no supplier's invoice has come for, or not for all of it.

    What is expected of a month is compared with all documents that `plafond reconcile` has kept for it, by quantity: a
    price that differs is not missing. The exit status is 0 where all is invoiced, 1 where something lacks.

    Examples:

    `plafond reconcile-missing --month 2016-03`

    `plafond reconcile-missing --month 2016-03 --json`
    """
    try:
        first_day(month)
    except ValueError as error:
        fail(f"--month: {error}", 2)

    async def work(connection: Connection) -> tuple[Expectation, list[Missing], list[str]]:
        expectation = await expected_of_books(connection, month)
        found = missing(expectation, await record.kept(connection, month))
        return expectation, found, await open_note(connection, month)

    try:
        expectation, found, notes = on_database(database_url, work)
    except InvoiceError as error:
        fail(str(error), 2)
    if as_json:
        awards = [_data(expectation, each) for each in found]
        currency = expectation.currency
        print_json({"month": month, "currency": currency, "complete": not found, "awards": awards, "notes": notes})
    else:
        _show(expectation, found, notes)
    if found:
        raise typer.Exit(1)


def _show(expectation: Expectation, found: list[Missing], notes: list[str]) -> None:
    month, currency = expectation.month, expectation.currency
    if found:
        show([_table_row(expectation, each) for each in found], _COLUMNS,
             title=f"{month}: {counted(len(found), 'award')} not invoiced, or not in full")  # fmt: skip
    for problem in (problem for each in found for problem in each.problems):
        say(problem, "red")
    for note in notes:
        say(note)
    lacks = currency_text(currency, total(each.missing for each in found))
    text = f"{lacks} {currency} without VAT not invoiced" if found else f"{month}: all that is expected is invoiced"
    console.print(text, style="bold", highlight=False)


def _table_row(expectation: Expectation, found: Missing) -> dict[str, Any]:
    return {
        "award": found.award,
        "supplier": found.supplier,
        "invoices": ", ".join(found.documents) or "none",
        **_amounts(expectation, found),
        "items": ", ".join(dict.fromkeys(" ".join(of_row(row)) for row in found.rows)),
    }


def _amounts(expectation: Expectation, found: Missing) -> dict[str, str]:
    amounts = {"expected": found.expected, "invoiced": found.invoiced, "missing": found.missing}
    return {name: currency_text(expectation.currency, amount) for name, amount in amounts.items()}


def _data(expectation: Expectation, found: Missing) -> dict[str, Any]:
    return {
        "award": found.award,
        "supplier": found.supplier,
        "invoices": list(found.documents),
        **_amounts(expectation, found),
        "rows": [_row(expectation.currency, row) for row in found.rows],
        "problems": list(found.problems),
    }


def _row(currency: str, row: Row) -> dict[str, str]:
    return {
        "item": row.key.item,
        "item_name": row.name,
        "usage_month": row.key.month,
        "institution": row.institution,
        "department": row.department,
        "unit": row.unit,
        "expected_quantity": quantity(row.expected_quantity),
        "invoiced_quantity": quantity(row.invoiced_quantity),
        "expected": currency_text(currency, row.expected),
        "invoiced": currency_text(currency, row.invoiced),
        "missing": currency_text(currency, lacking(row)),
    }
