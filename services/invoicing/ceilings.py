"""Ceilings: how much may be spent, how much is, and which thresholds that reaches.

Law: what is spent at a level is the sum of the postings below it, less the credits that count there; a threshold is
reached when spent is at or above that per cent of the ceiling, and is announced once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from services.contract.model import Contract
from services.contract.money import ZERO, add, multiply, quotient, round_half_up, subtract
from services.invoicing.settle import PostingKey


class Level(StrEnum):
    """What a ceiling is set for."""

    CONTRACT = "contract"
    LOT = "lot"
    AWARD = "award"
    INSTITUTION = "institution"


class CeilingKey(NamedTuple):
    """A level and the code there: (lot, 2)."""

    level: Level
    code: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A ceiling and what is spent of it, in the contract's currency; `ceiling` is None where none was agreed."""

    key: CeilingKey
    ceiling: Decimal | None
    spent: Decimal

    @property
    def left(self) -> Decimal | None:
        """What may still be spent; below zero once the ceiling is passed."""
        return None if self.ceiling is None else subtract(self.ceiling, self.spent)

    @property
    def per_cent(self) -> Decimal | None:
        """Spent in per cent of the ceiling, to two decimals for display; None without a ceiling or with one of zero."""
        if not self.ceiling:
            return None
        return round_half_up(quotient(multiply(self.spent, Decimal(100)), self.ceiling), 2)


def ceilings(contract: Contract) -> dict[CeilingKey, Decimal]:
    """Return every ceiling that was agreed."""
    found = {CeilingKey(Level.CONTRACT, contract.code): contract.ceiling}
    found |= {CeilingKey(Level.LOT, lot.code): lot.ceiling for lot in contract.lots.values()}
    found |= {CeilingKey(Level.AWARD, each.code): each.ceiling for each in contract.awards.values() if each.ceiling}
    found |= {CeilingKey(Level.INSTITUTION, e.code): e.budget for e in contract.institutions.values() if e.budget}
    return found


def levels_of(contract: Contract, institution: str, award: str) -> list[CeilingKey]:
    """Return the levels that an institution's spending under an award counts at."""
    return [
        CeilingKey(Level.CONTRACT, contract.code),
        CeilingKey(Level.LOT, contract.awards[award].lot),
        CeilingKey(Level.AWARD, award),
        CeilingKey(Level.INSTITUTION, institution),
    ]


def spending(contract: Contract, amounts: Iterable[tuple[PostingKey, Decimal]]) -> dict[CeilingKey, Decimal]:
    """Add postings up at each level, in the order in which the levels' rows are locked."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for key, amount in amounts:
        sums[key.institution, key.award] = add(sums[key.institution, key.award], amount)
    spent: dict[CeilingKey, Decimal] = defaultdict(lambda: ZERO)
    for (institution, award), amount in sums.items():
        for level in levels_of(contract, institution, award):
            spent[level] = add(spent[level], amount)
    return dict(sorted(spent.items()))


def relieved(
    contract: Contract, amounts: Iterable[tuple[PostingKey, Decimal]], *, supplier: bool
) -> dict[CeilingKey, Decimal]:
    """Add credits up at each level that they count at: budgets, and the others where it is the supplier that gets less.

    What is spent of the contract, a lot or an award is what suppliers are owed; of a budget, what the institution owes.
    """
    moved = spending(contract, amounts)
    return {key: amount for key, amount in moved.items() if supplier or key.level is Level.INSTITUTION}


def standings(contract: Contract, spent: Mapping[CeilingKey, Decimal]) -> list[Standing]:
    """Return every ceiling and every level where something is spent: contract, lots, awards, institutions."""
    agreed = ceilings(contract)
    order = list(Level)
    with_spending = {key for key, amount in spent.items() if amount}
    keys = sorted(set(agreed) | with_spending, key=lambda key: (order.index(key.level), key.code))
    return [Standing(key, agreed.get(key), spent.get(key, ZERO)) for key in keys]


def reached(thresholds: Iterable[int], ceiling: Decimal, spent: Decimal) -> list[int]:
    """Return the thresholds, in per cent, that are reached."""
    return [each for each in thresholds if multiply(spent, Decimal(100)) >= multiply(ceiling, Decimal(each))]
