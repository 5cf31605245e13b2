"""plafond reconcile: a supplier's own invoice beside what is expected of it."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from services.commands.servers import on_database
from services.contract.model import Contract
from services.contract.money import ZERO, plain, round_half_up
from services.contract.months import first_day
from services.contract_store import newest
from services.invoicing.read import is_closed, statements_of
from services.output import Column, JsonOption, console, counted, fail, print_json, require_writable, show
from services.postgres import Connection
from services.reconciliation import record
from services.reconciliation.books import of_books, of_statement
from services.reconciliation.identify import identify
from services.reconciliation.mapping import Names
from services.reconciliation.match import expected_elsewhere, reconcile
from services.reconciliation.model import (
    FINE,
    Category,
    Expectation,
    InvoiceError,
    Reconciliation,
    Row,
    SupplierDocument,
    Tolerance,
)
from services.reconciliation.pdf import as_pdf
from services.reconciliation.read import contents, names_in, read
from services.reconciliation.rows import as_csv, as_data, money, of_row, quantity, sum_of_parts

_COLUMNS = [
    Column("what", "what"), Column("item", "item", whole=True), Column("used", "of month", whole=True),
    Column("invoiced_quantity", "quantity", right=True, spare=True),
    Column("expected_quantity", "expected", right=True, spare=True), Column("unit", "unit", cut=True, spare=True),
    Column("invoiced", "invoiced", right=True), Column("expected", "expected", right=True),
    Column("difference", "difference", right=True),
]  # fmt: skip
_PARTS = [
    Column("what", "made of", whole=True),
    Column("rows", "rows", right=True),
    Column("amount", "amount", right=True),
]
QUANTITY_DIGITS_SHOWN = 3
_SHOWN_MAX = 200
"""Rows in a terminal; files have all."""


FilesArgument = Annotated[
    list[Path], typer.Argument(help="Invoices and credit notes of a supplier.", metavar="SUPPLIER-INVOICE")
]
AwardOption = Annotated[str | None, typer.Option(help="Lot and supplier, like 2/CTA, where the invoice does not tell.")]
MapOption = Annotated[
    Path | None, typer.Option("--map", help="What they call items, units, columns (TOML).", metavar="FILE")
]
ExpectedOption = Annotated[
    Path | None,
    typer.Option(help="Instead of the books: suppliers/AWARD.csv of an export; needs no server.", metavar="FILE"),
]
MaybeDatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database-url", envvar="PLAFOND_DATABASE_URL", help="PostgreSQL, like postgresql://user@host/plafond."
    ),
]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Write all rows as CSV.", metavar="FILE")]
PdfOption = Annotated[Path | None, typer.Option("--pdf", help="Write a report to print.", metavar="FILE")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Keep nothing on record.")]


def reconcile_command(
    files: FilesArgument,
    month: Annotated[str, typer.Option(help="The month that is invoiced, like 2016-03.")],
    award: AwardOption = None,
    mapping: MapOption = None,
    expected: ExpectedOption = None,
    database_url: MaybeDatabaseOption = None,
    tolerance: Annotated[str, typer.Option(help="How much an amount may differ.")] = "0",
    tolerance_percent: Annotated[str, typer.Option(help="The same in % of what is expected; the larger holds.")] = "0",
    quantity_tolerance: Annotated[str, typer.Option(help="How much a quantity may differ, in the item's unit.")] = "0",
    quantity_tolerance_percent: Annotated[str, typer.Option(help="The same in % of what is expected.")] = "0",
    csv_file: CsvOption = None,
    pdf_file: PdfOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a supplier's invoice with what it is expected to invoice, line by line.

    An invoice is UBL, CII or CSV; several documents of a month are taken together, and those reconciled before count,
    so that what is invoiced twice is told. The exit status is 0 where all agrees, 1 where something differs, 2 where a
    file can't be used. docs/reconciliation.md has what is told and how lines are recognised.

    Examples:

    `plafond reconcile CTA-2016-0311.xml --month 2016-03`

    `plafond reconcile march.csv --month 2016-03 --award 2/CTA --map cta.toml --pdf march.pdf`

    `plafond reconcile march.csv --month 2016-03 --expected invoices/suppliers/2/CTA.csv --tolerance 0.05`
    """
    try:
        first_day(month)
    except ValueError as error:
        fail(str(error), 2)
    allowed = Tolerance(
        number_given("--tolerance", tolerance), number_given("--tolerance-percent", tolerance_percent),
        number_given("--quantity-tolerance", quantity_tolerance),
        number_given("--quantity-tolerance-percent", quantity_tolerance_percent),
    )  # fmt: skip
    for path in filter(None, (csv_file, pdf_file)):
        require_writable(path)
    try:
        names = names_in(mapping)
        data = {str(path): contents(path) for path in files}
        documents = [each for file, found in data.items() for each in read(found, file, names)]
        _refuse_twice(documents)
        if expected is not None:
            expectation = of_statement(contents(expected), str(expected), month)
            found = reconcile(expectation, [identify(expectation, each, names, award) for each in documents],
                              tolerance=allowed)  # fmt: skip
        else:
            found = _on_books(database_url, month, names, award, documents, data, allowed, is_kept=not dry_run)
    except InvoiceError as error:
        fail(str(error), 2)
    for out, form in ((csv_file, as_csv), (pdf_file, as_pdf)):
        if out:
            write(out, form(found))
    print_json(as_data(found)) if as_json else _show(found)
    if not found.agrees:
        raise typer.Exit(1)


