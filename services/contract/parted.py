"""Months that a tariff parts: one that begins within a month starts its own meters.

Law: what counts by the month counts once in it, unless the tariff says that it does so again for its own part.
"""

from collections.abc import Iterator

from services.contract.model import Contract, Tariff
from services.contract.months import month_of
from services.contract.price import Price
from services.contract.problems import Problem
from services.contract.tariff.flat import Flat
from services.contract.tariff.graduated import Graduated
from services.contract.tariff.percentage import Percentage
from services.contract.tariff.stairstep import Stairstep
from services.contract.tariff.volume import Volume

KEY = "own_meters"


def parted(contract: Contract) -> Iterator[Problem]:
    """Yield each item that something counts of by the month, and would count again for the rest of one."""
    for tariffs in contract.tariffs_by_award.values():
        for number, tariff in enumerate(tariffs):
            if tariff.valid_from.day != 1 and not tariff.own_meters:
                yield from _counted_again(tariff, _of_same_month(tariffs[: number + 1]))


def _of_same_month(tariffs: tuple[Tariff, ...]) -> list[Tariff]:
    """Return those that are in force before the last one in the month in which it begins."""
    first = tariffs[-1].valid_from.replace(day=1)
    begun = sum(each.valid_from <= first for each in tariffs)
    return list(tariffs[max(0, begun - 1) : -1])


def _counted_again(tariff: Tariff, before: list[Tariff]) -> Iterator[Problem]:
    for item, price in tariff.prices.items():
        earlier = [each.prices[item] for each in before if item in each.prices]
        if any(map(_by_the_month, earlier)) and (what := _by_the_month(price)):
            yield Problem(
                f"{tariff.place}.prices[{item}]",
                f"{what}, which would count twice in {month_of(tariff.valid_from)}: with new prices meters begin anew",
                f"prices from the first of a month, or {KEY} = true beside valid_from if that is agreed",
            )


def _by_the_month(price: Price) -> str:
    """Name what counts by the month in a price, or nothing; what is due unused is for whole months anyway."""
    model = price.model
    found = {
        "free units": bool(price.free),
        "a price for the month": isinstance(model, Flat) and not model.by_days,
        "a price for the whole of a tier": isinstance(model, Stairstep),
        "a fee on entering a tier": isinstance(model, Graduated | Volume) and any(tier.fee for tier in model.tiers),
        "a floor": isinstance(model, Percentage) and bool(model.floor),
        "a cap": isinstance(model, Percentage) and model.cap is not None,
    }
    return ", ".join(what for what, is_there in found.items() if is_there)
