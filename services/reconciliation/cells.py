"""A CSV file as rows of named cells: columns by their usual headings, or as a mapping file names them.

Law: whatever bytes come, the answer is rows or an InvoiceError that names the line. A column is taken by one name only,
so none is chosen silently where two would do.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from services.contract.problems import one_of, show
from services.reconciliation import written
from services.reconciliation.electronic import LINES_MAX, SIZE_MAX
from services.reconciliation.mapping import Names
from services.reconciliation.model import InvoiceError

Columns = Mapping[str, Sequence[str]]
"""Each field's usual headings, the surest first: small letters, with _ for other signs."""
_NAMED_MAX = 5
"""Headings that are named where none is found."""


class Cells(NamedTuple):
    """A row: the line it ends on, the cells of the fields that the header has, and what stands before decimals."""

    file: str
    line: int
    fields: Mapping[str, str]
    decimal: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}: line {self.line}"

    def text(self, field: str) -> str:
        """Return a cell; empty where there is no such column."""
        return self.fields.get(field, "")

    def number(self, field: str) -> Decimal:
        """Read a cell's number; what groups thousands is taken only where it can be nothing else."""
        text, place = self.text(field), f"{self.place}: {field}"
        found = re.sub(r"[\s'’]", "", text)
        groups = "." if self.decimal == "," else ","
        whole, point, rest = found.partition(self.decimal)
        is_grouped = re.fullmatch(rf"[+-]?\d{{1,3}}(?:\{groups}\d{{3}})+", whole)
        if is_grouped and (point or whole.count(groups) > 1):
            whole = whole.replace(groups, "")
        if groups in whole or groups in rest:
            raise InvoiceError(f"{place}: found {show(text)}; wanted a number with {self.decimal!r} before its "
                               "decimals, or a mapping file that says decimal = \",\" or \".\"")  # fmt: skip
        return written.number(f"{whole}.{rest}" if point else whole, place)


def rows_of(data: bytes, file: str, columns: Columns, needed: Sequence[Sequence[str]], names: Names) -> Iterator[Cells]:
    """Yield the rows of a CSV file that are not empty; of each group of `needed` fields the header must have one."""
    text = _text(data, file)
    delimiter = max(",;\t|", key=text.split("\n", 1)[0].count)
    decimal = names.decimal or ("," if delimiter == ";" else ".")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        places = _places(header, file, columns, names)
        _require(header, file, columns, needed, places)
        for cells in reader:
            if reader.line_num > LINES_MAX:
                raise InvoiceError(f"{file}: more than {LINES_MAX} lines; wanted at most so many")
            if any(cells):
                if len(cells) <= max(places.values()):
                    raise InvoiceError(
                        f"{file}: line {reader.line_num}: found {len(cells)} cells; wanted {len(header)}"
                    )
                fields = {name: written.text_of(cells[index]) for name, index in places.items()}
                yield Cells(file, reader.line_num, fields, decimal)
    except csv.Error as error:
        raise InvoiceError(f"{file}: line {reader.line_num}: {error}; wanted CSV, as RFC 4180 has it") from None


def heading(text: str) -> str:
    """Return a heading as it is compared: without accents and case, with _ for other signs."""
    letters = unicodedata.normalize("NFKD", text.casefold()).replace("œ", "oe")
    plain = "".join(each for each in letters if not unicodedata.combining(each))
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def _text(data: bytes, file: str) -> str:
    if len(data) > SIZE_MAX:
        raise InvoiceError(f"{file}: found {len(data)} bytes; wanted at most {SIZE_MAX}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvoiceError(f"{file}: line {line}: byte {error.start} is no UTF-8; wanted a file in UTF-8") from None


def _places(header: Sequence[str], file: str, columns: Columns, names: Names) -> dict[str, int]:
    """Return the column of each field that the header has."""
    headings = [heading(each) for each in header]
    for name in names.columns:
        if name not in columns:
            raise InvoiceError(f"the mapping's columns: found {show(name)}; wanted {one_of(columns, 'fields', name)}")
    places = {}
    for name, usual in columns.items():
        wanted = [heading(names.columns[name])] if name in names.columns else usual
        found = next((each for each in wanted if each in headings), None)
        if found is None and name in names.columns:
            meant = names.columns[name]
            raise InvoiceError(f"{file}: no column {meant!r} for {name}; wanted {one_of(header, 'columns', meant)}")
        if found is not None:
            if headings.count(found) > 1:
                raise InvoiceError(f"{file}: more than one column {found}; wanted it only once")
            places[name] = headings.index(found)
    return places


def _require(
    header: Sequence[str], file: str, columns: Columns, needed: Sequence[Sequence[str]], places: Mapping[str, int]
) -> None:
    for group in needed:
        if not places.keys() & set(group):
            usual = ", ".join(columns[group[0]][:_NAMED_MAX])
            raise InvoiceError(f"{file}: line 1: no column for {' or '.join(group)} in {', '.join(header)[:200]}; "
                               f"wanted one like {usual}, or --map FILE that names it under [columns]")  # fmt: skip
