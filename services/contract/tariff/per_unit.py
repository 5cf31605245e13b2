"""Per unit: every unit at one price."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from services.contract.money import multiply, plain
from services.contract.reading import Section
from services.contract.tariff import Step


@dataclass(frozen=True, slots=True)
class PerUnit:
    """`price` for each unit, in the contract's currency."""

    kind: ClassVar[str] = "per_unit"
    price: Decimal

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `price`."""
        price = section.price("price")
        return None if price is None else cls(price)

    def amount(self, quantity: Decimal) -> Decimal:
        """Return quantity x price."""
        return multiply(quantity, self.price)

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return the one step there is."""
        return [Step("every unit", quantity, self.price, self.amount(quantity))]

    def brief(self) -> str:
        """Return the price."""
        return plain(self.price)
