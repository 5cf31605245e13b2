"""Charge models: how a quantity becomes an amount.

Law: a model is a pure function price(cumulative quantity) with price(0) = 0; a charge is price(after) − price(before),
so the charges of any sequence of events add up to the price of their sum. A new model is one file here with a frozen
dataclass that has `kind`, `read`, `amount`, `steps` and `brief`, and one line in `MODELS`. What every model leaves open
is written down in docs/tariffs.md.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Protocol, Self, runtime_checkable

from services.contract.money import subtract
from services.contract.reading import Section


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the reckoning: `quantity` x `price` = `amount`.

    `what` says which part of the tariff that is, `per` what the price is for: a unit, package or whole tier, or a fee.
    `listed` is the price before a percentage of the list and indexation, where there are any.
    """

    what: str
    quantity: Decimal
    price: Decimal
    amount: Decimal
    per: str = "unit"
    listed: Decimal | None = None


class Priced(Protocol):
    """What has a price that depends on a cumulative quantity."""

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the price of a cumulative quantity, exact; nothing costs nothing."""

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return the reckoning of `amount`, line by line; the lines add up to it."""


class ChargeModel(Priced, Protocol):
    """What every charge model can do."""

    kind: ClassVar[str]

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read the model's part of a price, noting problems in the section; None where there is nothing to read."""

    def brief(self) -> str:
        """Return the prices in one line, for a price list."""


@runtime_checkable
class Monthly(Protocol):
    """A charge model whose prices depend on the month."""

    def in_month(self, month: str) -> ChargeModel:
        """Return the model as it is in a month like 2016-02."""


def charge(priced: Priced, before: Decimal, after: Decimal) -> Decimal:
    """Return what moving a meter from `before` to `after` costs."""
    return subtract(priced.amount(after), priced.amount(before))
