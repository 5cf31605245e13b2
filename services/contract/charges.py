"""The keys under which usage is metered and charged.

A `ChargeKey` is one subject's use of one item under one tariff in one month: the finest thing that is
charged. A `MeterKey` is what runs up together to reach the tiers: all charge keys of one scope.
"""

from datetime import date
from typing import NamedTuple

from services.contract.model import Contract, Price, Scope, payer

EVERYONE = "*"


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
    place = (key.award, key.item, key.month, key.tariff)
    known = contract.prices_met.get(place)
    if known is None:
        tariff = date.fromisoformat(key.tariff)
        pricing = contract.pricing(key.award, key.item, key.month, tariff)
        price = pricing.price(key.award, key.item, tariff)
        known = contract.prices_met[place] = price.in_month(key.month, pricing.rate(price.currency, key.month))
    return known


def meter_of(contract: Contract, key: ChargeKey) -> MeterKey:
    """Return the meter that a charge key runs up."""
    scopes = {Scope.INSTITUTION: payer(key.subject), Scope.DEPARTMENT: key.subject, Scope.CONTRACT: EVERYONE}
    return MeterKey(key.award, key.item, key.month, key.tariff, scopes[price_of(contract, key).scope])
