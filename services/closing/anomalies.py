"""Months that are far from the month before.

Law: something is told where an amount is more than `TIMES` the other of the two, and they differ by at least
`PART_OF_ALL` of what is due in all; so neither a steady month nor a small sum ever is.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from services.contract.money import ZERO, multiply, subtract, total

TIMES = Decimal(3)
PART_OF_ALL = Decimal("0.01")


class Far(NamedTuple):
    """What came to something far from what it came to before."""

    code: str
    before: Decimal
    now: Decimal


def far_off(before: Mapping[str, Decimal], now: Mapping[str, Decimal]) -> list[Far]:
    """Return what is far from the month before, in the order of the codes; nothing where there is no month before."""
    if not before:
        return []
    least = multiply(max(total(map(abs, before.values())), total(map(abs, now.values()))), PART_OF_ALL)
    found = (Far(code, before.get(code, ZERO), now.get(code, ZERO)) for code in sorted(before.keys() | now.keys()))
    return [each for each in found if _is_far(each, least)]


def _is_far(each: Far, least: Decimal) -> bool:
    low, high = sorted((abs(each.before), abs(each.now)))
    turned = each.before * each.now < 0
    differ = abs(subtract(each.now, each.before))
    return differ > 0 and differ >= least and (turned or high > multiply(low, TIMES))
