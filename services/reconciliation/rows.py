"""A reconciliation as rows: for the terminal, CSV and JSON the same numbers."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from services.contract.currencies import CURRENCY_DIGITS
from services.contract.money import EXACT, plain, subtract, total
from services.invoicing.documents import table_csv
from services.reconciliation.model import Reconciliation, Row, SupplierDocument

COLUMNS = (
    "category", "award", "item", "item_name", "usage_month", "institution", "department", "unit", "invoiced_quantity",
    "expected_quantity", "invoiced", "expected", "difference", "currency", "invoiced_before", "made_of", "lines",
    "notes",
)  # fmt: skip
_TEXTS = ("item_name", "lines", "notes")
QUANTITY_DIGITS = 15


def as_csv(found: Reconciliation) -> bytes:
    """Write the rows as CSV (RFC 4180, UTF-8)."""
    return table_csv(COLUMNS, (_for_sheets(_csv_row(found, row)) for row in found.rows)).encode()


def as_data(found: Reconciliation) -> dict[str, Any]:
    """Return all of it as plain data for JSON; numbers are text."""
    return {
        "month": found.month,
        "awards": list(found.awards),
        "suppliers": list(found.parties.suppliers),
        "buyer": found.parties.buyer,
        "contract": found.parties.contract,
        "currency": found.currency,
        "agrees": found.agrees,
        "invoiced": money(found, found.invoiced),
        "expected": money(found, found.expected),
        "difference": money(found, sum_of_parts(found)),
        "parts": {category.value: money(found, amount) for category, amount in found.parts.items()},
        "documents": [_document(found, each) for each in found.documents],
        "rows": [_data(found, row) for row in found.rows],
        "problems": list(found.problems),
        "notes": list(found.notes),
    }


def sum_of_parts(found: Reconciliation) -> Decimal:
    """Return by how much more is invoiced than expected, as its parts add up to it."""
    difference = subtract(found.invoiced, found.expected)
    assert difference == total(found.parts.values()), "the parts add up"
    return difference


def _for_sheets(row: dict[str, str]) -> dict[str, str]:
    """Keep a supplier's text from being read as a formula by a spreadsheet."""
    return row | {each: f"'{row[each]}" for each in _TEXTS if row[each].startswith(("=", "+", "-", "@"))}


def _document(found: Reconciliation, document: SupplierDocument) -> dict[str, Any]:
    return {
        "file": document.file,
        "number": document.number,
        "document": "credit note" if document.is_credit else "invoice",
        "issued": document.issued.isoformat() if document.issued else "",
        "lines": len(document.lines),
        "net": money(found, document.net),
    }


def _data(found: Reconciliation, row: Row) -> dict[str, Any]:
    parts = {category.value: money(found, amount) for category, amount in row.parts.items()}
    shown = {name: value for name, value in _csv_row(found, row).items() if name not in {"made_of", "lines", "notes"}}
    return {**shown, "parts": parts, "lines": list(row.places), "notes": list(row.notes)}


def _csv_row(found: Reconciliation, row: Row) -> dict[str, str]:
    made_of = "; ".join(f"{category.value} {money(found, amount)}" for category, amount in row.parts.items())
    values = (
        row.category.value, row.key.award, row.key.item, row.name, row.key.month, row.institution, row.department,
        row.unit, quantity(row.invoiced_quantity), quantity(row.expected_quantity), money(found, row.invoiced),
        money(found, row.expected), money(found, row.difference), found.currency, money(found, row.earlier), made_of,
        "; ".join(row.places), "; ".join(row.notes),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def money(found: Reconciliation, amount: Decimal) -> str:
    """Write an amount with the currency's decimals, and more where the supplier wrote more."""
    return currency_text(found.currency, amount)


def currency_text(currency: str, amount: Decimal) -> str:
    """Write an amount of a currency, as `money` does."""
    digits, exponent = CURRENCY_DIGITS[currency], amount.as_tuple().exponent
    assert isinstance(exponent, int), amount
    return f"{amount:z.{digits}f}" if -exponent <= digits else plain(amount)


def quantity(number: Fraction | None) -> str:
    """Write a quantity with at most 15 decimals; empty where it isn't known."""
    if number is None:
        return ""
    scaled = round(abs(number) * 10**QUANTITY_DIGITS)
    return plain(Decimal(scaled if number >= 0 else -scaled).scaleb(-QUANTITY_DIGITS, EXACT))


def of_row(row: Row) -> Iterator[str]:
    """Yield what a row is about, in words: the item, and month or institution where they are told apart."""
    yield row.key.item or row.name or "?"
    if row.institution:
        yield f"{row.institution}/{row.department}" if row.department else row.institution
