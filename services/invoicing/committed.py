"""What minimums and prepaid credit come to, month by month.

Law: it depends only on what is owed for usage and on the contract. Over a period, what was used and what was short come
to the minimum or more; over its life, what is drawn from a credit is never more than it, nor more than was owed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from services.contract.commitments import Minimum, Prepaid
from services.contract.model import Contract
from services.contract.money import ONE, ZERO, add, opposite, subtract, total
from services.contract.months import first_day, midnight, month_of
from services.contract.split import split
from services.invoicing.settle import PostingKey, Share

Owed = Mapping[tuple[str, str], Mapping[str, Decimal]]
"""What each institution owes, by month and award."""


def owed_by_institution(shares: Mapping[PostingKey, Decimal]) -> Owed:
    """Add up what is owed for usage."""
    owed: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO))
    for key, amount in shares.items():
        mine = owed[key.month, key.award]
        mine[key.institution] = add(mine[key.institution], amount)
    return owed


class Why(StrEnum):
    """Why something is due, or is paid."""

    SHORT = "short of the minimum"
    COST = "cost of the credit"
    DRAWN = "drawn from the credit"


@dataclass(frozen=True, slots=True)
class Promised:
    """What a minimum or a credit brings about in a month: `parts` by institution, below zero where credit pays.

    `basis` is what was used in a minimum's period, or is left of a credit before; `weights` are what the whole is
    shared by, where it is.
    """

    source: Minimum | Prepaid
    why: Why
    month: str
    basis: Decimal
    weights: Mapping[str, Decimal]
    parts: Mapping[str, Decimal]


def committed(contract: Contract, months: Sequence[str], owed: Owed) -> dict[PostingKey, Share]:
    """Return what is due in months that follow each other, besides usage; below zero where credit pays for that.

    Like a fee's, their quantity is money. A credit that costs what is drawn in its first month has a line of nothing,
    whose quantity is what was drawn. Periods and credits that began before the first month are left out: give all
    months since the contract's first.
    """
    made: dict[PostingKey, Decimal] = {}
    drawn: dict[PostingKey, Decimal] = {}
    for each in promised(contract, months, owed):
        for institution, part in each.parts.items():
            key = _line(contract, each, institution)
            made[key] = add(made.get(key, ZERO), part)
            if each.why is Why.DRAWN:
                drawn[key] = add(drawn.get(key, ZERO), part)
    return {key: Share(whole or drawn.get(key, ZERO), whole) for key, whole in made.items()}


def promised(contract: Contract, months: Sequence[str], owed: Owed) -> list[Promised]:
    """Return one by one what `committed` adds up."""
    made: list[Promised] = []
    left = {credit: credit.amount for credit in contract.prepaid if month_of(credit.starts) in months}
    for month in months:
        due = {award: dict(owed.get((month, award), {})) for award in contract.awards}
        for minimum in contract.minimums:
            made += _entered(due, _short(contract, minimum, month, months, owed))
        for credit in sorted(left, key=lambda each: (each.starts, each.ends)):
            if credit.covers(month):
                drawn = _drawn(credit, month, left[credit], due[credit.award])
                left[credit] = add(left[credit], total(drawn.parts.values()))
                made += _entered(due, drawn)
        for credit in left:
            if month_of(credit.starts) == month:
                weights = owed.get((month, credit.award), {})
                shared = _weights(contract, credit.payer, weights)
                parts = _parts(credit.cost, credit.payer, shared)
                made += _entered(due, Promised(credit, Why.COST, month, credit.amount, shared, parts))
    return made


def owes_without_usage(contract: Contract, month: str) -> bool:
    """Tell whether minimums or credits can make something due in a month in which nothing is used."""
    return any(each.months(month) for each in contract.minimums) or any(
        month_of(each.starts) == month for each in contract.prepaid
    )


def committed_lines(contract: Contract) -> frozenset[tuple[str, str]]:
    """Return the award and the item of all lines that `committed` makes."""
    minimums = {(each.award, each.item) for each in contract.minimums}
    return frozenset(minimums | {(each.award, each.item) for each in contract.prepaid})


def _line(contract: Contract, made: Promised, institution: str) -> PostingKey:
    """Return the line that something promised is on."""
    award, month = made.source.award, made.month
    tariff = contract.tariff_at(award, midnight(max(first_day(month), contract.starts), contract.zone))
    assert tariff is not None, "an award has a tariff from the contract's first day"
    return PostingKey(institution, "", "", award, made.source.item, month, tariff.valid_from.isoformat())


def _entered(due: dict[str, dict[str, Decimal]], made: Promised | None) -> list[Promised]:
    """Add to what is due what was promised, if there is any; parts of nothing are left out."""
    if made is None or not any(made.parts.values()):
        return []
    parts = {institution: part for institution, part in made.parts.items() if part}
    mine = due[made.source.award]
    for institution, part in parts.items():
        mine[institution] = add(mine.get(institution, ZERO), part)
    return [replace(made, parts=parts)]


def _short(contract: Contract, minimum: Minimum, month: str, months: Sequence[str], owed: Owed) -> Promised | None:
    """Return by how much a period that ends with a month is short, by who owes it."""
    period = minimum.months(month)
    if not period or period[0] not in months:
        return None
    used: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for each in period:
        for institution, amount in owed.get((each, minimum.award), {}).items():
            used[institution] = add(used[institution], amount)
    counted = used[minimum.payer] if minimum.payer else total(used.values())
    weights = _weights(contract, minimum.payer, used)
    parts = _parts(max(ZERO, subtract(minimum.amount, counted)), minimum.payer, weights)
    return Promised(minimum, Why.SHORT, month, counted, weights, parts)


def _drawn(credit: Prepaid, month: str, left: Decimal, due: Mapping[str, Decimal]) -> Promised:
    """Return what is drawn from a credit, by whose due it pays: all of it while there is enough."""
    mine = {name: amount for name, amount in due.items() if amount > 0 and credit.payer in {None, name}}
    whole = min(left, total(mine.values()))
    parts = {name: opposite(part) for name, part in split(whole, mine).items()} if whole else {}
    return Promised(credit, Why.DRAWN, month, left, mine, parts)


def _weights(contract: Contract, payer: str | None, used: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Return what a whole is shared by: all's use, or one each without any; nothing where one payer owes it."""
    if payer is not None:
        return {}
    return {name: amount for name, amount in used.items() if amount > 0} or dict.fromkeys(contract.institutions, ONE)


def _parts(whole: Decimal, payer: str | None, weights: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Return who owes how much of a whole: its payer, or all in proportion."""
    return {payer: whole} if payer is not None else split(whole, weights)
