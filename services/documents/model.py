"""An invoice or credit note as a document: who, what, how much, in the form that every file of it is made from.

Law: totals follow EN 16931's own arithmetic. The net is the exact sum of the lines' amounts, which were rounded once
each; VAT is reckoned from the net and rounded once; what is to be paid is their sum. On a credit note all signs are
turned, so that what is owed back is positive.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

from services.contract.money import HUNDREDTH, add, multiply, round_half_up, total
from services.contract.parties import Buyer, Coordinator, Tax
from services.documents.quote import Quote

PRO_FORMA = "pro forma"
"""What a document is called that was not issued."""
NET_DIGITS_MAX = 2
"""The decimals that EN 16931 allows an amount."""


class DocumentKind(StrEnum):
    """What is issued; the value is what it is called."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit note"


@dataclass(frozen=True, slots=True)
class Preceding:
    """An earlier invoice of the institution; `total` is below zero of a credit note."""

    number: str
    issued: date
    total: Decimal


class LimitKind(StrEnum):
    """What must not be exceeded."""

    BUDGET = "budget"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Spent:
    """What was invoiced up to the document's month, of a limit: the institution's budget, or the contract's ceiling."""

    kind: LimitKind
    limit: Decimal
    spent: Decimal


@dataclass(frozen=True, slots=True)
class PoolShare:
    """The pool that a line is a share of, the key that was used, and the member's weight where it has a fixed one."""

    code: str
    name: str
    key: str
    weight: str


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """One line. `net` is due, rounded from `exact`; `quote` says how it is priced, `quantity` what was metered.

    `month` is that of the use, empty unless it differs from the document's; `tariff` is the first day of the prices.
    """

    number: int
    item: str
    name: str
    what: str
    award: str
    supplier: str
    department: str
    department_name: str
    pool: PoolShare | None
    month: str
    tariff: str
    quantity: Decimal
    unit: str
    unit_code: str
    quote: Quote
    exact: Decimal
    net: Decimal
    accounting_cost: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The sum of the lines, the VAT on it, and what is to be paid."""

    net: Decimal
    tax: Decimal
    payable: Decimal


@dataclass(frozen=True)
class Document:
    """A document of an institution's month, whose last day is `period_ends`; a credit note is never `due`.

    One without a number is pro forma: what would be issued if the month were closed now.

    `preceding` are the invoices of the months that it adjusts, `last` is that of the month before.
    """

    number: str
    kind: DocumentKind
    contract: str
    contract_name: str
    institution: str
    month: str
    period_starts: date
    period_ends: date
    issued: date
    due: date | None
    currency: str
    seller: Coordinator
    buyer: Buyer
    tax: Tax
    preceding: tuple[Preceding, ...]
    last: Preceding | None
    spent: tuple[Spent, ...]
    lines: tuple[DocumentLine, ...]

    @property
    def called(self) -> str:
        """What it is called: without a number it is not issued, and says so."""
        return self.kind.value if self.number else PRO_FORMA

    @cached_property
    def totals(self) -> Totals:
        """What the lines come to."""
        return totals(self.lines, self.tax)


def totals(lines: tuple[DocumentLine, ...], tax: Tax) -> Totals:
    """Return the totals of lines that are all taxed alike."""
    net = total(line.net for line in lines)
    due = round_half_up(multiply(net, multiply(tax.percent, HUNDREDTH)), NET_DIGITS_MAX)
    return Totals(net, due, add(net, due))
