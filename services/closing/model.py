"""What stands on the checklist of a month.

Law: a list is clean where no item holds the close. What is refused can't be overridden, what holds can, and what is
noted needs no one: it is parked, and said.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Weight(StrEnum):
    """What an item means for the close."""

    REFUSED = "refused"
    HOLDS = "holds"
    NOTED = "noted"


class Check(StrEnum):
    """What is asked; the value is what it is called."""

    REFUSAL = "refusal"
    GRACE = "grace"
    PROVIDER_SILENT = "provider silent"
    REJECTIONS = "rejections"
    ANOMALY = "anomaly"
    AUDIT = "audit"
    PROVIDER_TOTALS = "provider's totals"
    DOCUMENT = "document"


class Item(NamedTuple):
    """One thing that isn't as it should be: what it is about, what was found, and what would be right."""

    check: Check
    about: str
    found: str
    wanted: str
    weight: Weight = Weight.HOLDS

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.check}: {self.about}: found {self.found}; wanted {self.wanted}"


def holding(items: Iterable[Item]) -> list[Item]:
    """Return what keeps a month from being closed without an override."""
    return [each for each in items if each.weight is Weight.HOLDS]


def refused(items: Iterable[Item]) -> list[Item]:
    """Return what keeps a month from being closed at all."""
    return [each for each in items if each.weight is Weight.REFUSED]


def is_clean(items: Iterable[Item]) -> bool:
    """Tell whether a month may be closed as it is."""
    return all(each.weight is Weight.NOTED for each in items)
