"""Meters: from quantities to charges.

Law: a charge is the change of a meter's amount, so the charges on a meter add up to the price of its
quantity, whatever the order of events, late and negative ones included. Subjects that share a meter are
charged one after the other in the order of their keys; what each owes in the end is settled at the close.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of
from services.contract.model import Contract
from services.contract.money import ZERO, add, subtract
from services.contract.price import Price
from services.contract.tariff import charge
from services.contract.tariff.percentage import Percentage


@dataclass(frozen=True, slots=True)
class Charge:
    """By how much one subject's usage moved its meter: from `before` by `quantity`, which cost `amount`.

    Where the price is in another currency, that, the rate, and the amount in it stand beside.
    """

    key: ChargeKey
    meter: MeterKey
    before: Decimal
    quantity: Decimal
    amount: Decimal
    currency: str | None = None
    rate: Decimal | None = None
    currency_amount: Decimal | None = None
    is_fee: bool = False


def meters_of(contract: Contract, keys: Iterable[ChargeKey]) -> list[MeterKey]:
    """Return the meters that usage under these keys runs up, each once, in the order in which they are locked."""
    return sorted({meter_of(contract, key) for key in keys})


def charges(
    contract: Contract, quantities: Mapping[ChargeKey, Decimal], meters: Mapping[MeterKey, Decimal]
) -> list[Charge]:
    """Charge the quantities on the meters, which stand at the given quantities (zero where none is given)."""
    running = dict(meters)
    made = []
    for key in sorted(quantities):
        meter = meter_of(contract, key)
        before = running.get(meter, ZERO)
        after = add(before, quantities[key])
        made.append(_charge(price_of(contract, key), key, meter, before, after))
        running[meter] = after
    return made


def _charge(price: Price, key: ChargeKey, meter: MeterKey, before: Decimal, after: Decimal) -> Charge:
    is_fee = isinstance(price.model, Percentage)
    made = Charge(key, meter, before, subtract(after, before), charge(price, before, after), is_fee=is_fee)
    if price.currency is None:
        return made
    difference = subtract(price.in_currency(after), price.in_currency(before))
    return replace(made, currency=price.currency, rate=price.rate, currency_amount=difference)
