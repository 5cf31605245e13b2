"""A supplier's invoice as it was read, what is expected of it, and what comparing them finds.

Law: a row's `parts` add up to invoiced − expected, to the last digit; so do those of the whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from services.contract.money import ZERO, add, subtract, total


class InvoiceError(Exception):
    """A supplier's file that can't be reconciled; the message names place, what was found and what would be right."""


class Category(StrEnum):
    """What a row comes to, the least serious first."""

    AGREES = "agrees"
    ROUNDING = "rounding"
    TOLERATED = "within tolerance"
    PRICE = "price differs"
    QUANTITY = "quantity differs"
    BOTH = "price and quantity differ"
    NOT_METERED = "not metered"
    UNKNOWN_ITEM = "unknown item"
    NOT_INVOICED = "metered, not invoiced"
    TWICE = "invoiced twice"
    ON_DOCUMENT = "discount or charge"


FINE = frozenset({Category.AGREES, Category.ROUNDING, Category.TOLERATED})
"""What needs nobody's attention."""


@dataclass(frozen=True, slots=True)
class SupplierLine:
    """A line as the supplier wrote it; signs are an invoice's, so a credit note's are turned.

    `codes` are the ids of its item, the seller's first; `whose` are texts that may name an institution or department.
    """

    place: str
    name: str
    net: Decimal
    codes: tuple[str, ...] = ()
    quantity: Decimal | None = None
    unit: str = ""
    month: str = ""
    award: str = ""
    whose: tuple[str, ...] = ()
    is_whole: bool = False
    """It is a discount or charge on the whole document."""


@dataclass(frozen=True, slots=True)
class SupplierDocument:
    """An invoice or a credit note of a supplier; what it does not say is empty.

    `sellers` and `buyers` are VAT ids, names and references that may tell who they are, `vat_ids` the VAT ids of the
    first; `references` name the contract or an order. `month` is that of its period, where it lies in one; `months` are
    those that its period reaches from and to, or its lines where it has none. `problems` is what does not add up in the
    document itself.
    """

    file: str
    number: str
    is_credit: bool
    currency: str
    lines: tuple[SupplierLine, ...]
    issued: date | None = None
    month: str = ""
    months: tuple[str, ...] = ()
    sellers: tuple[str, ...] = ()
    vat_ids: tuple[str, ...] = ()
    buyers: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def net(self) -> Decimal:
        """The sum of its lines, without VAT."""
        return total(line.net for line in self.lines)


class Whose(NamedTuple):
    """Who used: an institution and maybe its department (empty for none, None where it isn't known)."""

    institution: str
    department: str | None


@dataclass(frozen=True, slots=True)
class KnownItem:
    """An item of the contract."""

    code: str
    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class KnownAward:
    """An award, what its supplier may be named by, its legal name and its VAT id where they are known."""

    code: str
    lot: str
    supplier: str
    names: tuple[str, ...] = ()
    name: str = ""
    vat_id: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedLine:
    """What an award's supplier is expected to invoice: unrounded, and in its price's currency where that is another."""

    award: str
    item: str
    month: str
    tariff: str
    whose: Whose
    quantity: Decimal
    exact: Decimal
    currency: str = ""
    in_currency: Decimal = ZERO


Worth = Callable[[ExpectedLine, Fraction], Decimal | None]
"""What a quantity of a line's item costs in its month on a meter of its own; None where that can't be told."""


def _unknown(_line: ExpectedLine, _quantity: Fraction) -> None:
    """Answer for books without prices."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A month of awards as the buyer's books have it. `whose` says who a reference or a name stands for.

    `buyer` is who buys from the suppliers, by its legal name; it and `contract_name` are empty where they aren't known.
    """

    month: str
    contract: str
    currency: str
    items: Mapping[str, KnownItem]
    awards: Mapping[str, KnownAward]
    lines: tuple[ExpectedLine, ...]
    whose: Mapping[str, Whose] = field(default_factory=dict)
    worth: Worth = _unknown
    buyer: str = ""
    contract_name: str = ""


class ClaimKey(NamedTuple):
    """What a line claims money for. `item` is empty where the contract has none such; then `name` tells them apart."""

    award: str
    item: str
    name: str
    month: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A line that was identified; its quantity is in the item's own unit, None where it can't be compared.

    `document` is the number of its invoice; `is_earlier`, that it was reconciled before; `currency` is then that of its
    amount, where it may be another than that of what it is compared with.
    """

    key: ClaimKey
    whose: Whose | None
    net: Decimal
    quantity: Fraction | None
    document: str
    place: str
    notes: tuple[str, ...] = ()
    is_whole: bool = False
    is_earlier: bool = False
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may differ: at most the larger of so much and so many per cent of what is expected."""

    amount: Decimal = ZERO
    amount_percent: Decimal = ZERO
    quantity: Decimal = ZERO
    quantity_percent: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Row:
    """What is invoiced of an item beside what is expected; `earlier` is what earlier documents invoiced of that."""

    key: ClaimKey
    name: str
    unit: str
    institution: str
    department: str
    category: Category
    parts: Mapping[Category, Decimal]
    invoiced: Decimal
    expected: Decimal
    invoiced_quantity: Fraction | None
    expected_quantity: Fraction | None
    earlier: Decimal
    places: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def difference(self) -> Decimal:
        """By how much more is invoiced than expected."""
        return subtract(self.invoiced, self.expected)


class Parties(NamedTuple):
    """Who sells, who buys and under which contract, by their legal names; empty where they aren't known."""

    suppliers: tuple[str, ...]
    buyer: str
    contract: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What reconciling came to: a row for each item, and what is odd about the documents themselves."""

    month: str
    currency: str
    digits: int
    awards: tuple[str, ...]
    documents: tuple[SupplierDocument, ...]
    parties: Parties
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing needs anybody's attention."""
        return not self.problems and all(row.category in FINE for row in self.rows)

    @property
    def invoiced(self) -> Decimal:
        """What is invoiced in all, earlier documents of the month included."""
        return total(row.invoiced for row in self.rows)

    @property
    def expected(self) -> Decimal:
        """What is expected in all."""
        return total(row.expected for row in self.rows)

    @property
    def parts(self) -> dict[Category, Decimal]:
        """The difference by category; they add up to it."""
        sums: dict[Category, Decimal] = {}
        for row in self.rows:
            for category, amount in row.parts.items():
                sums[category] = add(sums.get(category, ZERO), amount)
        return {category: sums[category] for category in Category if category in sums}
