"""Graduated tiers: each part of the quantity at its own tier's price.

A tier holds (previous bound, its bound]: the unit that reaches a bound is still in the lower tier. A
negative quantity, which only corrections bring about, is priced at the first tier.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from services.contract.money import ZERO, multiply, plain, subtract, total
from services.contract.reading import Section
from services.contract.tariff import Step


@dataclass(frozen=True, slots=True)
class Tier:
    """Units up to and including `up_to` cost `price` each; the last tier is open (`up_to` is None)."""

    up_to: Decimal | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class Graduated:
    """Tiers in rising order, the last one open."""

    kind: ClassVar[str] = "graduated"
    tiers: tuple[Tier, ...]

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `tiers`; every bound above the one before it, only the last tier open."""
        sections = section.tables("tiers", at_least=1)
        tiers = [tier for each in sections if (tier := _read_tier(each, is_last=each is sections[-1]))]
        if len(tiers) < len(sections) or not sections:
            return None
        for lower, upper, place in zip(tiers, tiers[1:], sections[1:], strict=False):
            if lower.up_to is not None and upper.up_to is not None and upper.up_to <= lower.up_to:
                place.problem(
                    "up_to", f"{plain(upper.up_to)}, at or below the bound before it", f"more than {plain(lower.up_to)}"
                )
                return None
        return cls(tuple(tiers))

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the sum over the tiers of the part in each, at its price."""
        return total(multiply(part, tier.price) for tier, _, part in self._parts(quantity))

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return a step for each tier that the quantity reaches."""
        return [
            Step(_name(lower, tier.up_to), part, tier.price, multiply(part, tier.price))
            for tier, lower, part in self._parts(quantity)
        ]

    def _parts(self, quantity: Decimal) -> Iterator[tuple[Tier, Decimal, Decimal]]:
        """Yield each reached tier with its lower bound and the part of the quantity in it."""
        lower = ZERO
        for tier in self.tiers:
            if tier.up_to is None or quantity <= tier.up_to:
                yield tier, lower, subtract(quantity, lower)
                return
            yield tier, lower, subtract(tier.up_to, lower)
            lower = tier.up_to


def _read_tier(section: Section, *, is_last: bool) -> Tier | None:
    price = section.price("price")
    up_to = section.quantity("up_to", required=not is_last)
    if is_last and up_to is not None:
        section.problem("up_to", f"{plain(up_to)}: usage above it has no price", "no up_to: the last tier is open")
        return None
    if up_to is not None and up_to <= 0:
        section.problem("up_to", plain(up_to), "a bound above 0")
        return None
    section.done()
    if price is None or (up_to is None and not is_last):
        return None
    return Tier(up_to, price)


def _name(lower: Decimal, up_to: Decimal | None) -> str:
    if up_to is None:
        return f"above {plain(lower)}" if lower else "every unit"
    return f"above {plain(lower)} up to {plain(up_to)}" if lower else f"up to {plain(up_to)}"
