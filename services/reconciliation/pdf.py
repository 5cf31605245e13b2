"""A reconciliation to print, to be sent to the supplier with the question why.

Law: the same reconciliation gives the same bytes, and every text goes to the template as data, so that nothing that a
supplier writes is ever read as markup.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import typst

from services.contract.money import quotient, total
from services.contract.months import first_day
from services.contract.parties import Language
from services.documents.words import amount, day, month
from services.documents.words import quantity as worded
from services.reconciliation.model import FINE, Category, Reconciliation, Row
from services.reconciliation.rows import of_row, quantity, sum_of_parts

ROWS_MAX = 500
"""Rows of more than this are not printed; what needs attention comes first."""
_ENGLISH = Language.ENGLISH
_TEMPLATE = Path(__file__).with_name("reconciliation.typ")
_TEXT_MAX = 200
_DIGITS = 100


def as_pdf(found: Reconciliation) -> bytes:
    """Print a reconciliation."""
    with localcontext(prec=_DIGITS):  # Babel rounds within the context's digits, and a supplier may write more than 28
        data = _data(found)
    made: bytes | None = typst.compile(
        _TEMPLATE,
        sys_inputs={"data": json.dumps(data)},
        ignore_system_fonts=True,
        timestamp=datetime.combine(first_day(found.month), time(), UTC),
        pdf_tags=False,
    )
    assert made is not None, "one output without a path is returned"
    return made


def _data(found: Reconciliation) -> dict[str, Any]:
    about = f"{', '.join(found.awards)} · {month(found.month, _ENGLISH)}"
    left_out = len(found.rows) - ROWS_MAX
    invoiced, expected = (amount(each, _ENGLISH, found.digits) for each in (found.invoiced, found.expected))
    return {
        "title": f"Reconciliation {about}",
        "about": about,
        "documents": [
            {
                "number": _short(each.number),
                "kind": "credit note" if each.is_credit else "invoice",
                "issued": day(each.issued, _ENGLISH) if each.issued else "",
                "net": amount(each.net, _ENGLISH, found.digits),
            }
            for each in found.documents
        ],
        "parties": list(_parties(found)),
        "verdict": _verdict(found),
        "headline": _headline(found),
        "sums": f"invoiced {invoiced}, expected {expected} {found.currency}, without VAT",
        "invoiced": invoiced,
        "expected": expected,
        "difference": _signed(sum_of_parts(found), found),
        "parts": list(_parts(found)),
        "said": [_short(each) for each in (*found.problems, *found.notes)],
        "elsewhere": f"The last {left_out} rows are in the CSV file." if left_out > 0 else "",
        "rows": [_row(found, row) for row in found.rows[:ROWS_MAX]],
    }  # fmt: skip


def _parties(found: Reconciliation) -> Iterator[dict[str, str]]:
    """Yield who sells, who buys and under which contract, as far as that is known."""
    suppliers, buyer, contract = found.parties
    for role, name in (("Supplier", ", ".join(suppliers)), ("Buyer", buyer), ("Contract", contract)):
        if name:
            yield {"role": role, "name": _short(name)}


def _verdict(found: Reconciliation) -> str:
    """Say in a line what differs, even where amounts cancel."""
    if found.agrees:
        return "Agrees"
    counts = Counter(category for row in found.rows if row.category not in FINE for category in _differing(row))
    said = [f"{category.value} ({_counted(counts[category], 'row')})" for category in Category if counts[category]]
    if found.problems:
        said.append(f"{_counted(len(found.problems), 'problem')} of the documents")
    return f"Differs: {', '.join(said)}"


def _differing(row: Row) -> Iterable[Category]:
    return [each for each in row.parts if each not in FINE] or [row.category]


def _headline(found: Reconciliation) -> str:
    """Return the difference; where it comes to nothing though something differs, what is too much and too little."""
    difference = sum_of_parts(found)
    parts = [part for row in found.rows if row.category not in FINE for part in row.parts.values()]
    over, under = total(each for each in parts if each > 0), total(each for each in parts if each < 0)
    if difference or not over:
        return _signed(difference, found)
    return f"{_signed(over, found)} {_signed(under, found)}"


def _parts(found: Reconciliation) -> Iterator[dict[str, Any]]:
    """Yield what each category comes to, with its part of the largest for a bar."""
    largest = max((abs(part) for part in found.parts.values()), default=Decimal(1))
    for category, part in found.parts.items():
        yield {
            "name": category.value,
            "rows": _rows_of(found, category),
            "amount": _signed(part, found),
            "part": float(round(quotient(abs(part), largest), 4)) if largest else 0,
        }


def _rows_of(found: Reconciliation, category: Category) -> str:
    return _counted(sum(category in row.parts for row in found.rows), "row")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _row(found: Reconciliation, row: Row) -> dict[str, str]:
    used = [f"used in {month(row.key.month, _ENGLISH)}"] if row.key.month != found.month else []
    notes = [] if row.category in FINE else [*row.notes, ", ".join(row.places[:3])]
    return {
        "what": row.category.value,
        "item": _short(" · ".join(of_row(row))),
        "note": _short("; ".join(filter(None, (*used, *notes)))),
        "invoiced_quantity": _quantity(row.invoiced_quantity),
        "expected_quantity": _quantity(row.expected_quantity),
        "unit": row.unit,
        "invoiced": amount(row.invoiced, _ENGLISH, found.digits),
        "expected": amount(row.expected, _ENGLISH, found.digits),
        "difference": _signed(row.difference, found),
    }


def _quantity(number: Fraction | None) -> str:
    return worded(Decimal(quantity(number)), _ENGLISH) if number is not None else ""


def _signed(number: Decimal, found: Reconciliation) -> str:
    text = amount(number, _ENGLISH, found.digits)
    return f"+{text}" if number > 0 else text


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 1]}…"
