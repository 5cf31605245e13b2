"""Reserved capacity: the first units of a month at a price of their own, due even if they are not used.

Law: what is used of it is charged like all usage; what is left of it at the close is due then, once, so that in the end
every unit that was reserved is due, and none twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from services.contract.money import ZERO, multiply, plain, subtract
from services.contract.problems import show
from services.contract.reading import Section
from services.contract.tariff import Step

EVERYONE = "*"
"""Who reserves, and whose meter it is, where all reach the tiers together."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """So many units a month at a price for each, in the price's currency."""

    quantity: Decimal
    price: Decimal

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `quantity` and `price`, noting mistakes."""
        quantity, price = section.quantity("quantity"), section.price("price")
        if quantity is not None and not quantity:
            section.problem("quantity", "0", "a quantity above 0")
        return None if quantity is None or price is None else cls(quantity, price)

    def used(self, quantity: Decimal) -> Decimal:
        """Return how much of a cumulative quantity is within what is reserved."""
        return max(ZERO, min(quantity, self.quantity))

    def unused(self, quantity: Decimal) -> Decimal:
        """Return what is due at the close for what a month's quantity leaves unused."""
        return multiply(subtract(self.quantity, self.used(quantity)), self.price)

    def step(self, quantity: Decimal) -> Step:
        """Return the line of the reckoning for what is used of it."""
        used = self.used(quantity)
        return Step(f"reserved, up to {plain(self.quantity)}", used, self.price, multiply(used, self.price))


def read_reserved(price: Section, *, together: bool) -> Mapping[str, Reserved]:
    """Read [[reserved]] of a price by who reserved it: its `payer`, or EVERYONE where all are metered `together`."""
    made: dict[str, Reserved] = {}
    for section in price.tables("reserved", label="payer"):
        payer = section.text("payer", required=not together, at_most=200)
        if together and payer is not None:
            section.problem("payer", show(payer), 'no such key: with scope = "contract" all reserve it together')
        elif payer == EVERYONE:
            section.problem("payer", show(payer), 'who reserved it by name, or scope = "contract"')
        reserved = Reserved.read(section)
        section.done()
        name = EVERYONE if together else payer or ""
        if name in made:
            section.problem("payer", f"{show(name)} again" if payer else "two of all together", "one for each meter")
        elif reserved is not None:
            made[name] = reserved
    return made
