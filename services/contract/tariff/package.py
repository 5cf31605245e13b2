"""Package: so many units for a price; a package that is started counts."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from services.contract.money import multiply, plain, started
from services.contract.reading import Section
from services.contract.tariff import Step


@dataclass(frozen=True, slots=True)
class Package:
    """`price` for each started package of `size` units."""

    kind: ClassVar[str] = "package"
    size: Decimal
    price: Decimal

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `size`, above zero, and `price`."""
        size, price = section.quantity("size"), section.price("price")
        if size == 0:
            section.problem("size", "0", "a quantity above 0")
        return cls(size, price) if size and price is not None else None

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the number of started packages x price; below zero, whole packages taken back count."""
        return multiply(started(quantity, self.size), self.price)

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return the one step there is."""
        what = f"started packages of {plain(self.size)}"
        return [Step(what, started(quantity, self.size), self.price, self.amount(quantity), per="package")]

    def brief(self) -> str:
        """Return size and price in one line."""
        return f"{plain(self.price)} for each started {plain(self.size)}"
