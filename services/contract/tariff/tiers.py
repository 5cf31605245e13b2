"""Tiers: what graduated, volume and stairstep prices have in common.

A tier holds (previous bound, its bound]: the unit that reaches a bound is still in the lower tier, and no fraction
falls between two. The last tier is open. A quantity below zero, which only usage taken back brings about, is in the
first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from services.contract.money import ONE, ZERO, plain
from services.contract.reading import Section
from services.contract.tariff import Step


@dataclass(frozen=True, slots=True)
class Tier:
    """Quantities up to and including `up_to`; the last tier is open (None). `fee` is due once on entering it."""

    up_to: Decimal | None
    price: Decimal
    fee: Decimal = ZERO


def read_tiers(section: Section, *, fees: bool) -> tuple[Tier, ...]:
    """Read `tiers`: every bound above the one before it, only the last tier open; mistakes are noted."""
    sections = section.tables("tiers", at_least=1)
    tiers = [_read_tier(each, is_last=each is sections[-1], fees=fees) for each in sections]
    bounds = [(place, tier.up_to) for place, tier in zip(sections, tiers, strict=True) if tier.up_to is not None]
    for (_, lower), (place, upper) in pairwise(bounds):
        if upper <= lower:
            place.problem("up_to", f"{plain(upper)}, not above the bound before it", f"a bound above {plain(lower)}")
    return tuple(tiers)


def reached(tiers: Sequence[Tier], quantity: Decimal) -> Iterator[tuple[Decimal, Tier]]:
    """Yield the tiers that a quantity reaches, each with its lower bound; the last of them is the one it lies in."""
    lower = ZERO
    for tier in tiers:
        yield lower, tier
        if tier.up_to is None or quantity <= tier.up_to:
            return
        lower = tier.up_to


def tier_name(lower: Decimal, tier: Tier) -> str:
    """Say which quantities a tier holds."""
    if tier.up_to is None:
        return f"above {plain(lower)}" if lower else "every unit"
    return f"above {plain(lower)} up to {plain(tier.up_to)}" if lower else f"up to {plain(tier.up_to)}"


def fee_step(lower: Decimal, tier: Tier) -> Step:
    """Return the line for entering a tier."""
    return Step(f"fee, {tier_name(lower, tier)}", ONE, tier.fee, tier.fee, per="fee")


def brief(tiers: Sequence[Tier]) -> str:
    """Return tiers in one line: 0.09 up to 1000, then 0.07 and a fee of 5."""
    return ", then ".join(
        plain(tier.price)
        + (f" and a fee of {plain(tier.fee)}" if tier.fee else "")
        + (f" up to {plain(tier.up_to)}" if tier.up_to is not None else "")
        for tier in tiers
    )


def _read_tier(section: Section, *, is_last: bool, fees: bool) -> Tier:
    """Read a tier; what can't be read is noted, and stands at zero."""
    price = section.price("price")
    fee = section.price("fee", required=False) if fees else None
    up_to = section.quantity("up_to", required=False)
    section.done()
    if not is_last and "up_to" not in section.table:
        section.problem("up_to", "nothing", "a bound: only the last tier is open")
    if up_to is not None and is_last:
        section.problem("up_to", f"{plain(up_to)}: usage above it has no price", "no up_to: the last tier is open")
    elif up_to is not None and up_to <= 0:
        section.problem("up_to", plain(up_to), "a bound above 0")
    return Tier(up_to, price or ZERO, fee or ZERO)
