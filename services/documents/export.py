"""Exporting a closed month: every invoice in all its forms, and what each supplier is expected to invoice.

Law: whatever keeps one institution's documents from being made, the others are made; and what was exported once comes
to the same bytes each time, or is not written and said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.contract.model import Contract
from services.documents.closed_month import ClosedMonth, read_month, record, tasks_of
from services.documents.files import Result, compare, lying_there, write_whole
from services.documents.month_files import month_name, write_month
from services.documents.parked import park
from services.documents.side_by_side import export_side_by_side
from services.documents.suppliers import supplier_csvs
from services.invoicing.close import Invoice
from services.invoicing.credits import BorneBy
from services.postgres import Connection

SUPPLIERS = "suppliers"
_ONE_AT_A_TIME = "select pg_advisory_lock(hashtext('documents'))"
_NEXT_ONE = "select pg_advisory_unlock(hashtext('documents'))"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to: a result for each invoice by number, for each award with anything to invoice, and for the
    files of the whole month, if any document was written.
    """

    contract: Contract
    invoices: tuple[Invoice, ...]
    results: tuple[Result, ...]
    suppliers: tuple[Result, ...]
    whole: Result | None

    @property
    def files(self) -> int:
        """How many files were written."""
        return sum(len(each.made) for each in self._all)

    @property
    def left_out(self) -> list[Result]:
        """What could not be exported."""
        return [each for each in self._all if each.problems]

    @property
    def is_written(self) -> bool:
        """Tell whether every file could be written that was made."""
        return not any(each.is_unwritable for each in self._all)

    @property
    def _all(self) -> tuple[Result, ...]:
        return (*self.results, *self.suppliers, *filter(None, [self.whole]))


async def export_month(connection: Connection, month: str, out: Path, *, only_missing: bool = False) -> Exported:
    """Write a closed month's documents into a folder and keep the SHA-256 of what is new.

    With `only_missing`, an invoice whose files lie there as they were exported first is not made again. Raises
    ExportError while the month is open, UnwritableError where a file can't be written.
    """
    await connection.execute(_ONE_AT_A_TIME)
    try:
        books = await read_month(connection, month)
        tasks, currency = tasks_of(books), books.names.closed.currency
        there = [each for task in tasks if (each := lying_there(task, currency, out))] if only_missing else []
        known = {each.number for each in there}
        missing = [each for each in tasks if each.issued.number not in known]
        made = export_side_by_side(books.names, missing, out)
        results = sorted([*there, *made], key=lambda each: each.number)
        suppliers = _export_suppliers(books, out)
        await record(connection, month, [*results, *suppliers])
        said = {(each.number, each.institution): each.problems for each in results if not each.is_unwritable}
        await park(connection, month, said)
        whole = _write_month(books, results, out)
        if whole and _is_complete(results):
            await record(connection, month, [whole])
        every = sorted([*books.invoices, *(each.invoice for each in books.since)], key=lambda each: each.number)
        return Exported(books.names.closed, tuple(every), tuple(results), tuple(suppliers), whole)
    finally:
        await connection.execute(_NEXT_ONE)


def _export_suppliers(books: ClosedMonth, out: Path) -> list[Result]:
    results = []
    statements = [*(each.statement for each in books.invoices), books.not_of_suppliers]
    for award, text in supplier_csvs(books.names.closed, books.month, statements).items():
        results.append(_supplier_file(books, award, text, out))
    for each in books.since:
        if each.borne_by == BorneBy.SUPPLIER:
            for award, text in supplier_csvs(books.names.closed, books.month, [each.statement]).items():
                results.append(_supplier_file(books, f"{award}/{each.number}", text, out))
    return results


def _supplier_file(books: ClosedMonth, name: str, text: bytes, out: Path) -> Result:
    found, others = compare(name, {"csv": text}, books.recorded.get(name, {}))
    if not others:
        write_whole(out / SUPPLIERS / f"{name}.csv", text)
    return Result(name, "", books.version, {} if others else found, tuple(others))


def _write_month(books: ClosedMonth, results: Sequence[Result], out: Path) -> Result | None:
    """Write the files of the whole month, if it has any document; who issues is told as on the first of these."""
    first = min((each for each in results if each.made), key=lambda each: each.number, default=None)
    if first is None:
        return None
    coordinator = books.names.parties[first.version].coordinator
    assert coordinator is not None, "the document has its seller from there"
    issued = max(mine[books.month].issued for mine in books.issued.values() if books.month in mine)
    recorded = books.recorded.get(month_name(results), {}) if _is_complete(results) else {}
    bounds = (books.month, books.names.closed.zone)
    return write_month(out, bounds, coordinator.party.legal_name, issued, results, recorded)


def _is_complete(results: Sequence[Result]) -> bool:
    """Tell whether every document was written: files of fewer are good to read, but none's to be held to."""
    return not any(each.problems for each in results)
