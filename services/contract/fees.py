"""Fees: prices that are a percentage of other charges of the same subject, award, tariff and month.

Law: a fee's meter runs on money as others run on usage, so its charges, too, add up to the price of the sum. Fees on
usage are reckoned first, then those on such fees, and so on: in rounds.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from services.contract.charges import ChargeKey, price_of_item
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.tariff.percentage import Percentage, Rounds


def is_fee(contract: Contract, key: ChargeKey) -> bool:
    """Tell whether what is charged under a key is a percentage of other charges, not usage."""
    return isinstance(price_of_item(contract, key).model, Percentage)


def fee_quantities(contract: Contract, number: int, charged: Mapping[ChargeKey, Decimal]) -> dict[ChargeKey, Decimal]:
    """Return on how much money the fees of a round are, for charges that include all rounds before it."""
    found: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    known: dict[tuple[str, str, str, str], Rounds] = {}
    for key, amount in charged.items():
        place = key[:-1]
        rounds = known.get(place)
        if rounds is None:
            rounds = known[place] = _rounds(contract, key)
        for fee in rounds[number] if number < len(rounds) else ():
            if key.item in fee.of:
                fee_key = key._replace(item=fee.item)
                found[fee_key] = add(found[fee_key], amount)
    return {key: money for key, money in found.items() if money}


def _rounds(contract: Contract, key: ChargeKey) -> Rounds:
    pricing = contract.pricing(key.award, key.item, key.month, date.fromisoformat(key.tariff))
    return pricing.fees.get((key.award, key.tariff), ())
