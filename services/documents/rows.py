"""The lines of a document as rows: the same columns in CSV, XLSX and JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, auto

from services.documents.model import Document, DocumentLine

Value = str | int | Decimal | date


class Sort(Enum):
    """What a column holds; an `AMOUNT` is due, with the decimals of the currency."""

    TEXT = auto()
    INTEGER = auto()
    NUMBER = auto()
    AMOUNT = auto()
    DATE = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A column: what it holds, how a line fills it, and how wide it is in a sheet, in characters."""

    sort: Sort
    of: Callable[[Document, DocumentLine], Value]
    width: int


FIELDS: Mapping[str, Field] = {
    "line": Field(Sort.INTEGER, lambda _, line: line.number, 6),
    "department": Field(Sort.TEXT, lambda _, line: line.department, 12),
    "department_name": Field(Sort.TEXT, lambda _, line: line.department_name, 30),
    "pool": Field(Sort.TEXT, lambda _, line: line.pool.code if line.pool else "", 16),
    "pool_name": Field(Sort.TEXT, lambda _, line: line.pool.name if line.pool else "", 24),
    "allocation_key": Field(Sort.TEXT, lambda _, line: line.pool.key if line.pool else "", 14),
    "share": Field(Sort.TEXT, lambda _, line: line.pool.weight if line.pool else "", 8),
    "award": Field(Sort.TEXT, lambda _, line: line.award, 14),
    "supplier": Field(Sort.TEXT, lambda _, line: line.supplier, 24),
    "item": Field(Sort.TEXT, lambda _, line: line.item, 18),
    "item_name": Field(Sort.TEXT, lambda _, line: line.name, 36),
    "what": Field(Sort.TEXT, lambda _, line: line.what, 12),
    "month": Field(Sort.TEXT, lambda document, line: line.month or document.month, 9),
    "tariff": Field(Sort.DATE, lambda _, line: date.fromisoformat(line.tariff), 11),
    "metered": Field(Sort.NUMBER, lambda _, line: line.quantity, 16),
    "unit": Field(Sort.TEXT, lambda _, line: line.unit, 12),
    "quantity": Field(Sort.NUMBER, lambda _, line: line.quote.quantity, 16),
    "unit_code": Field(Sort.TEXT, lambda _, line: line.unit_code, 9),
    "unit_price": Field(Sort.NUMBER, lambda _, line: line.quote.price, 14),
    "per": Field(Sort.NUMBER, lambda _, line: line.quote.base, 8),
    "amount": Field(Sort.AMOUNT, lambda _, line: line.net, 16),
    "set_off": Field(Sort.AMOUNT, lambda _, line: line.set_off, 12),
    "accounting_cost": Field(Sort.TEXT, lambda _, line: line.accounting_cost, 18),
}


def row(document: Document, line: DocumentLine) -> list[Value]:
    """Return a line's values, in the order of `FIELDS`."""
    return [each.of(document, line) for each in FIELDS.values()]
