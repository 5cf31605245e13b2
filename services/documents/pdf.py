"""A document as a PDF that a person reads: one page that sums up, then the lines. PDF/A-3, to be kept for good.

Law: the same document gives the same bytes: no clock, no font of the machine. Every text goes to the template as data,
so nothing that a contract names is ever read as markup. Quantities and prices are rounded for reading, amounts are not.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import typst

from services.contract.money import ONE, ZERO, add, opposite, quotient, subtract, total
from services.contract.parties import Party, TaxCategory
from services.documents.cii import cii
from services.documents.factur_x import with_factur_x
from services.documents.model import Document, DocumentKind, DocumentLine, Spent
from services.documents.texts import exemption
from services.documents.units import unit_name
from services.documents.words import (
    WORDS,
    amount,
    compact,
    day,
    decimal_sign,
    month,
    month_before,
    month_short,
    percent,
    price,
    quantity,
    title,
)

LINES_MAX = 500
"""Of more lines than this only the largest are printed: at over 1 ms for each, those of a large month take minutes."""
LARGEST = 50
_DIGITS = 100
_TEMPLATE = Path(__file__).with_name("invoice.typ")
_NOT_DISPLAYED = re.compile(r'the text `"(.+)"` could not be displayed')
_BOX = "□"
_without_glyph: set[str] = set()
"""What is known not to be in Typst's fonts, of which there is one set: it is found out once in a process."""


def as_pdf(document: Document) -> bytes:
    """Print a document, with the e-invoice of the same document in it (Factur-X, which is ZUGFeRD as well).

    One that was not issued has none, so no program takes it for an invoice; nor has one in a currency of more decimals
    than an e-invoice allows.
    """
    with localcontext(prec=_DIGITS):  # Babel rounds within the context's digits, and the price of 1e-15 units has more
        texts = json.dumps(_data(document), ensure_ascii=False)
    e_invoice = cii(document).decode() if document.has_e_invoice else ""
    while True:
        for each in sorted(_without_glyph, key=len, reverse=True):
            texts = texts.replace(each, _BOX)
        try:
            printed = _printed(texts, e_invoice, document.issued)
            return with_factur_x(printed) if e_invoice else printed
        except typst.TypstError as error:
            _without_glyph.add(_missing(error))


def _printed(texts: str, e_invoice: str, issued: date) -> bytes:
    """Run the template; raises TypstError where the fonts lack a character, which PDF/A forbids."""
    made: bytes | None = typst.compile(
        _TEMPLATE,
        sys_inputs={"data": texts, "e_invoice": e_invoice},
        ignore_system_fonts=True,
        timestamp=datetime.combine(issued, time(), UTC),
        pdf_standards=["a-3b"],
        pdf_tags=False,
    )
    assert made is not None, "one output without a path is returned"
    return made


def _missing(error: typst.TypstError) -> str:
    """Return the text that no font has; anything else that is wrong is raised again."""
    found = _NOT_DISPLAYED.search(str(error))
    if found is None:
        raise error
    return re.sub(r"\\u\{([0-9a-f]+)\}", lambda code: chr(int(code[1], 16)), found[1])


def _data(document: Document) -> dict[str, Any]:
    language = document.buyer.language
    words, totals, tax = WORDS[language], document.totals, document.tax
    is_invoice = document.kind is DocumentKind.INVOICE
    lines = _printed_lines(document)
    has_vat_id = tax.category is not TaxCategory.OUTSIDE
    return {
        "language": language.value,
        "words": words,
        "title": title(document.kind, language, is_issued=bool(document.number)),
        "is_pro_forma": not document.number,
        "number": document.number,
        "seller": _party(document.seller.party, has_vat_id=has_vat_id),
        "buyer": _party(document.buyer.party, has_vat_id=has_vat_id),
        "why": document.reason,
        "facts": [each for each in _facts(document) if each[1]],
        "to_pay": words["payable" if is_invoice else "credited"],
        "due": words["due"].format(day(document.due, language)) if document.due else "",
        "payable": _amount(document, totals.payable),
        "currency": document.currency,
        "net": _amount(document, totals.net),
        "sums": _sums(document),
        "reason": exemption(tax, language),
        "awards": _shares(document, lambda line: f"{words['lot']} {line.award.partition('/')[0]} · {line.supplier}"),
        "departments": _departments(document),
        "of_which": [each for each in _of_which(document) if each[1]],
        "so_far": words["so_far"].format(month(document.month, language)) if document.spent else "",
        "months": _months(document) if document.months else [],
        "by_month": words["by_month"],
        "spent": [_spent(document, each) for each in document.spent],
        "elsewhere": "" if len(lines) == len(document.lines) else _elsewhere(document, lines),
        "lines": [_line(document, line) for line in lines],
        "others": "" if len(lines) == len(document.lines) else _others(document, lines),
    }


def _printed_lines(document: Document) -> Sequence[DocumentLine]:
    """Return the lines that are printed: all, or those that most is paid or given back for, in the document's order."""
    if len(document.lines) <= LINES_MAX:
        return document.lines
    largest = sorted(document.lines, key=lambda line: (-abs(line.net), line.number))[:LARGEST]
    return sorted(largest, key=lambda line: line.number)


def _elsewhere(document: Document, lines: Sequence[DocumentLine]) -> str:
    language = document.buyer.language
    printed, of = (quantity(Decimal(len(each)), language) for each in (lines, document.lines))
    return WORDS[language]["elsewhere"].format(printed, of)


def _amount(document: Document, number: Decimal) -> str:
    return amount(number, document.buyer.language, document.digits)


