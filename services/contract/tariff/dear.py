"""Reserved capacity that is dearer than none: what is reserved is to be had at a lower price.

Law: what is refused is never cheaper, however much is used; a jump in a volume price aside.
"""

from collections.abc import Mapping
from decimal import Decimal

from services.contract.money import PRICE_DIGITS, ZERO, add, multiply, plain, quotient, round_half_up, started, total
from services.contract.reading import Section
from services.contract.tariff import ChargeModel
from services.contract.tariff.flat import Flat
from services.contract.tariff.graduated import Graduated
from services.contract.tariff.package import Package
from services.contract.tariff.per_unit import PerUnit
from services.contract.tariff.reserved import EVERYONE, Reserved
from services.contract.tariff.stairstep import Stairstep
from services.contract.tariff.volume import Volume

DAYS_MIN = Decimal(28)
"""Days of the month in which one of them costs most."""


def refuse_dear(section: Section, model: ChargeModel, reserved: Mapping[str, Reserved]) -> None:
    """Note what is reserved for more than so many units can cost without."""
    for payer, each in reserved.items():
        whole, most = multiply(each.quantity, each.price), _most(model, each.quantity)
        if whole > most:
            place = f"reserved[{payer}].price" if payer != EVERYONE else "reserved[0].price"
            found = f"{plain(each.price)} for each of {plain(each.quantity)}, {plain(whole)} in all"
            section.problem(place, found, f"at most {plain(most)} in all, which they cost without a reservation")


def _most(model: ChargeModel, quantity: Decimal) -> Decimal:
    """Return the most that so many units of a month's use can cost: at the dearest price, with every fee."""
    match model:
        case PerUnit():
            return multiply(quantity, model.price)
        case Graduated() | Volume():
            dearest = multiply(quantity, max(tier.price for tier in model.tiers))
            return add(dearest, total(tier.fee for tier in model.tiers))
        case Package():
            return multiply(started(quantity, model.size), model.price)
        case Stairstep():
            return max(tier.price for tier in model.tiers)
        case Flat(by_days=True):
            days = min(quantity, DAYS_MIN)
            return round_half_up(quotient(multiply(model.price, days), DAYS_MIN), PRICE_DIGITS)
        case Flat():
            return model.price
        case _:
            return ZERO