def _refuse_twice(documents: Sequence[SupplierDocument]) -> None:
    seen: dict[str, SupplierDocument] = {}
    for each in documents:
        if each.number in seen:
            raise InvoiceError(f"{each.file}: its number {each.number} is also that of {seen[each.number].file}; "
                               "wanted each only once")  # fmt: skip
        seen[each.number] = each


def _on_books(
    database_url: str | None, month: str, names: Names, award: str | None, documents: Sequence[SupplierDocument],
    data: dict[str, bytes], allowed: Tolerance, *, is_kept: bool,
) -> Reconciliation:  # fmt: skip
    """Compare with the books, and keep it on record."""
    if not database_url:
        fail("give --database-url (or PLAFOND_DATABASE_URL), or --expected FILE", 2)

    async def work(connection: Connection) -> Reconciliation:
        expectation = await _expected(connection, month)
        if not expectation.lines:
            raise InvoiceError(f"--month: nothing is expected for {month}: no usage of it was taken")
        notes = await _open_note(connection, month)
        identified = [identify(expectation, each, names, award) for each in documents]
        suppliers = {each.code: each.supplier for each in expectation.awards.values()}
        currency = identified[0].document.currency or expectation.currency
        before = await record.earlier(connection, suppliers, month, currency, identified, data)
        found = reconcile(expectation, identified, before.claims, allowed, before.problems, [*notes, *before.notes])
        months = {row.key.month for row in found.rows if row.category is Category.NOT_METERED} - {month}
        others = [other for each in sorted(months) if (other := await _expected(connection, each)).lines]
        found = expected_elsewhere(found, others)
        if is_kept:
            await record.keep(connection, suppliers, found, identified, data)
        return found

    return on_database(database_url, work)


async def _expected(connection: Connection, month: str) -> Expectation:
    stored = await newest(connection)
    if stored is None:
        fail("no contract was applied yet: `plafond contract apply FILE`")
    contract: Contract = stored.contract
    invoices = await statements_of(connection, contract, month)
    return of_books(contract, month, (each.statement for each in invoices))


async def _open_note(connection: Connection, month: str) -> list[str]:
    if await is_closed(connection, month):
        return []
    return [f"{month} is not closed: compared with its statements as they stand"]


def number_given(option: str, text: str) -> Decimal:
    """Read an option's number from 0 on; anything else ends the command with status 2."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or number < 0 or number > 10**12:
        fail(f"{option}: found {text!r}; wanted a number from 0 on, like 0.05", 2)
    return number


def write(path: Path, data: bytes) -> None:
    """Write a file; one that can't be written ends the command with status 2."""
    try:
        path.write_bytes(data)
    except OSError as error:
        fail(f"{path}: can't be written: {error.strerror}", 2)


def _show(found: Reconciliation) -> None:
    """Print what differs, then what the whole difference is made of."""
    odd = [row for row in found.rows if row.category not in FINE]
    if odd:
        columns = [each for each in _COLUMNS if each.key != "used" or any(row.key.month != found.month for row in odd)]
        title = f"{', '.join(found.awards)} for {found.month}: {counted(len(odd), 'row')} to look at"
        show([_table_row(found, row) for row in odd[:_SHOWN_MAX]], columns, title=title)
        if len(odd) > _SHOWN_MAX:
            console.print(f"and {len(odd) - _SHOWN_MAX} more: --csv FILE has them all", highlight=False)
    for row in odd[:_SHOWN_MAX]:
        if row.notes:
            _say(f"{' '.join(of_row(row))}: {'; '.join(row.notes)}")
    for problem in found.problems:
        _say(problem, "red")
    for note in found.notes:
        _say(note)
    _show_sums(found)


def _show_sums(found: Reconciliation) -> None:
    agreeing = sum(row.category is Category.AGREES for row in found.rows)
    counts = {Category.AGREES: agreeing} if agreeing else {}
    counts |= {category: sum(category in row.parts for row in found.rows) for category in found.parts}
    rows = [
        {"what": category.value, "rows": count, "amount": _signed(found, found.parts.get(category, ZERO))}
        for category, count in counts.items()
    ]
    show(rows, _PARTS, title=f"\n{', '.join(f'{each.number} ({money(found, each.net)})' for each in found.documents)}")
    state = "agrees" if found.agrees else "differs"
    console.print(
        f"invoiced {money(found, found.invoiced)}, expected {money(found, found.expected)}, difference "
        f"{_signed(found, sum_of_parts(found))} {found.currency} without VAT: {state}",
        style="bold", highlight=False, soft_wrap=True,
    )  # fmt: skip


def _signed(found: Reconciliation, amount: Decimal) -> str:
    return f"+{money(found, amount)}" if amount > 0 else money(found, amount)


def _table_row(found: Reconciliation, row: Row) -> dict[str, Any]:
    return {
        "what": row.category.value,
        "item": " ".join(of_row(row)),
        "used": row.key.month,
        "invoiced_quantity": _brief(row.invoiced_quantity),
        "expected_quantity": _brief(row.expected_quantity),
        "unit": row.unit,
        "invoiced": money(found, row.invoiced),
        "expected": money(found, row.expected),
        "difference": _signed(found, row.difference),
    }


def _brief(number: Fraction | None) -> str:
    return "" if number is None else plain(round_half_up(Decimal(quantity(number)), QUANTITY_DIGITS_SHOWN))


def _say(text: str, style: str = "dim") -> None:
    console.print(text, style=style, highlight=False, soft_wrap=True, markup=False)
