"""A document as a workbook (XLSX): a summary, and the lines with types, a frozen header and totals as formulas.

Law: the same document gives the same bytes. Amounts are exact: one that a spreadsheet can't hold in its 15 digits is
written as text, and so are then the totals. Quantities and prices are the nearest number.
"""

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TypeAlias

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_range
from xlsxwriter.worksheet import Worksheet

from services.contract.money import HUNDRED, decimals, plain, quotient
from services.documents.model import E_INVOICE_DIGITS, Document, DocumentKind
from services.documents.rows import FIELDS, Field, Sort, Value, row
from services.documents.texts import exemption, note

Formats: TypeAlias = dict[Sort | str, Format]
DIGITS_MAX = 15
"""Significant digits of a number in a spreadsheet."""
_NUMBER_FORMATS = {Sort.INTEGER: "0", Sort.NUMBER: "#,##0.############", Sort.DATE: "yyyy-mm-dd"}
_AMOUNT = list(FIELDS).index("amount")


def as_xlsx(document: Document) -> bytes:
    """Write a document as a workbook."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"constant_memory": True, "strings_to_formulas": False}) as book:
        created = datetime.combine(document.issued, time(), UTC).replace(tzinfo=None)
        title = f"{document.called.capitalize()} {document.number}".rstrip()
        book.set_properties({"title": title, "author": document.seller.party.legal_name, "created": created})
        formats: Formats = {sort: book.add_format({"num_format": form}) for sort, form in _NUMBER_FORMATS.items()}
        formats[Sort.AMOUNT] = book.add_format({"num_format": _number_format(document.digits)})
        formats[Sort.TEXT] = book.add_format()
        formats["head"] = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        formats["bold"] = book.add_format({"bold": True})
        digits = max(document.digits, decimals(document.totals.tax))  # VAT may have more than the currency
        formats["total"] = book.add_format({"bold": True, "top": 1, "num_format": _number_format(digits)})
        is_exact = _all_fit(document)
        _summary(book.add_worksheet("Summary"), document, formats, is_exact=is_exact)
        _lines(book.add_worksheet("Lines"), document, formats, is_exact=is_exact)
    return out.getvalue()


def _number_format(digits: int) -> str:
    return f"#,##0.{'0' * digits}".rstrip(".")


def fits(amount: Decimal) -> bool:
    """Tell whether a spreadsheet can hold an amount to its last digit."""
    return len(amount.normalize().as_tuple().digits) <= DIGITS_MAX


def _all_fit(document: Document) -> bool:
    totals = document.totals
    return all(map(fits, (totals.net, totals.tax, totals.payable, *(line.net for line in document.lines))))


def _summary(sheet: Worksheet, document: Document, formats: Formats, *, is_exact: bool) -> None:
    seller, buyer, totals = document.seller.party, document.buyer.party, document.totals
    head: list[tuple[str, Value]] = [
        (document.called.capitalize(), document.number or "not issued"),
        ("Subject", note(document)),
        ("Month", document.month),
        ("Issued", document.issued),
        ("Due", document.due or ""),
        ("From", seller.legal_name),
        ("From: VAT id", seller.vat_id),
        ("To", buyer.legal_name),
        ("To: VAT id", buyer.vat_id),
        ("Buyer reference", document.buyer.buyer_reference),
        ("Order reference", document.buyer.order_reference),
        ("Accounting cost", document.buyer.accounting_cost),
        ("Corrects" if document.reason else "Adjusts", ", ".join(each.number for each in document.preceding)),
        ("Reason", document.reason),
        ("Currency", document.currency),
        ("Why no VAT is due", exemption(document.tax, document.buyer.language)),
    ]
    sheet.set_column(0, 0, 20)
    sheet.set_column(1, 1, 60)
    head = [(name, value) for name, value in head if value != ""]
    for index, (name, value) in enumerate(head):
        sheet.write_string(index, 0, name, formats["bold"])
        _write(sheet, (index, 1), value, Sort.DATE if isinstance(value, date) else Sort.TEXT, formats)
    at = len(head) + 1
    net = f"=SUM(Lines!{xl_range(1, _AMOUNT, len(document.lines), _AMOUNT)})"
    percent, rate = plain(document.tax.percent), plain(quotient(document.tax.percent, HUNDRED))
    owed = "paid" if document.kind is DocumentKind.INVOICE else "credited"
    sums = [
        ("Net", net, totals.net),
        (
            f"VAT, {document.tax.category.value} {percent} %",
            _vat(document, f"B{at + 1}", rate),
            totals.tax,
        ),
    ]
    if totals.rounding:
        gross = f"(B{at + 1}+B{at + 2})"
        sums.append(("Rounding", f"=ROUND(ROUND({gross},{document.digits})-{gross},2)", totals.rounding))
    sums.append((f"To be {owed}", f"=SUM(B{at + 1}:B{at + len(sums)})", totals.payable))
    for index, (name, formula, amount) in enumerate(sums):
        sheet.write_string(at + index, 0, name, formats["bold"])
        _write_total(sheet, (at + index, 1), formula, amount, formats, "" if is_exact else document.written(amount))


def _vat(document: Document, net: str, rate: str) -> str:
    """Return the formula of the VAT on a net; of one that is taken from what is left, by how much its VAT shrinks."""
    left, digits = document.left, max(E_INVOICE_DIGITS, document.digits)
    if left is None:
        return f"=ROUND({net}*{rate},{digits})"
    return f"=ROUND({plain(left)}*{rate},{digits})-ROUND(({plain(left)}-{net})*{rate},{digits})"


def _lines(sheet: Worksheet, document: Document, formats: Formats, *, is_exact: bool) -> None:
    sheet.freeze_panes(1, 1)
    for index, (name, field) in enumerate(FIELDS.items()):
        sheet.set_column(index, index, field.width)
        sheet.write_string(0, index, name.replace("_", " "), formats["head"])
    sheet.autofilter(0, 0, len(document.lines), len(FIELDS) - 1)
    fields: list[Field] = list(FIELDS.values())
    for at, line in enumerate(document.lines, start=1):
        for index, value in enumerate(row(document, line)):
            sort = fields[index].sort
            _write(sheet, (at, index), _fitting(document, value, sort), sort, formats)
    last = len(document.lines)
    sheet.write_string(last + 1, 0, "total", formats["total"])
    formula = f"=SUM({xl_range(1, _AMOUNT, last, _AMOUNT)})"
    net = document.totals.net
    _write_total(sheet, (last + 1, _AMOUNT), formula, net, formats, "" if is_exact else document.written(net))


def _fitting(document: Document, value: Value, sort: Sort) -> Value:
    """Return a value, an amount that does not fit as a text."""
    if isinstance(value, Decimal) and sort is Sort.AMOUNT and not fits(value):
        return document.written(value)
    return value


def _write(sheet: Worksheet, at: tuple[int, int], value: Value, sort: Sort, formats: Formats) -> None:
    if value == "":
        return
    if isinstance(value, date):
        sheet.write_datetime(*at, value, formats[sort])
    elif isinstance(value, str):
        sheet.write_string(*at, value)
    else:
        sheet.write_number(*at, float(value), formats[sort])


def _write_total(
    sheet: Worksheet, at: tuple[int, int], formula: str, amount: Decimal, formats: Formats, text: str
) -> None:
    """Write a total as a formula with its value, or as a text where a formula would not come to it."""
    if text:
        sheet.write_string(*at, text, formats["total"])
    else:
        sheet.write_formula(*at, formula, formats["total"], float(amount))
