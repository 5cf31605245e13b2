"""Stairstep: one price for the whole of a tier, however much of it is used."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from services.contract.money import ONE, total
from services.contract.reading import Section
from services.contract.tariff import Step
from services.contract.tariff.tiers import Tier, brief, reached, read_tiers, tier_name


@dataclass(frozen=True, slots=True)
class Stairstep:
    """Tiers in rising order, the last one open; a tier's `price` is for all of it."""

    kind: ClassVar[str] = "stairstep"
    tiers: tuple[Tier, ...]

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `tiers`, each with `price`."""
        tiers = read_tiers(section, fees=False)
        return cls(tiers) if tiers else None

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the price of the tier that the quantity lies in; nothing for zero and below."""
        return total(step.amount for step in self.steps(quantity))

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return the one step there is, or none."""
        if quantity <= 0:
            return []
        *_, (lower, tier) = reached(self.tiers, quantity)
        return [Step(tier_name(lower, tier), ONE, tier.price, tier.price, per="tier")]

    def brief(self) -> str:
        """Return the tiers in one line."""
        return f"in all {brief(self.tiers)}"
