"""A line's quantity and unit price, from what it came to.

Law: no price is negative, and it is what was paid for a unit: the tariff's own where one price held, the average where
tiers or shares did. Quantity x price / base is the line's net amount within 0.01 (Peppol tolerates 0.02, whatever the
currency); at a tariff's own price it is the amount before that was rounded to what can be paid.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from services.contract.money import (
    HUNDRED,
    ONE,
    PRICE_DIGITS,
    ZERO,
    decimals,
    multiply,
    quotient,
    round_half_up,
    subtract,
)

TOLERANCE = Decimal("0.01")
_DIGITS_MIN = 6
_DIGITS_BEYOND = 4
"""So many more decimals than the power of ten of the quantity bring the product within 0.001."""


@dataclass(frozen=True, slots=True)
class Quote:
    """`quantity` at `price` for `base` units; `is_lump` where no unit was sold at a price, so one piece is invoiced.

    `listed` is what the same would have come to by the supplier's list, where the price is a part of that.
    """

    quantity: Decimal
    price: Decimal
    base: Decimal
    is_lump: bool = False
    listed: Decimal | None = None

    @property
    def discount(self) -> Decimal:
        """What the price is below the list (BT-147)."""
        return ZERO if self.listed is None else subtract(self.listed, self.price)

    def at(self, percent_of_list: Decimal) -> "Quote":
        """Return the same where the price is so many per cent of the list; more than 100 is no discount."""
        if self.is_lump or not self.price or percent_of_list >= HUNDRED:
            return self
        digits = max(_DIGITS_MIN, decimals(self.price))
        listed = round_half_up(quotient(multiply(self.price, HUNDRED), percent_of_list), digits)
        return replace(self, listed=listed)


def quote(quantity: Decimal, exact: Decimal, net: Decimal) -> Quote:
    """Return how a line is priced: of its quantity, the unrounded amount and the amount due, rounded from that."""
    if exact and (not quantity or (quantity < 0) != (exact < 0)):
        return Quote(ONE.copy_sign(exact), abs(net), ONE, is_lump=True)
    price = _unit_price(quantity, exact) if quantity else ZERO
    if multiply(quantity, price) == exact or abs(subtract(multiply(quantity, price), net)) <= TOLERANCE:
        return Quote(quantity, price, ONE)
    return Quote(quantity, net.copy_abs(), quantity.copy_abs())


def _unit_price(quantity: Decimal, exact: Decimal) -> Decimal:
    ratio = quotient(exact, quantity)
    price = round_half_up(ratio, PRICE_DIGITS)
    if multiply(price, quantity) == exact:
        return price
    return round_half_up(ratio, max(_DIGITS_MIN, quantity.adjusted() + _DIGITS_BEYOND))
