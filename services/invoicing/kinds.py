"""What a line of a statement is for, so that a reader can tell a price from a promise."""

from datetime import date
from decimal import Decimal
from enum import StrEnum

from services.contract.charges import ChargeKey
from services.contract.fees import is_fee
from services.contract.model import Contract
from services.contract.money import HUNDRED
from services.invoicing.settle import PostingKey


class Kind(StrEnum):
    """What is paid for; `RESERVATION` is the part of an item's line that is due for what was reserved and is unused."""

    USAGE = "usage"
    FEE = "fee"
    RESERVATION = "unused reservation"
    MINIMUM = "minimum"
    CREDIT = "prepaid credit"


def percent_of_list(contract: Contract, key: PostingKey) -> Decimal:
    """Return what percentage of the supplier's list a line's use is charged at; 100 where nothing says so.

    What is reserved has a price of its own, so a line that may have some of that is not said to be at a percentage.
    """
    tariff = date.fromisoformat(key.tariff)
    pricing = contract.pricing(key.award, key.item, key.month, tariff)
    if not pricing.has_price(key.award, key.item, tariff):
        return HUNDRED
    price = pricing.price(key.award, key.item, tariff)
    return HUNDRED if price.reserved else price.percent_of_list


def kind_of(contract: Contract, key: PostingKey) -> Kind:
    """Return what a line is for; where a re-rating left an item without a price, it is for usage."""
    place = (key.award, key.item)
    if place in {(each.award, each.item) for each in contract.minimums}:
        return Kind.MINIMUM
    if place in {(each.award, each.item) for each in contract.prepaid}:
        return Kind.CREDIT
    tariff = date.fromisoformat(key.tariff)
    pricing = contract.pricing(key.award, key.item, key.month, tariff)
    if not pricing.has_price(key.award, key.item, tariff):
        return Kind.USAGE
    return Kind.FEE if is_fee(contract, ChargeKey(key.award, key.item, key.month, key.tariff, "")) else Kind.USAGE
