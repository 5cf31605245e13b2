"""Graduated tiers: each part of the quantity at its own tier's price, and a fee on entering a tier that has one."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from services.contract.money import ZERO, add, multiply, subtract, total
from services.contract.reading import Section
from services.contract.tariff import Step
from services.contract.tariff.tiers import Tier, brief, fee_step, reached, read_tiers, tier_name


@dataclass(frozen=True, slots=True)
class Graduated:
    """Tiers in rising order, the last one open."""

    kind: ClassVar[str] = "graduated"
    tiers: tuple[Tier, ...]

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `tiers`, each with `price` and maybe `fee`."""
        tiers = read_tiers(section, fees=True)
        return cls(tiers) if tiers else None

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the sum over the tiers of the part in each at its price, and of the fees of those entered."""
        return total(amount for *_, amount in self._parts(quantity))

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return a step for each tier that the quantity reaches, and one for each fee."""
        steps = []
        for lower, tier, part, amount in self._parts(quantity):
            cost = multiply(part, tier.price)
            steps.append(Step(tier_name(lower, tier), part, tier.price, cost))
            if amount != cost:
                steps.append(fee_step(lower, tier))
        return steps

    def brief(self) -> str:
        """Return the tiers in one line."""
        return brief(self.tiers)

    def _parts(self, quantity: Decimal) -> Iterator[tuple[Decimal, Tier, Decimal, Decimal]]:
        """Yield each tier reached with its lower bound, the part of the quantity in it, and what that costs."""
        for lower, tier in reached(self.tiers, quantity):
            part = subtract(quantity if tier.up_to is None else min(quantity, tier.up_to), lower)
            fee = tier.fee if quantity > lower else ZERO
            yield lower, tier, part, add(multiply(part, tier.price), fee)
