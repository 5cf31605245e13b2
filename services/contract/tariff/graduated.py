"""Graduated tiers: each part of the quantity at its own tier's price.

A tier holds (previous bound, its bound]: the unit that reaches a bound is still in the lower tier. A
negative quantity, which only corrections bring about, is priced at the first tier.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
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
        tiers = [_read_tier(each, is_last=each is sections[-1]) for each in sections]
        bounds = [(place, tier.up_to) for place, tier in zip(sections, tiers, strict=True) if tier.up_to is not None]
        for (_, lower), (place, upper) in pairwise(bounds):
            if upper <= lower:
                place.problem(
                    "up_to", f"{plain(upper)}, not above the bound before it", f"a bound above {plain(lower)}"
                )
        return cls(tuple(tiers)) if tiers else None

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


def _read_tier(section: Section, *, is_last: bool) -> Tier:
    """Read a tier; what can't be read is noted, and its price stands at zero."""
    price = section.price("price")
    up_to = section.quantity("up_to", required=not is_last)
    section.done()
    if up_to is not None and is_last:
        section.problem("up_to", f"{plain(up_to)}: usage above it has no price", "no up_to: the last tier is open")
    elif up_to is not None and up_to <= 0:
        section.problem("up_to", plain(up_to), "a bound above 0")
    return Tier(up_to, ZERO if price is None else price)


def _name(lower: Decimal, up_to: Decimal | None) -> str:
    if up_to is None:
        return f"above {plain(lower)}" if lower else "every unit"
    return f"above {plain(lower)} up to {plain(up_to)}" if lower else f"up to {plain(up_to)}"
