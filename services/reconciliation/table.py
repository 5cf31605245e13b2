"""Reading a supplier's invoice from a CSV file: columns by their usual names, or as a mapping file names them.

Law: whatever bytes come, the answer is documents or an InvoiceError that names line and column. A column is taken by
one name only, so none is chosen silently where two would do. Rows are told apart by the number of their invoice.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from services.contract.money import HUNDRED, add, multiply, quotient, round_half_up
from services.contract.problems import one_of, show
from services.reconciliation import numbers
from services.reconciliation.electronic import LINES_MAX, SIZE_MAX
from services.reconciliation.mapping import Names
from services.reconciliation.model import InvoiceError, SupplierDocument, SupplierLine

COLUMNS: Mapping[str, Sequence[str]] = {
    "number": ("invoice_number", "invoice_no", "invoice", "document_number", "number", "facture", "rechnungsnummer"),
    "currency": ("currency", "devise", "waehrung", "billing_currency"),
    "supplier": ("supplier_vat_id", "vat_id", "supplier_name", "supplier"),
    "award": ("award",),
    "reference": ("contract", "contract_reference", "order", "order_reference"),
    "month": ("usage_month", "month_of_use", "month", "billing_month", "period"),
    "starts": ("period_start", "start_date", "from", "billing_period_start"),
    "ends": ("period_end", "end_date", "to", "until", "billing_period_end"),
    "institution": ("institution", "customer", "department_code", "cost_centre", "cost_center", "accounting_cost"),
    "department": ("department",),
    "item": ("item", "item_code", "sku", "product_code", "article", "article_number", "code"),
    "name": ("item_name", "description", "product", "name", "designation", "bezeichnung"),
    "quantity": ("quantity", "qty", "quantite", "menge", "usage_quantity"),
    "unit": ("unit", "uom", "unit_of_measure", "unite", "einheit", "unit_code"),
    "net": ("amount", "net_amount", "net", "line_total", "cost", "montant_ht", "nettobetrag"),
    "gross": ("gross_amount", "gross", "amount_with_vat", "montant_ttc", "bruttobetrag"),
    "vat_percent": ("vat_percent", "vat_rate", "vat", "tva", "mwst"),
}
"""Each field's usual headings, the surest first; compared in small letters, with _ for other signs."""
_PLAIN = str.maketrans("äöüéèàêçß", "aoueeaecs")


def read_csv(data: bytes, file: str, names: Names) -> list[SupplierDocument]:
    """Read the invoices in a CSV file, in the order of their first rows; one without a number is named by the file."""
    text = _text(data, file)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    decimal = names.decimal or ("," if delimiter == ";" else ".")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    documents: dict[str, list[tuple[dict[str, str], SupplierLine]]] = {}
    try:
        places = _places(next(reader, []), file, names)
        for cells in reader:
            if any(cells):
                row = _row(cells, places, f"{file}: line {reader.line_num}")
                line = _line(row, f"{file}: line {reader.line_num}", f"line {reader.line_num}", decimal)
                documents.setdefault(row.get("number") or file.rpartition("/")[2], []).append((row, line))
            if reader.line_num > LINES_MAX:
                raise InvoiceError(f"{file}: more than {LINES_MAX} lines; wanted at most so many")
    except csv.Error as error:
        raise InvoiceError(f"{file}: line {reader.line_num}: {error}; wanted CSV, as RFC 4180 has it") from None
    if not documents:
        raise InvoiceError(f"{file}: no rows below the header; wanted at least one")
    return [_document(file, number, rows) for number, rows in documents.items()]


def heading(text: str) -> str:
    """Return a heading as it is compared."""
    return re.sub(r"[^a-z0-9]+", "_", text.strip().casefold().translate(_PLAIN)).strip("_")


