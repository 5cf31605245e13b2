"""What a re-rating changes.

Law: what is charged in the end is the price of the same quantities under the right prices; the difference to what was
charged is all that is posted, and both stay to be explained.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.contract.charges import ChargeKey, price_of
from services.contract.fees import is_fee
from services.contract.model import Contract
from services.contract.money import ZERO, add, plain
from services.contract.months import first_day, next_month
from services.contract.problems import Problem
from services.contract.succession import stretches
from services.invoicing.post import minus
from services.invoicing.settle import NOTHING, Share, amounts, settle


class Change(NamedTuple):
    """What an institution pays for an item of an award, as it stands and as it would be."""

    institution: str
    award: str
    item: str
    now: Decimal
    then: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """A month's difference: `moved` by charge, for the books, and `changes` by institution and item, for people.

    `before` is the quantity that each of the moved was charged for so far.
    """

    month: str
    awards: tuple[str, ...]
    moved: dict[ChargeKey, Share]
    before: dict[ChargeKey, Decimal]
    changes: list[Change]


def problems(agreed: Contract, fixed: Contract, month: str, charged: Collection[ChargeKey]) -> list[Problem]:
    """Return why charges of a month can't be priced under another contract."""
    found = [
        Problem(f"contract.{name}", repr(new), f"{old!r}, as it was applied")
        for name, old, new in (
            ("code", agreed.code, fixed.code),
            ("currency", agreed.currency, fixed.currency),
            ("time_zone", agreed.zone.key, fixed.zone.key),
        )
        if old != new
    ]
    days = (first_day(month), first_day(next_month(month)))
    for award in sorted({key.award for key in charged}):
        if stretches(fixed, award, days) != stretches(agreed, award, days):
            wanted = "tariffs that begin on the same days: a re-rating corrects prices, not when they hold"
            found.append(Problem(f"tariffs[{award}]", f"other tariffs in {month}", wanted))
    return found or list(dict.fromkeys(problem for key in charged for problem in _of_price(agreed, fixed, key)))


def _of_price(agreed: Contract, fixed: Contract, key: ChargeKey) -> list[Problem]:
    place = f"tariffs[{key.award} {key.tariff}].prices[{key.item}]"
    tariff = date.fromisoformat(key.tariff)
    if not fixed.has_price(key.award, key.item, tariff):
        return [Problem(place, "nothing", f"a price: it was charged in {key.month}")]
    before, after = price_of(agreed, key), fixed.price(key.award, key.item, tariff)
    wanted = "a re-rating changes neither who is metered together nor how much an event is billed for"
    return [
        Problem(f"{place}.{name}", str(new), f"{old}: {wanted}")
        for name, old, new in (
            ("scope", before.scope, after.scope),
            ("minimum", plain(before.minimum), plain(after.minimum)),
            ("increment", plain(before.increment), plain(after.increment)),
        )
        if old != new
    ]


def plan(agreed: Contract, fixed: Contract, month: str, award: str | None, charged: Mapping[ChargeKey, Share]) -> Plan:
    """Price a month's usage again, of one award or of all; `charged` is all that the month was charged so far."""
    mine = {key: share for key, share in charged.items() if award in {None, key.award}}
    usage = {key: share.quantity for key, share in mine.items() if not is_fee(agreed, key)}
    owed = amounts(fixed, usage)
    moved = {
        key: difference
        for key in sorted(owed.keys() | mine.keys())
        if (difference := minus(owed.get(key, NOTHING), mine.get(key, NOTHING))) != NOTHING
    }
    awards = tuple(sorted({key.award for key in moved}))
    then = replace(agreed, rerated={**agreed.rerated, **{(each, month): fixed for each in awards}})
    before = {key: mine.get(key, NOTHING).quantity for key in moved}
    return Plan(month, awards, moved, before, _changes(month, agreed, then, charged, awards))


def _changes(
    month: str, now: Contract, then: Contract, charged: Mapping[ChargeKey, Share], awards: Collection[str]
) -> list[Change]:
    sums: dict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    for side, contract in enumerate((now, then)):
        usage = {key: share.quantity for key, share in charged.items() if not is_fee(now, key)}
        for key, share in settle(contract, month, usage).items():
            if key.award in awards:
                place = (key.institution, key.award, key.item)
                sums[place][side] = add(sums[place][side], share.amount)
    return [Change(*place, *both) for place, both in sorted(sums.items()) if both[0] != both[1]]