def _others(document: Document, lines: Sequence[DocumentLine]) -> str:
    """Write what all lines come to that are not printed."""
    return amount(
        subtract(document.totals.net, total(line.net for line in lines)), document.buyer.language, document.digits
    )


def _sums(document: Document) -> list[tuple[str, str]]:
    language, totals = document.buyer.language, document.totals
    words = WORDS[language]
    rounding = [(words["rounding"], _amount(document, totals.rounding))] if totals.rounding else []
    rate = f"{words['vat']} {quantity(document.tax.percent, language)} %"
    return [
        (words["net"], _amount(document, totals.net)),
        (rate, _amount(document, totals.tax)),
        *rounding,
    ]


def _months(document: Document) -> list[dict[str, Any]]:
    """Return the columns of a chart, each with its part of the highest; below zero there is none."""
    language = document.buyer.language
    highest = max(each.total for each in document.months)
    return [
        {
            "name": month_short(each.month, language),
            "amount": compact(each.total, language),
            "part": float(round(quotient(each.total, highest), 4)) if each.total > 0 else 0,
        }
        for each in document.months
    ]


def _party(party: Party, *, has_vat_id: bool) -> dict[str, Any]:
    assert party.address is not None, "nothing is lacking"
    address = party.address
    town = " ".join(filter(None, (address.postal_code, address.city)))
    lines = [address.street, address.extra, f"{town}, {address.country}"]
    return {
        "name": party.legal_name,
        "address": [each for each in lines if each],
        "vat_id": party.vat_id if has_vat_id else "",
    }


def _facts(document: Document) -> Iterable[tuple[str, str]]:
    language, buyer = document.buyer.language, document.buyer
    words = WORDS[language]
    is_invoice = document.kind is DocumentKind.INVOICE
    yield words["issued"] if document.number else words["as_of"], day(document.issued, language)
    yield words["period"], month(document.month, language)
    yield words["framework"], document.contract
    yield words["buyer_reference"], buyer.buyer_reference
    yield words["order_reference"], buyer.order_reference
    yield words["accounting_cost"], buyer.accounting_cost
    yield words["corrects" if document.reason else "adjusts"], ", ".join(each.number for each in document.preceding)
    yield words["account"], document.seller.iban if document.number and is_invoice else ""


def _shares(document: Document, name: Callable[[DocumentLine], str]) -> list[dict[str, Any]]:
    """Return what lines of one name come to, the largest first, each with its part of the largest for a bar."""
    sums: dict[str, Decimal] = {}
    for line in document.lines:
        sums[name(line)] = add(sums.get(name(line), ZERO), line.net)
    largest = max(sums.values())
    return [
        {
            "name": each,
            "amount": _amount(document, came_to),
            "part": float(round(quotient(came_to, largest), 4)) if came_to > 0 else 0,
        }
        for each, came_to in sorted(sums.items(), key=lambda share: (-share[1], share[0]))
    ]


def _departments(document: Document) -> list[dict[str, Any]]:
    """Return what each department came to; nothing where the institution has none."""
    if not any(line.department for line in document.lines):
        return []
    direct = WORDS[document.buyer.language]["direct"]
    return _shares(document, lambda line: f"{line.department} · {line.department_name}" if line.department else direct)


def _spent(document: Document, spent: Spent) -> dict[str, Any]:
    language = document.buyer.language
    part = quotient(spent.spent, spent.limit)
    return {
        "name": WORDS[language][spent.kind.value].format(_amount(document, spent.limit)),
        "amount": f"{_amount(document, spent.spent)} · {percent(part, language)}",
        "part": float(round(min(max(part, ZERO), ONE), 4)),
        "is_over": part > ONE,
    }


def _of_which(document: Document) -> Iterable[tuple[str, str]]:
    language = document.buyer.language
    words = WORDS[language]
    for name, chosen in (
        ("pools", [line.net for line in document.lines if line.pool]),
        ("adjustments", [line.net for line in document.lines if line.month]),
    ):
        yield words[name], _amount(document, total(chosen)) if chosen else ""
    if document.last:
        *_, last, _this = document.months  # less what was credited, as in the chart
        before = last.total if document.kind is DocumentKind.INVOICE else opposite(last.total)
        yield words["last"].format(month_before(document.month, language)), _amount(document, before)


def _line(document: Document, line: DocumentLine) -> dict[str, str]:
    language, quoted = document.buyer.language, line.quote
    per = "" if quoted.base == ONE else f" / {quantity(quoted.base, language)}"
    return {
        "number": str(line.number),
        "item": line.name,
        "note": " · ".join(_note(document, line)),
        "whose": _whose(document, line),
        "quantity": quantity(quoted.quantity, language),
        "unit": "" if quoted.is_lump else unit_name(line.unit, language),
        "price": f"{price(quoted.price, language, document.digits)}{per}",
        "amount": _amount(document, line.net),
    }


def _note(document: Document, line: DocumentLine) -> Iterable[str]:
    yield line.award
    if line.month:
        language = document.buyer.language
        yield WORDS[language]["of_month"].format(month(line.month, language))
    if line.set_off:
        language = document.buyer.language
        yield WORDS[language]["set_off"].format(_amount(document, line.set_off))
    yield from [line.accounting_cost] if line.accounting_cost else []


def _whose(document: Document, line: DocumentLine) -> str:
    words = WORDS[document.buyer.language]
    parts = [line.department] if line.department else []
    if line.pool:
        weight = line.pool.weight.replace(".", decimal_sign(document.buyer.language))
        key = " ".join(filter(None, (words[line.pool.key], weight)))
        parts.append(f"{words['pool']} {line.pool.name} ({key})")
    return ", ".join(parts)
