"""What minimums and prepaid credit come to, month by month.

Law: it depends only on what is owed for usage and on the contract. Over a period, what was used and what was short come
to the minimum or more; over its life, what is drawn from a credit is never more than it, nor more than was owed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from services.contract.commitments import Minimum, Prepaid
from services.contract.model import Contract
from services.contract.money import ZERO, add, opposite, subtract, total
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


def committed(contract: Contract, months: Sequence[str], owed: Owed) -> dict[PostingKey, Share]:
    """Return what is due in months that follow each other, besides usage; below zero where credit pays for that.

    Periods and credits that began before the first month are left out: give all months since the contract's first.
    """
    made: dict[PostingKey, Share] = {}
    left = {credit: credit.amount for credit in contract.prepaid if month_of(credit.starts) in months}
    for month in months:
        due = {award: dict(owed.get((month, award), {})) for award in contract.awards}
        for minimum in contract.minimums:
            for institution, part in _short(contract, minimum, month, months, owed).items():
                _enter(contract, made, due, month, minimum, institution, part)
        for credit in sorted(left, key=lambda each: (each.starts, each.ends)):
            if credit.covers(month):
                drawn = _drawn(credit, left[credit], due[credit.award])
                left[credit] = subtract(left[credit], total(drawn.values()))
                for institution, part in drawn.items():
                    _enter(contract, made, due, month, credit, institution, opposite(part))
        for credit in left:
            if month_of(credit.starts) == month:
                weights = owed.get((month, credit.award), {})
                for institution, part in _parts(contract, credit.cost, credit.payer, weights).items():
                    _enter(contract, made, due, month, credit, institution, part)
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


def _enter(
    contract: Contract, made: dict[PostingKey, Share], due: dict[str, dict[str, Decimal]], month: str,
    source: Minimum | Prepaid, institution: str, amount: Decimal,
) -> None:  # fmt: skip
    """Add an amount to a line; like a fee's, its quantity is money."""
    if not amount:
        return
    tariff = contract.tariff_at(source.award, midnight(max(first_day(month), contract.starts), contract.zone))
    assert tariff is not None, "an award has a tariff from the contract's first day"
    key = PostingKey(institution, "", "", source.award, source.item, month, tariff.valid_from.isoformat())
    before = made.get(key)
    whole = add(before.amount, amount) if before else amount
    made[key] = Share(whole, whole)
    due[source.award][institution] = add(due[source.award].get(institution, ZERO), amount)


def _short(
    contract: Contract, minimum: Minimum, month: str, months: Sequence[str], owed: Owed
) -> Mapping[str, Decimal]:
    """Return by how much a period that ends with a month is short, by who owes it."""
    period = minimum.months(month)
    if not period or period[0] not in months:
        return {}
    used: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for each in period:
        for institution, amount in owed.get((each, minimum.award), {}).items():
            used[institution] = add(used[institution], amount)
    counted = used[minimum.payer] if minimum.payer else total(used.values())
    return _parts(contract, max(ZERO, subtract(minimum.amount, counted)), minimum.payer, used)


def _drawn(credit: Prepaid, left: Decimal, due: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Return what is drawn from a credit, by whose due it pays: all of it while there is enough."""
    mine = {name: amount for name, amount in due.items() if amount > 0 and credit.payer in {None, name}}
    whole = min(left, total(mine.values()))
    return split(whole, mine) if whole else {}


def _parts(contract: Contract, whole: Decimal, payer: str | None, used: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Return who owes how much of a whole: its payer, or all in proportion to their use; equal parts without any."""
    if payer is not None:
        return {payer: whole}
    weights = {name: amount for name, amount in used.items() if amount > 0}
    return split(whole, weights or dict.fromkeys(contract.institutions, Decimal(1)))
