"""Whether a contract may follow the one before it, once usage was priced.

Law: what was priced would be priced the same under every later version, so that a total depends on the usage and
never on when it came.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from services.contract.charges import MeterKey, price_of, promised_meters
from services.contract.model import Contract
from services.contract.money import ZERO
from services.contract.price import Price
from services.contract.problems import Problem
from services.contract.tariff.reserved import Reserved


class Stretch(NamedTuple):
    """A stretch of days, the last one not in it, in which one of an award's tariffs is in force; None where none is."""

    begins: date
    ends: date
    tariff: date | None


class Moved(NamedTuple):
    """A stretch of days whose usage would fall under another tariff than before; None for none."""

    award: str
    begins: date
    ends: date
    before: date
    after: date | None


def stretches(contract: Contract, award: str, days: Iterable[date]) -> list[Stretch]:
    """Cut the time between the first and the last of some days at all of them, and where the tariff changes."""
    cuts = sorted(days)
    inside = {contract.starts, contract.ends, *(each.valid_from for each in contract.tariffs_by_award.get(award, ()))}
    cuts = sorted({*cuts, *(day for day in inside if cuts[0] < day < cuts[-1])})
    return [Stretch(begins, ends, _in_force(contract, award, begins)) for begins, ends in pairwise(cuts)]


def moved(before: Contract, after: Contract) -> list[Moved]:
    """Return the stretches in which usage could have been taken before and falls under another tariff after."""
    found = []
    for award in before.awards:
        days = {before.starts, before.ends}
        days |= {each.valid_from for each in after.tariffs_by_award.get(award, ())}
        days |= {after.starts, after.ends}
        for begins, ends, tariff in stretches(before, award, days):
            then = _in_force(after, award, begins)
            if tariff is not None and tariff != then:
                found.append(Moved(award, begins, ends, tariff, then))
    return found


def place_of(before: Contract, after: Contract, award: str, tariff: date) -> str:
    """Return where a tariff stands, in the later contract if it is there; by an indexation, at that."""
    for contract in (after, before):
        for each in contract.tariffs_by_award.get(award, ()):
            if each.valid_from == tariff:
                return each.place
    return f"tariffs[{award} {tariff}]"


def edited(before: Contract, after: Contract, award: str, tariff: date) -> list[str]:
    """Return the items whose price in a tariff is gone or another, and added ones that make something due for the past.

    Those are fees, which are on what was charged before, and items of which something is due unused.

    Other prices that were added are none of them.
    """
    known, prices = _prices(before, award, tariff), _prices(after, award, tariff)
    fees = {fee.item for each in after.fees.get((award, tariff.isoformat()), ()) for fee in each}
    changed = [item for item, price in known.items() if prices.get(item) != price]
    reserved = {item for item, price in prices.items() if price.is_promised}
    return changed + sorted((fees | reserved) - known.keys())


def reserved_otherwise(before: Contract, after: Contract, month: str) -> list[str]:
    """Return the awards to which something else was due unused in a month, reserved or as a fee."""
    old, new = _reserved(before, month), _reserved(after, month)
    return sorted({meter.award for meter in old.keys() | new.keys() if old.get(meter) != new.get(meter)})


def converted(before: Contract, after: Contract, award: str, tariff: date, month: str) -> list[str]:
    """Return the currencies in which a tariff has prices and whose rate in a month is another.

    What a re-rating put right is priced at its file's rate, which the contract may then have, too.
    """
    prices = _prices(before, award, tariff).values()
    currencies = sorted({price.currency for price in prices if price.currency})
    return [each for each in currencies if not _same_rate(before, after, award, each, month)]


def vanished(before: Contract, after: Contract) -> list[Problem]:
    """Return what the books may name and a later version no longer does."""
    fixed = [
        Problem(f"contract.{name}", str(new), f"{old}: usage was priced and posted under it")
        for name, old, new in (
            ("currency", before.currency, after.currency),
            ("time_zone", before.zone.key, after.zone.key),
            ("starts", before.starts, after.starts),
        )
        if old != new
    ]
    named, kept = _named(before), _named(after)
    return fixed + [
        Problem(f"{what}[{code}]", "nothing", "what was applied: usage may have been posted under it")
        for what, codes in named.items()
        for code in sorted(codes)
        if code not in kept[what]
    ]


def _reserved(contract: Contract, month: str) -> dict[MeterKey, tuple[Reserved | None, Decimal]]:
    """Return what is reserved of each meter, and what is due on it unused."""
    prices = {meter: price_of(contract, meter) for meter in promised_meters(contract, month)}
    return {meter: (price.reservation, price.due(ZERO)) for meter, price in prices.items()}


def _same_rate(before: Contract, after: Contract, award: str, currency: str, month: str) -> bool:
    priced = [each for each in (before, before.rerated.get((award, month))) if each is not None]
    rates = [rate.rate for each in priced if (rate := each.rate(currency, month))]
    now = after.rate(currency, month)
    return now is not None and now.rate in rates


def _named(contract: Contract) -> dict[str, Collection[str]]:
    return {
        "awards": contract.awards,
        "items": contract.items,
        "providers": contract.providers,
        "subjects": contract.subjects,
        "minimums": [f"{each.award} {each.item}" for each in contract.minimums],
        "prepaid": [f"{each.award} {each.item}" for each in contract.prepaid],
    }


def _in_force(contract: Contract, award: str, day: date) -> date | None:
    if not contract.starts <= day < contract.ends:
        return None
    begun = [each.valid_from for each in contract.tariffs_by_award.get(award, ()) if each.valid_from <= day]
    return begun[-1] if begun else None


def _prices(contract: Contract, award: str, tariff: date) -> Mapping[str, Price]:
    return next((each.prices for each in contract.tariffs_by_award.get(award, ()) if each.valid_from == tariff), {})
