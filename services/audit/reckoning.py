"""How what an institution owes on a line comes about, from a month's quantities and the contract: meter, pool, fee.

Law: it is what `settle` makes of them, taken apart; every level adds up to the next one, or an error is raised.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from services.audit.parts import Part, check, of_steps
from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of, promised_meters
from services.contract.model import Contract
from services.contract.money import ZERO, plain, subtract, total
from services.contract.price import Price
from services.contract.split import divide
from services.contract.tariff import Step
from services.contract.tariff.percentage import Fee
from services.contract.tariff.reserved import EVERYONE
from services.invoicing.settle import (
    PostingKey,
    Share,
    amounts,
    direct_amounts,
    meter_parts,
    owed,
    pool_weights,
    promising,
)


@dataclass(frozen=True, slots=True)
class Reckoned:
    """What is due on a line: its parts, and of what they are parts; each of these is None where it plays no role."""

    due: Decimal
    parts: list[Part]
    meter: dict[str, Any] | None = None
    pool: dict[str, Any] | None = None
    fee: dict[str, Any] | None = None


def charge_key_of(key: PostingKey) -> ChargeKey:
    """Return the key of the charges that a line has its share of."""
    subject = f"pool/{key.pool}" if key.pool else member_of(key)
    return ChargeKey(key.award, key.item, key.month, key.tariff, subject)


def member_of(key: PostingKey) -> str:
    """Return who owes a line: an institution, or a department of one."""
    return f"{key.institution}/{key.department}" if key.department else key.institution


def reckon(contract: Contract, key: PostingKey, quantities: Mapping[ChargeKey, Decimal]) -> Reckoned:
    """Take apart what is due on a line of a month, of which these are all the quantities."""
    due = owed(contract, key.month, quantities)
    charged = charge_key_of(key)
    if charged not in due:
        return Reckoned(ZERO, [])
    meter, parts = _metered(contract, charged, due)
    fee = _fee(contract, charged, amounts(contract, quantities))
    if not key.pool:
        return Reckoned(due[charged].amount, parts, meter, None, fee)
    pool, part = _pooled(contract, key, due[charged], direct_amounts(due))
    return Reckoned(part.amount, [part], meter, pool, fee)


def _metered(contract: Contract, key: ChargeKey, due: Mapping[ChargeKey, Share]) -> tuple[dict[str, Any], list[Part]]:
    """Return the meter that a subject's use runs up, and the subject's parts of what it comes to."""
    price, meter = price_of(contract, key), meter_of(contract, key)
    uses = {each.subject: share.quantity for each, share in due.items() if _same_meter(contract, each, meter)}
    is_due_unused = False
    if meter in promised_meters(contract, key.month) and key.subject in (who := promising(contract, meter, uses)):
        is_due_unused, uses = True, dict(who)
    reckon_price = price.due if is_due_unused else price.amount
    together = total(uses.values())
    whole, shares = reckon_price(together), meter_parts(reckon_price, uses)
    check(f"the shares of meter {'/'.join(meter)}", shares.values(), whole)
    mine = due[key].amount
    check(f"{key.subject}'s share of meter {'/'.join(meter)}", [shares[key.subject]], mine)
    is_own = total(reckon_price(quantity) for quantity in uses.values()) == whole
    quantity = uses[key.subject] if is_own else together
    steps = _steps(price, quantity, is_due_unused=is_due_unused)
    in_currency = total(step.amount for step in steps)
    reckoned = mine if is_own else whole
    if price.currency is None:
        check(f"the steps of meter {'/'.join(meter)}", [in_currency], reckoned)
    found = {
        "whose": "the whole contract" if meter.scope == EVERYONE else meter.scope,
        "scope": price.scope.value,
        "model": price.model.kind,
        "price": price.brief(),
        "percent_of_list": price.percent_of_list,
        "indexed": [asdict(each) for each in price.indexed],
        "currency": price.currency,
        "rate": price.rate,
        "rate_of_month": price.rate_month,
        "rate_is_provisional": price.is_provisional,
        "minimum": price.minimum,
        "increment": price.increment,
        "quantity": together,
        "amount": whole,
        "steps_of": quantity,
        "steps": [asdict(step) for step in steps],
        "in_currency": in_currency,
        "shared": "each by its own quantity" if is_own else "in proportion to use" if together else "in equal parts",
        "uses": [{"subject": each, "quantity": uses[each], "amount": shares[each]} for each in sorted(uses)],
    }
    return found, _my_parts(contract, price, steps, found, uses[key.subject], mine)


def _my_parts(
    contract: Contract, price: Price, steps: list[Step], meter: Mapping[str, Any], quantity: Decimal, mine: Decimal
) -> list[Part]:
    if meter["shared"] == "in equal parts":
        return [Part(f"one of {len(meter['uses'])} equal parts of the meter's {plain(meter['amount'])}", mine)]
    if meter["shared"] == "in proportion to use":
        what = f"{plain(quantity)} of the {plain(meter['quantity'])} that cost {plain(meter['amount'])} together"
        return [Part(what, mine)]
    if price.currency is None:
        return of_steps(steps)
    assert price.rate is not None, "an amount was converted"
    rate = f"{plain(price.rate)} for 1 {contract.currency}, the rate of {price.rate_month}"
    what = f"{plain(meter['in_currency'])} {price.currency} at {rate}"
    return [Part(what, mine)]


def _same_meter(contract: Contract, key: ChargeKey, meter: MeterKey) -> bool:
    return key[:4] == meter[:4] and meter_of(contract, key) == meter


def _steps(price: Price, quantity: Decimal, *, is_due_unused: bool) -> list[Step]:
    """Return the reckoning of a quantity, and of what is reserved and unused by it."""
    steps = price.steps(quantity)
    reserved = price.reservation
    if is_due_unused and reserved and (unused := subtract(reserved.quantity, reserved.used(quantity))):
        steps.append(Step("reserved and unused", unused, reserved.price, reserved.unused(quantity)))
    return steps


def _pooled(
    contract: Contract, key: PostingKey, share: Share, direct: Mapping[str, Decimal]
) -> tuple[dict[str, Any], Part]:
    """Return the pool that a line is a share of, and the share."""
    pool = contract.pool(key.pool, key.month)
    weights = pool_weights(pool, direct)
    divided = divide(share.amount, weights)
    check(f"the shares of pool {pool.code}", divided.parts.values(), share.amount)
    mine, whole = weights[member_of(key)], total(weights.values())
    found = {
        "pool": pool.code,
        "name": pool.name,
        "key": pool.key.value,
        "amount": share.amount,
        "weights": whole,
        "members": [
            {"member": each, "weight": weight, "amount": divided.parts[each], "raised": each in divided.raised}
            for each, weight in weights.items()
        ],
    }
    what = f"{plain(mine)} of {plain(whole)} of pool {pool.code}'s {plain(share.amount)}, {pool.key.value}"
    return found, Part(what, divided.parts[member_of(key)])


def _fee(contract: Contract, key: ChargeKey, charged: Mapping[ChargeKey, Share]) -> dict[str, Any] | None:
    """Return what a fee is on: the charges of all who run up its meter; None for what is no fee."""
    pricing = contract.pricing(key.award, key.item, key.month, date.fromisoformat(key.tariff))
    rounds = pricing.fees.get((key.award, key.tariff), ())
    fee: Fee | None = next((each for fees in rounds for each in fees if each.item == key.item), None)
    if fee is None:
        return None
    meter = meter_of(contract, key)
    on: list[dict[str, Any]] = [
        {"subject": each.subject, "item": each.item, "amount": share.amount}
        for each, share in sorted(charged.items())
        if each.item in fee.of
        and (each.award, each.month, each.tariff) == (key.award, key.month, key.tariff)
        and meter_of(contract, each._replace(item=key.item)) == meter
    ]
    money = [share.quantity for each, share in charged.items() if _same_meter(contract, each, meter)]
    check(f"what fee {key.item} of {key.award} is on", (each["amount"] for each in on), total(money))
    return {"of": sorted(fee.of), "on": on, "amount": total(money)}
