"""An invoice or credit note as a document: who, what, how much, in the form that every file of it is made from.

Law: totals follow EN 16931's own arithmetic. The net is the exact sum of the lines' amounts, which were rounded once
each; VAT is reckoned from the net and rounded once, to two decimals or those of a currency that has more; what is to
be paid is their sum, rounded to the decimals that the currency has. On a credit note all signs are turned, so that
what is owed back is positive.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from zoneinfo import ZoneInfo

from services.contract.currencies import CURRENCY_DIGITS
from services.contract.money import HUNDREDTH, ONE, ZERO, add, decimals, multiply, round_half_up, subtract, total
from services.contract.parties import Buyer, Coordinator, Tax
from services.documents.quote import TOLERANCE, Quote

PRO_FORMA = "pro forma"
"""What a document is called that was not issued."""
E_INVOICE_DIGITS = 2
"""The decimals that EN 16931 allows an amount."""


def has_e_invoices(currency: str) -> bool:
    """Tell whether amounts of a currency can stand on an e-invoice: a dinar of 1000 fils has too many decimals."""
    return CURRENCY_DIGITS[currency] <= E_INVOICE_DIGITS


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


@dataclass(frozen=True, slots=True)
class Month:
    """What an institution was invoiced of a month, less what was credited, without VAT; zero where nothing was."""

    month: str
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
    `publisher` is who runs the cloud; `origin` is what all members of a pool's line are charged, as in the books.
    `set_off` is what the line was raised by, since a credit note gave it back already.
    """

    number: int
    item: str
    name: str
    what: str
    award: str
    supplier: str
    publisher: str
    department: str
    department_name: str
    pool: PoolShare | None
    origin: Decimal | None
    month: str
    tariff: str
    quantity: Decimal
    unit: str
    unit_code: str
    quote: Quote
    exact: Decimal
    net: Decimal
    accounting_cost: str
    set_off: Decimal = ZERO

    @property
    def rounding(self) -> Decimal:
        """What its quantity at its price is rounded by to what is due; nothing where the rules pass that over."""
        if self.quote.base != ONE:  # it is priced by its amount
            return ZERO
        rounding = subtract(self.net, multiply(self.quote.quantity, self.quote.price))
        return round_half_up(rounding, E_INVOICE_DIGITS) if abs(rounding) > TOLERANCE else ZERO


@dataclass(frozen=True, slots=True)
class Totals:
    """The sum of the lines, the VAT on it, their sum, and what that is rounded by to what can be paid."""

    net: Decimal
    tax: Decimal
    gross: Decimal
    rounding: Decimal
    payable: Decimal


@dataclass(frozen=True)
class Document:
    """A document of an institution's month, whose last day is `period_ends`; a credit note is never `due`.

    One without a number is pro forma: what would be issued if the month were closed now.

    `preceding` are the invoices of the months that it adjusts, `last` is that of the month before; `months` are what
    was invoiced on it and on those before, less what was credited by then. What corrects another document has that
    among `preceding`, and a `reason`; it `replaces` the other where it has its lines again, and else takes lines of it
    back while so much of its net is `left`.
    """

    number: str
    kind: DocumentKind
    contract: str
    contract_name: str
    institution: str
    month: str
    zone: ZoneInfo
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
    months: tuple[Month, ...]
    spent: tuple[Spent, ...]
    lines: tuple[DocumentLine, ...]
    reason: str = ""
    replaces: bool = False
    left: Decimal | None = None

    @property
    def called(self) -> str:
        """What it is called: without a number it is not issued, and says so."""
        return self.kind.value if self.number else PRO_FORMA

    @property
    def has_e_invoice(self) -> bool:
        """Whether there is an e-invoice of it: it was issued, in a currency that has e-invoices."""
        return bool(self.number) and has_e_invoices(self.currency)

    @property
    def digits(self) -> int:
        """How many decimals what is due has (ISO 4217)."""
        return CURRENCY_DIGITS[self.currency]

    def written(self, amount: Decimal) -> str:
        """Write an amount with the currency's decimals; one of VAT may have more."""
        return f"{amount:z.{max(self.digits, decimals(amount))}f}"

    @cached_property
    def totals(self) -> Totals:
        """What the lines come to."""
        return totals(self.lines, self.tax, self.digits, self.left)


def totals(lines: tuple[DocumentLine, ...], tax: Tax, digits: int, left: Decimal | None = None) -> Totals:
    """Return the totals of lines that are all taxed alike, in a currency of so many decimals.

    Where they are taken from what is `left` of another document, their VAT is by how much its VAT shrinks: taken back
    in parts, it comes to what it was, to the cent.
    """
    net = total(line.net for line in lines)
    before = net if left is None else left
    due = subtract(vat_on(before, tax, digits), vat_on(subtract(before, net), tax, digits))
    gross = add(net, due)
    payable = round_half_up(gross, digits)
    return Totals(net, due, gross, subtract(payable, gross), payable)


def vat_on(net: Decimal, tax: Tax, digits: int) -> Decimal:
    """Return the VAT on an amount in a currency of so many decimals, rounded once."""
    return round_half_up(multiply(net, multiply(tax.percent, HUNDREDTH)), max(E_INVOICE_DIGITS, digits))
