"""Reading a supplier's invoice from a CSV file.

Rows are told apart by the number of their invoice. Where a column says that one is a credit note and its amounts come
to more than nothing, its signs are turned.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

from services.contract.money import HUNDRED, add, multiply, quotient, round_half_up, total
from services.reconciliation import written
from services.reconciliation.cells import Cells, Columns, rows_of
from services.reconciliation.electronic import turned
from services.reconciliation.mapping import Names
from services.reconciliation.model import InvoiceError, SupplierDocument, SupplierLine

COLUMNS: Columns = {
    "number": ("invoice_number", "invoice_no", "invoice", "document_number", "number", "facture", "rechnungsnummer"),
    "currency": ("currency", "devise", "wahrung", "billing_currency"),
    "kind": ("document_type", "invoice_type", "kind", "type"),
    "supplier": ("supplier_vat_id", "vat_id", "supplier_name", "supplier"),
    "award": ("award",),
    "reference": ("contract", "contract_reference", "order", "order_reference"),
    "month": ("usage_month", "month_of_use", "month", "billing_month", "period"),
    "starts": ("period_start", "start_date", "from", "billing_period_start"),
    "ends": ("period_end", "end_date", "to", "until", "billing_period_end"),
    "institution": ("institution", "customer", "cost_centre", "cost_center", "accounting_cost"),
    "department": ("department", "department_code"),
    "item": ("item", "item_code", "sku", "product_code", "article", "article_number", "code"),
    "name": ("item_name", "description", "product", "name", "designation", "bezeichnung"),
    "quantity": ("quantity", "qty", "quantite", "menge", "usage_quantity"),
    "unit": ("unit", "uom", "unit_of_measure", "unite", "einheit", "unit_code"),
    "net": ("amount", "net_amount", "net", "line_total", "cost", "montant_ht", "nettobetrag"),
    "gross": ("gross_amount", "gross", "amount_with_vat", "montant_ttc", "bruttobetrag"),
    "vat_percent": ("vat_percent", "vat_rate", "vat", "tva", "mwst"),
}
_CREDIT = re.compile(r"\b(?:credit|avoir|gutschrift|381)", re.IGNORECASE)
_NEEDED = (("net", "gross"), ("item", "name"))


def read_csv(data: bytes, file: str, names: Names) -> list[SupplierDocument]:
    """Read the invoices in a CSV file, in the order of their first rows; one without a number is named by the file."""
    documents: dict[str, list[Cells]] = {}
    for row in rows_of(data, file, COLUMNS, _NEEDED, names):
        documents.setdefault(row.text("number") or file.rpartition("/")[2], []).append(row)
    if not documents:
        raise InvoiceError(f"{file}: no rows below the header; wanted at least one")
    return [_document(file, number, rows) for number, rows in documents.items()]


def _document(file: str, number: str, rows: Sequence[Cells]) -> SupplierDocument:
    currencies = _different(rows, "currency")
    if len(currencies) > 1:
        raise InvoiceError(f"{file}: {number}: found {', '.join(currencies)}; wanted one currency on an invoice")
    lines = tuple(map(_line, rows))
    if _CREDIT.search(" ".join(_different(rows, "kind"))) and total(line.net for line in lines) > 0:
        lines = tuple(map(turned, lines))
    return SupplierDocument(
        file=file,
        number=number,
        is_credit=total(line.net for line in lines) < 0,
        currency=currencies[0] if currencies else "",
        lines=lines,
        sellers=_different(rows, "supplier"),
        references=_different(rows, "reference"),
    )


def _line(row: Cells) -> SupplierLine:
    period = [written.day(row.text(each), row.place) if row.text(each) else None for each in ("starts", "ends")]
    whose = [row.text("institution"), row.text("department")]
    month = written.month(row.text("month"), row.place) if row.text("month") else written.month_between(*period)
    return SupplierLine(
        place=f"line {row.line}",
        name=row.text("name"),
        net=_net(row),
        codes=(row.text("item"),) if row.text("item") else (),
        quantity=row.number("quantity") if row.text("quantity") else None,
        unit=row.text("unit"),
        month=month,
        award=row.text("award"),
        whose=tuple(filter(None, ("/".join(whose) if all(whose) else "", whose[0] or whose[1]))),
    )


def _net(row: Cells) -> Decimal:
    """Return a row's amount without VAT: as it is given, else what the one with VAT comes to without it."""
    if row.text("net"):
        return row.number("net")
    if not row.text("gross"):
        raise InvoiceError(f"{row.place}: no amount; wanted one in every row")
    if not row.text("vat_percent"):
        raise InvoiceError(f"{row.place}: an amount with VAT and no rate of it; wanted a column vat_percent")
    percent = row._replace(fields={"vat_percent": row.text("vat_percent").rstrip("% ")}).number("vat_percent")
    if percent <= -HUNDRED:
        raise InvoiceError(f"{row.place}: vat_percent: found {percent}; wanted a rate from 0 on")
    return round_half_up(quotient(multiply(row.number("gross"), HUNDRED), add(HUNDRED, percent)), 2)


def _different(rows: Sequence[Cells], field: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.text(field) for row in rows if row.text(field)))
