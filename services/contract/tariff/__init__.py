"""Charge models: how a quantity becomes an amount.

Law: a model is a pure function price(cumulative quantity); a charge is price(after) − price(before), so
the charges of any sequence of events add up to the price of their sum. A new model is one file here with
a frozen dataclass that has `kind`, `read`, `amount` and `steps`, and one line in `MODELS`.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Protocol, Self

from services.contract.money import subtract
from services.contract.reading import Section


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the reckoning: `quantity` x `price` = `amount`, and what part of the tariff that is."""

    what: str
    quantity: Decimal
    price: Decimal
    amount: Decimal


class ChargeModel(Protocol):
    """What every charge model can do."""

    kind: ClassVar[str]

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read the model's part of a price, noting problems in the section; None where there is nothing to read."""

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the price of a cumulative quantity, exact; a negative quantity has a negative price."""

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return the reckoning of `amount`, line by line; the lines add up to it."""


def charge(model: ChargeModel, before: Decimal, after: Decimal) -> Decimal:
    """Return what moving a meter from `before` to `after` costs."""
    return subtract(model.amount(after), model.amount(before))
