"""What a re-rating changes.

Law: what is charged in the end is the price of the month's usage under the right contract; the difference to what was
charged is all that is posted, and both stay to be explained. Where usage moves to another meter, because its tariff has
another date, or others are metered together, what was charged is taken back there and charged anew.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of
from services.contract.fees import is_fee
from services.contract.model import Contract
from services.contract.money import ZERO, opposite, subtract
from services.contract.months import first_day, next_month
from services.contract.problems import Problem
from services.contract.succession import Stretch, reserved_otherwise, stretches
from services.invoicing.kinds import Kind
from services.invoicing.post import minus
from services.invoicing.settle import NOTHING, Share, amounts, meter_parts


class Change(NamedTuple):
    """What an institution pays for an item of an award in a month of use, as it stands and as it would be."""

    month: str
    institution: str
    award: str
    item: str
    kind: Kind
    now: Decimal
    then: Decimal


@dataclass(frozen=True, slots=True)
class Charged:
    """What a key was charged so far; where that was in another currency, `in_currency` is how much of it."""

    share: Share
    currency: str | None = None
    in_currency: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Moved:
    """By how much a charge moves a meter; `before` is the quantity that the key was charged for there so far."""

    key: ChargeKey
    meter: MeterKey
    before: Decimal
    share: Share
    currency: str | None = None
    rate: Decimal | None = None
    in_currency: Decimal = ZERO
    is_fee: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A month's difference: `moved` by charge, for the books, and `changes` by what is paid for, for people.

    `contract` is the one agreed, with the month priced again; `now` and `then` are the month's quantities as they are
    charged and as they will be. `rebilled` are the awards of which events count otherwise than before: under another
    tariff, or rounded. The changes are worked out from the books (`changes.py`), with all that follows from the moves.
    """

    month: str
    awards: tuple[str, ...]
    rebilled: tuple[str, ...]
    moved: list[Moved]
    contract: Contract
    now: Mapping[ChargeKey, Decimal]
    then: Mapping[ChargeKey, Decimal]
    changes: list[Change] = field(default_factory=list)


def problems(agreed: Contract, fixed: Contract) -> list[Problem]:
    """Return why nothing can be priced under another contract."""
    return [
        Problem(f"contract.{name}", repr(new), f"{old!r}, as it was applied")
        for name, old, new in (
            ("code", agreed.code, fixed.code),
            ("currency", agreed.currency, fixed.currency),
            ("time_zone", agreed.zone.key, fixed.zone.key),
        )
        if old != new
    ]


def rebilled(agreed: Contract, fixed: Contract, month: str, awards: Collection[str]) -> list[str]:
    """Return the awards of which events of a month count otherwise under another contract."""
    return [each for each in awards if not _bill_alike(_billing(agreed, each, month), _billing(fixed, each, month))]


def plan(
    agreed: Contract,
    fixed: Contract,
    month: str,
    charged: Mapping[ChargeKey, Charged],
    usage: Mapping[ChargeKey, Decimal],
    awards: Collection[str],
) -> Plan:
    """Price usage of some awards again, which is all of the month's; `charged` is what was, of all awards."""
    mine = {key: each for key, each in charged.items() if key.award in awards}
    owed = _owed(fixed, usage)
    moved = [each for key in sorted(owed.keys() | mine.keys()) for each in _moves(agreed, fixed, key, mine, owed)]
    reserved = set(reserved_otherwise(agreed, fixed, month)) & set(awards)
    changed = tuple(sorted({each.key.award for each in moved} | reserved))
    then = replace(agreed, rerated={**agreed.rerated, **{(each, month): fixed for each in changed}})
    now = {key: each.share.quantity for key, each in charged.items() if not is_fee(agreed, key)}
    others = {key: quantity for key, quantity in now.items() if key.award not in changed}
    anew = {key: quantity for key, quantity in usage.items() if key.award in changed}
    return Plan(month, changed, tuple(rebilled(agreed, fixed, month, changed)), moved, then, now, others | anew)


Billing = dict[Stretch, dict[str, tuple[Decimal, Decimal]]]
"""The stretches of a month under one tariff each, and what an event is billed for there, by item."""


def _bill_alike(old: Billing, new: Billing) -> bool:
    """Tell whether the same tariffs hold at the same times, and bill for the same of what both price."""
    return old.keys() == new.keys() and all(
        new[each][item] == billed for each, items in old.items() for item, billed in items.items() if item in new[each]
    )


def _billing(contract: Contract, award: str, month: str) -> Billing:
    pricing = contract.rerated.get((award, month), contract)
    span = (first_day(month), first_day(next_month(month)))
    tariffs = {tariff.valid_from: tariff for tariff in pricing.tariffs_by_award.get(award, ())}
    return {
        each: {item: (price.minimum, price.increment) for item, price in tariffs[each.tariff].prices.items()}
        for each in stretches(pricing, award, span)
        if each.tariff is not None
    }


def _owed(fixed: Contract, usage: Mapping[ChargeKey, Decimal]) -> dict[ChargeKey, Charged]:
    """Return what usage and the fees on it come to, each also in its own currency."""
    shares = amounts(fixed, usage)
    meters: dict[MeterKey, dict[str, Decimal]] = defaultdict(dict)
    for key, share in shares.items():
        if price_of(fixed, key).currency:
            meters[meter_of(fixed, key)][key.subject] = share.quantity
    parts = {meter: meter_parts(price_of(fixed, meter).in_currency, uses) for meter, uses in meters.items()}
    return {
        key: Charged(share, price_of(fixed, key).currency, parts.get(meter_of(fixed, key), {}).get(key.subject, ZERO))
        for key, share in shares.items()
    }


def _moves(
    agreed: Contract,
    fixed: Contract,
    key: ChargeKey,
    charged: Mapping[ChargeKey, Charged],
    owed: Mapping[ChargeKey, Charged],
) -> Iterator[Moved]:
    """Yield what moves under a key: the difference on its meter, or all of it from one meter to another."""
    old, new = charged.get(key), owed.get(key)
    old_meter = meter_of(agreed, key) if old else None
    new_meter = meter_of(fixed, key) if new else None
    if old and new and new_meter and (old_meter, old.currency) == (new_meter, new.currency):
        difference = minus(new.share, old.share)
        if difference != NOTHING:
            price = price_of(fixed, key)
            in_currency = subtract(new.in_currency, old.in_currency)
            yield Moved(
                key, new_meter, old.share.quantity, difference, price.currency, price.rate, in_currency,
                is_fee(fixed, key),
            )  # fmt: skip
        return
    if old and old_meter and old.share != NOTHING:
        back = minus(NOTHING, old.share)
        rate = price_of(agreed, key).rate
        yield Moved(
            key, old_meter, old.share.quantity, back, old.currency, rate, opposite(old.in_currency),
            is_fee(agreed, key),
        )  # fmt: skip
    if new and new_meter and new.share != NOTHING:
        price = price_of(fixed, key)
        yield Moved(
            key, new_meter, ZERO, new.share, price.currency, price.rate, new.in_currency, is_fee(fixed, key)
        )  # fmt: skip
