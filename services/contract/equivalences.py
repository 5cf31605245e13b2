"""Equivalences: of which parts one unit of an item can be made up, where an offer does not have it.

Law: whatever way is gone from an item to its parts and theirs, no more and no less of the item comes back.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import prod

from services.contract.model import Contract
from services.contract.problems import Problem

CLOSE_ENOUGH = Fraction(1, 10**9)
"""By how much two opposite quantities, like 3 and 0.333333333333333, may miss 1 when they are multiplied."""


def circles(contract: Contract) -> Iterator[Problem]:
    """Yield the first circle of items that are made up of each other, unless it comes to the item itself."""
    leads = {item: set(parts) for item, parts in contract.equivalences.items()}
    while leads := _leading_on(leads):
        circle = _circle(leads)
        if not _comes_back(circle, contract.equivalences):
            yield Problem(
                f"equivalences[{circle[0]}].parts",
                f"a circle: {', '.join(circle)}",
                "parts that are not made up of the item again, unless of as much: 2 of one, and 0.5 of the other",
            )
            return
        leads = {item: parts for item, parts in leads.items() if item not in circle}


def _leading_on(leads: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the items from which one gets to a circle, each with its parts of that kind."""
    left = {item: parts & leads.keys() for item, parts in leads.items()}
    while len(kept := {item: parts & left.keys() for item, parts in left.items() if parts & left.keys()}) < len(left):
        left = kept
    return kept


def _circle(leads: Mapping[str, set[str]]) -> list[str]:
    walked = [min(leads)]
    while (following := min(leads[walked[-1]])) not in walked:
        walked.append(following)
    circle = walked[walked.index(following) :]
    first = circle.index(min(circle))
    return circle[first:] + circle[:first]


def _comes_back(circle: list[str], parts: Mapping[str, Mapping[str, Decimal]]) -> bool:
    """Tell whether a unit of an item that is made up of one part each, all the way round, is one unit again."""
    if len(circle) == 1 or any(len(parts[item]) > 1 for item in circle):
        return False
    quantities = [Fraction(quantity) for item in circle for quantity in parts[item].values()]
    unit = prod(quantities, start=Fraction(1))
    return abs(unit - 1) <= CLOSE_ENOUGH