def _text(data: bytes, file: str) -> str:
    if len(data) > SIZE_MAX:
        raise InvoiceError(f"{file}: found {len(data)} bytes; wanted at most {SIZE_MAX}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvoiceError(f"{file}: line {line}: byte {error.start} is no UTF-8; wanted a file in UTF-8") from None


def _places(header: Sequence[str], file: str, names: Names) -> dict[str, int]:
    """Return the column of each field that the header has."""
    headings = [heading(each) for each in header]
    unknown = sorted(set(names.columns) - set(COLUMNS))
    if unknown:
        raise InvoiceError(
            f"the mapping's columns: found {unknown[0]!r}; wanted {one_of(COLUMNS, 'fields', unknown[0])}"
        )
    places = {}
    for name, usual in COLUMNS.items():
        wanted = [heading(names.columns[name])] if name in names.columns else usual
        found = next((each for each in wanted if each in headings), None)
        if found is None and name in names.columns:
            shown = one_of(header, "columns", names.columns[name])
            raise InvoiceError(f"{file}: no column {names.columns[name]!r} for {name}; wanted {shown}")
        if found is not None:
            if headings.count(found) > 1:
                raise InvoiceError(f"{file}: more than one column {found}; wanted it only once")
            places[name] = headings.index(found)
    for needed in (("net", "gross"), ("item", "name")):
        if not places.keys() & set(needed):
            raise InvoiceError(f"{file}: line 1: no column for {' or '.join(needed)}, of {', '.join(header)[:200]}; "
                               f"wanted {', '.join(COLUMNS[needed[0]])}, or --map FILE with one under [columns]")  # fmt: skip
    return places


def _row(cells: Sequence[str], places: Mapping[str, int], place: str) -> dict[str, str]:
    if len(cells) <= max(places.values()):
        raise InvoiceError(f"{place}: found {len(cells)} cells; wanted as many as the header has")
    return {name: cells[index].strip() for name, index in places.items()}


def _line(row: Mapping[str, str], place: str, short: str, decimal: str) -> SupplierLine:
    quantity = row.get("quantity", "")
    period = [numbers.day(row[each], place) if row.get(each) else None for each in ("starts", "ends")]
    whose = [row.get("institution", ""), row.get("department", "")]
    return SupplierLine(
        place=short,
        name=row.get("name", ""),
        net=_net(row, place, decimal),
        codes=(row["item"],) if row.get("item") else (),
        quantity=_number(quantity, place, "quantity", decimal) if quantity else None,
        unit=row.get("unit", ""),
        month=numbers.month(row["month"], place) if row.get("month") else numbers.month_between(*period),
        award=row.get("award", ""),
        whose=tuple(filter(None, ("/".join(whose) if all(whose) else "", *whose))),
    )


def _net(row: Mapping[str, str], place: str, decimal: str) -> Decimal:
    """Return a row's amount without VAT: as it is given, else what the one with VAT comes to without it."""
    if row.get("net"):
        return _number(row["net"], place, "net", decimal)
    if not row.get("gross"):
        raise InvoiceError(f"{place}: no amount; wanted one in every row")
    gross = _number(row["gross"], place, "gross", decimal)
    if not row.get("vat_percent"):
        raise InvoiceError(
            f"{place}: an amount with VAT and no rate of it; wanted a column {COLUMNS['vat_percent'][0]}"
        )
    rate = _number(row["vat_percent"].rstrip("% "), place, "vat_percent", decimal)
    return round_half_up(quotient(multiply(gross, HUNDRED), add(HUNDRED, rate)), 2)


def _number(text: str, place: str, column: str, decimal: str) -> Decimal:
    """Read a number; what groups thousands is taken only where it can be nothing else."""
    found = re.sub(r"[\s'’]", "", text)
    groups = "." if decimal == "," else ","
    whole, point, rest = found.partition(decimal)
    if (
        groups in whole
        and re.fullmatch(rf"[+-]?\d{{1,3}}(?:\{groups}\d{{3}})+", whole)
        and (point or whole.count(groups) > 1)
    ):
        whole = whole.replace(groups, "")
    if groups in whole or groups in rest:
        raise InvoiceError(f"{place}: {column}: found {show(text)}; wanted a number with {decimal!r} before its "
                           "decimals (--map FILE may say decimal = \",\" or \".\")")  # fmt: skip
    return numbers.number(f"{whole}.{rest}" if point else whole, f"{place}: {column}")


def _document(file: str, number: str, rows: list[tuple[dict[str, str], SupplierLine]]) -> SupplierDocument:
    currencies = _different(rows, "currency")
    if len(currencies) > 1:
        raise InvoiceError(f"{file}: {number}: found {', '.join(currencies)}; wanted one currency on an invoice")
    lines = tuple(line for _, line in rows)
    return SupplierDocument(
        file=file,
        number=number,
        is_credit=sum(line.net for line in lines) < 0,
        currency=currencies[0] if currencies else "",
        lines=lines,
        sellers=tuple(_different(rows, "supplier")),
        references=tuple(_different(rows, "reference")),
    )


def _different(rows: list[tuple[dict[str, str], SupplierLine]], field: str) -> list[str]:
    return list(dict.fromkeys(_given(rows, field)))


def _given(rows: list[tuple[dict[str, str], SupplierLine]], field: str) -> Iterator[str]:
    yield from (row[field] for row, _ in rows if row.get(field))
