"""The keys under which usage is metered and charged.

A `ChargeKey` is one subject's use of one item under one tariff in one month: the finest thing that is
charged. A `MeterKey` is what runs up together to reach the tiers: all charge keys of one scope.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.contract.model import Contract, payer
from services.contract.money import plain
from services.contract.months import first_day, midnight
from services.contract.price import Price, Scope
from services.contract.tariff.reserved import EVERYONE


class ChargeKey(NamedTuple):
    """`month` is 2016-03; `tariff` the first day of the tariff, ISO 8601. Ordered: batches take locks in this order."""

    award: str
    item: str
    month: str
    tariff: str
    subject: str


class MeterKey(NamedTuple):
    """`scope` is an institution, department or pool, or EVERYONE where all reach the tiers together."""

    award: str
    item: str
    month: str
    tariff: str
    scope: str


def price_of(contract: Contract, key: ChargeKey | MeterKey) -> Price:
    """Return the price that a key falls under, as it is in its month; raises KeyError when the contract has none."""
    price = price_of_item(contract, key)
    if not price.is_promised:
        return price
    return price.on_meter(key.scope if isinstance(key, MeterKey) else _scope(price, key.subject))


def meter_of(contract: Contract, key: ChargeKey) -> MeterKey:
    """Return the meter that a charge key runs up."""
    return MeterKey(key.award, key.item, key.month, key.tariff, _scope(price_of_item(contract, key), key.subject))


def promised_meters(contract: Contract, month: str) -> list[MeterKey]:
    """Return the meters on which something is due in a month, used or not: what is reserved, or a fee."""
    begins = midnight(first_day(month), contract.zone)
    if not contract.covers(begins):
        return []
    pricings = {award: contract.rerated.get((award, month), contract) for award in contract.awards}
    tariffs = [each for award, pricing in pricings.items() if (each := pricing.tariff_at(award, begins))]
    items = [
        MeterKey(tariff.award, item, month, tariff.valid_from.isoformat(), "")
        for tariff in tariffs
        for item in tariff.prices
    ]
    return [
        each._replace(scope=scope)
        for each in items
        for scope in sorted(price_of_item(contract, each).promised_by(contract.institutions))
    ]


class ProvisionalRate(NamedTuple):
    """A month of an award in whose currency it has no rate yet, so that the `rate` of an earlier one, `of`, holds."""

    award: str
    month: str
    currency: str
    of: str
    rate: Decimal

    def __str__(self) -> str:
        return (
            f"{self.award} is charged at {plain(self.rate)} {self.currency}, the rate of {self.of}: "
            f"the contract has none for {self.month} yet"
        )


def provisional_rates(contract: Contract, keys: Iterable[ChargeKey | MeterKey]) -> list[ProvisionalRate]:
    """Return the rates among those of some keys that are not the month's own, though the tariff says so."""
    found = set()
    for key in keys:
        price = price_of_item(contract, key)
        if price.is_provisional and price.currency and price.rate_month and price.rate is not None:
            found.add(ProvisionalRate(key.award, key.month, price.currency, price.rate_month, price.rate))
    return sorted(found)


def price_of_item(contract: Contract, key: ChargeKey | MeterKey) -> Price:
    """Return the price of an item for all its meters, whatever is reserved on them; raises KeyError without one."""
    place = (key.award, key.item, key.month, key.tariff)
    known = contract.prices_met.get(place)
    if known is None:
        tariff = date.fromisoformat(key.tariff)
        pricing = contract.pricing(key.award, key.item, key.month, tariff)
        price = pricing.price(key.award, key.item, tariff)
        known = contract.prices_met[place] = price.in_month(key.month, pricing.rate(price.currency, key.month))
    return known


def _scope(price: Price, subject: str) -> str:
    """Return the scope of the meter that a subject's use runs up."""
    if price.scope is Scope.CONTRACT:
        return EVERYONE
    return subject if price.scope is Scope.DEPARTMENT else payer(subject)
