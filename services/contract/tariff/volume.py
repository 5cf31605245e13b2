"""Volume tiers: the whole quantity at the price of the tier that it lies in, and that tier's fee where it has one."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from services.contract.money import multiply, total
from services.contract.reading import Section
from services.contract.tariff import Step
from services.contract.tariff.tiers import Tier, brief, fee_step, reached, read_tiers, tier_name


@dataclass(frozen=True, slots=True)
class Volume:
    """Tiers in rising order, the last one open."""

    kind: ClassVar[str] = "volume"
    tiers: tuple[Tier, ...]

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `tiers`, each with `price` and maybe `fee`."""
        tiers = read_tiers(section, fees=True)
        return cls(tiers) if tiers else None

    def amount(self, quantity: Decimal) -> Decimal:
        """Return quantity x the price of its tier, and the tier's fee."""
        return total(step.amount for step in self.steps(quantity))

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return one step, and one for the fee."""
        *_, (lower, tier) = reached(self.tiers, quantity)
        steps = [Step(f"all, {tier_name(lower, tier)}", quantity, tier.price, multiply(quantity, tier.price))]
        return [*steps, fee_step(lower, tier)] if tier.fee and quantity > 0 else steps

    def brief(self) -> str:
        """Return the tiers in one line."""
        return f"all at {brief(self.tiers)}"
