"""plafond reconcile: a supplier's own invoice beside what is expected of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from services.commands.reconcile_shown import show_reconciliation
from services.commands.servers import on_database
from services.contract.model import Contract
from services.contract.months import first_day
from services.contract_store import newest
from services.invoicing.read import is_closed, statements_of
from services.output import JsonOption, fail, print_json, require_writable
from services.postgres import Connection
from services.reconciliation import record
from services.reconciliation.books import of_books, of_statement
from services.reconciliation.identify import Identified, identify
from services.reconciliation.mapping import Names
from services.reconciliation.match import expected_elsewhere, reconcile
from services.reconciliation.model import (
    Category,
    Expectation,
    InvoiceError,
    Reconciliation,
    SupplierDocument,
    Tolerance,
)
from services.reconciliation.month import month_said
from services.reconciliation.pdf import as_pdf
from services.reconciliation.read import contents, names_in, read
from services.reconciliation.rows import as_csv, as_data

FilesArgument = Annotated[
    list[Path], typer.Argument(help="Invoices and credit notes of a supplier.", metavar="SUPPLIER-INVOICE")
]
AwardOption = Annotated[str | None, typer.Option(help="Lot and supplier, like 2/CTA, where the invoice does not tell.")]
MapOption = Annotated[
    Path | None, typer.Option("--map", help="What they call items, units, columns (TOML).", metavar="FILE")
]
MonthOption = Annotated[
    str | None, typer.Option(help="The month that is invoiced, like 2016-03; by itself the one that the invoice tells.")
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
MoveOption = Annotated[
    bool, typer.Option("--move-month", help="What was reconciled for another month before counts for this one instead.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Keep nothing on record.")]


@dataclass(frozen=True, slots=True)
class _Call:
    """What the command was called with; `month` is known by now."""

    month: str
    award: str | None
    names: Names
    documents: Sequence[SupplierDocument]
    data: dict[str, bytes]
    allowed: Tolerance
    notes: tuple[str, ...]
    is_kept: bool
    moves: bool

    def identified(self, expectation: Expectation) -> list[Identified]:
        return [identify(expectation, each, self.names, self.award) for each in self.documents]


def reconcile_command(
    files: FilesArgument,
    month: MonthOption = None,
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
    move_month: MoveOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a supplier's invoice with what it is expected to invoice, line by line.

    An invoice is UBL, CII or CSV; several documents of a month are taken together, and those reconciled before count,
    so that what is invoiced twice is told. The exit status is 0 where all agrees, 1 where something differs, 2 where a
    file can't be used. docs/reconciliation.md has what is told and how lines are recognised.

    Examples:

    `plafond reconcile CTA-2016-0311.xml`

    `plafond reconcile march.csv --month 2016-03 --award 2/CTA --map cta.toml --pdf march.pdf`

    `plafond reconcile march.csv --month 2016-03 --expected invoices/suppliers/2/CTA.csv --tolerance 0.05`
    """
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
        of, notes = _month(month, documents)
        call = _Call(of, award, names, documents, data, allowed, notes, not dry_run, move_month)
        found = _on_statement(expected, call) if expected else _on_books(database_url, call)
    except InvoiceError as error:
        fail(str(error), 2)
    for out, form in ((csv_file, as_csv), (pdf_file, as_pdf)):
        if out:
            write(out, form(found))
    print_json(as_data(found)) if as_json else show_reconciliation(found)
    if not found.agrees:
        raise typer.Exit(1)


def _month(given: str | None, documents: Sequence[SupplierDocument]) -> tuple[str, tuple[str, ...]]:
    """Return the month that is invoiced, and a note where the documents tell it."""
    if given is None:
        month = month_said(documents)
        return month, (f"compared with {month}, which the document says itself",)
    try:
        first_day(given)
    except ValueError as error:
        raise InvoiceError(f"--month: {error}") from None
    return given, ()


def _refuse_twice(documents: Sequence[SupplierDocument]) -> None:
    seen: dict[str, SupplierDocument] = {}
    for each in documents:
        if each.number in seen:
            raise InvoiceError(f"{each.file}: its number {each.number} is also that of {seen[each.number].file}; "
                               "wanted each only once")  # fmt: skip
        seen[each.number] = each


def _on_statement(path: Path, call: _Call) -> Reconciliation:
    """Compare with an exported statement; nothing is kept."""
    expectation = of_statement(contents(path), str(path), call.month)
    return reconcile(expectation, call.identified(expectation), tolerance=call.allowed, notes=call.notes)


def _on_books(database_url: str | None, call: _Call) -> Reconciliation:
    """Compare with the books, and keep it on record."""
    if not database_url:
        fail("give --database-url (or PLAFOND_DATABASE_URL), or --expected FILE", 2)

    async def work(connection: Connection) -> Reconciliation:
        expectation = await expected_of_books(connection, call.month)
        identified = call.identified(expectation)
        doubtful = {each.document.number for each in identified if each.problems}
        notes = [*call.notes, *await open_note(connection, call.month)]
        notes += [f"{number} is not kept: it counts once its seller is the award's" for number in sorted(doubtful)]
        suppliers = {each.code: each.supplier for each in expectation.awards.values()}
        before = await record.earlier(connection, suppliers, call.month, identified, call.data, moves=call.moves)
        found = reconcile(
            expectation, identified, before.claims, call.allowed, before.problems, [*notes, *before.notes]
        )
        months = {row.key.month for row in found.rows if row.category is Category.NOT_METERED} - {call.month}
        found = expected_elsewhere(found, [await _statement(connection, each) for each in sorted(months)])
        if call.is_kept:
            mine = [each for each in identified if each.document.number not in before.elsewhere | doubtful]
            await record.keep(connection, suppliers, found, mine, call.data)
        return found

    return on_database(database_url, work)


async def expected_of_books(connection: Connection, month: str) -> Expectation:
    """Return what a month's statements let expect; raises InvoiceError where that is nothing."""
    expectation = await _statement(connection, month)
    if not expectation.lines:
        raise InvoiceError(f"--month: nothing is expected for {month}: no usage of it was taken")
    return expectation


async def _statement(connection: Connection, month: str) -> Expectation:
    stored = await newest(connection)
    if stored is None:
        fail("no contract was applied yet: `plafond contract apply FILE`")
    contract: Contract = stored.contract
    invoices = await statements_of(connection, contract, month)
    return of_books(contract, month, (each.statement for each in invoices))


async def open_note(connection: Connection, month: str) -> list[str]:
    """Say so where a month is not closed yet."""
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
