"""Settling a month: what each institution owes once everything is known.

Law: the result depends only on the quantities of the month and the contract, never on the order in which
they came; and the shares of each award add up to what its meters come to, to the last digit: their price, and
what was reserved and is unused. While a month is open, postings are provisional; the close posts the difference
to what is settled here.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of, price_of_item, promised_meters
from services.contract.fees import fee_quantities, is_fee
from services.contract.model import AllocationKey, Contract, Pool
from services.contract.money import QUANTITY_DIGITS, ZERO, add, decimals, total
from services.contract.price import Price
from services.contract.split import equal_parts, split
from services.contract.tariff.reserved import EVERYONE


class PostingKey(NamedTuple):
    """What a line of a statement is about; `department` and `pool` are empty where there is none."""

    institution: str
    department: str
    pool: str
    award: str
    item: str
    month: str
    tariff: str


@dataclass(frozen=True, slots=True)
class Share:
    """A quantity and its amount, in the contract's currency, unrounded."""

    quantity: Decimal
    amount: Decimal


NOTHING = Share(ZERO, ZERO)

Reckoned = Callable[[Price], Callable[[Decimal], Decimal]]
"""What of a price is asked for: how it makes an amount of a quantity."""


def settle(contract: Contract, month: str, quantities: Mapping[ChargeKey, Decimal]) -> dict[PostingKey, Share]:
    """Return what is owed for a month, of which these are all the quantities."""
    due = owed(contract, month, quantities)
    return shares_of(contract, due, direct_amounts(due))


def settle_in_currency(
    contract: Contract, month: str, quantities: Mapping[ChargeKey, Decimal]
) -> dict[PostingKey, Decimal]:
    """Return what is owed for a month under prices in other currencies, in these: shared as what `settle` returns."""
    foreign = {key: quantity for key, quantity in quantities.items() if price_of_item(contract, key).currency}
    due = _owed(contract, foreign, lambda price: price.in_currency)
    promised = _with_promised(contract, month, quantities, lambda price: price.due_in_currency)
    due |= {key: share for key, share in promised.items() if price_of_item(contract, key).currency}
    if not due:
        return {}
    has_pool = any(key.subject.startswith("pool/") for key in due)
    direct = direct_amounts(owed(contract, month, quantities)) if has_pool else {}
    return {line: share.amount for line, share in shares_of(contract, due, direct).items()}


def shares_of(
    contract: Contract, due: Mapping[ChargeKey, Share], direct: Mapping[str, Decimal]
) -> dict[PostingKey, Share]:
    """Return what each institution and department has of some amounts; pools are shared by the `direct` ones."""
    shares: dict[PostingKey, Share] = {}
    for key, share in due.items():
        if not key.subject.startswith("pool/"):
            shares[posting_key(key, key.subject)] = share
            continue
        pool = contract.pool(key.subject.removeprefix("pool/"), key.month)
        for member, part in pool_parts(pool, share, direct).items():
            shares[posting_key(key, member)] = part
    return shares


def owed(contract: Contract, month: str, quantities: Mapping[ChargeKey, Decimal]) -> dict[ChargeKey, Share]:
    """Return what each subject owes for a month, pools included: for usage, in fees, and for what is due unused."""
    return amounts(contract, quantities) | _with_promised(contract, month, quantities, lambda price: price.due)


def direct_amounts(due: Mapping[ChargeKey, Share]) -> dict[str, Decimal]:
    """Return each subject's own amount, of what is owed but for the pools."""
    direct: dict[str, Decimal] = {key.subject: ZERO for key in due if not key.subject.startswith("pool/")}
    for key, share in due.items():
        if key.subject in direct:
            direct[key.subject] = add(direct[key.subject], share.amount)
    return direct


def amounts(contract: Contract, quantities: Mapping[ChargeKey, Decimal]) -> dict[ChargeKey, Share]:
    """Return what each subject owes for its usage and in fees on that; fees among the quantities are reckoned anew."""
    due = _owed(contract, {key: quantity for key, quantity in quantities.items() if not is_fee(contract, key)})
    for number in range(contract.fee_rounds):
        charged = {key: share.amount for key, share in due.items()}
        due |= _owed(contract, fee_quantities(contract, number, charged))
    return due


def _owed(
    contract: Contract, quantities: Mapping[ChargeKey, Decimal], reckoned: Reckoned = lambda price: price.amount
) -> dict[ChargeKey, Share]:
    """Return what each subject owes: its own price where those add up to the meter's, else its part by quantity."""
    meters: dict[MeterKey, dict[ChargeKey, Decimal]] = defaultdict(dict)
    for key in sorted(quantities):
        meters[meter_of(contract, key)][key] = quantities[key]
    due: dict[ChargeKey, Share] = {}
    for meter, uses in meters.items():
        parts = meter_parts(reckoned(price_of(contract, meter)), {key.subject: uses[key] for key in uses})
        due |= {key: Share(uses[key], parts[key.subject]) for key in uses}
    return due


def _with_promised(
    contract: Contract, month: str, quantities: Mapping[ChargeKey, Decimal], reckoned: Reckoned
) -> dict[ChargeKey, Share]:
    """Return what is owed on meters on which something is due unused: what is reserved, or a fee.

    Whose meter it is owes what nobody used; where it is that of all together, in equal parts.
    """
    due: dict[ChargeKey, Share] = {}
    uses: dict[MeterKey, dict[str, Decimal]] = defaultdict(dict)
    for key, quantity in quantities.items():
        if quantity:
            uses[meter_of(contract, key)][key.subject] = quantity
    for meter in promised_meters(contract, month):
        mine = promising(contract, meter, uses.get(meter, {}))
        for subject, amount in meter_parts(reckoned(price_of(contract, meter)), mine).items():
            key = ChargeKey(meter.award, meter.item, month, meter.tariff, subject)
            due[key] = Share(mine[subject], amount)
    return due


def promising(contract: Contract, meter: MeterKey, uses: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Return who owes what is due on a meter, with their use: those who used it, or else all whose meter it is."""
    used = {subject: quantity for subject, quantity in uses.items() if quantity}
    everyone = list(contract.institutions) if meter.scope == EVERYONE else [meter.scope]
    return used or dict.fromkeys(everyone, ZERO)


def meter_parts(price: Callable[[Decimal], Decimal], uses: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Share a meter's amount, which is the `price` of its quantity, among the subjects that ran it up.

    Each pays the price of its own quantity where these add up to the whole, as they do with a price per
    unit. Where tiers were reached together, all pay the same average price; and where the quantities
    cancel out, equal parts.
    """
    alone = {subject: price(quantity) for subject, quantity in uses.items()}
    together = total(uses.values())
    whole = price(together)
    if total(alone.values()) == whole:
        return alone
    if together == 0:
        return equal_parts(whole, list(uses))
    return split(whole, uses)


def pool_parts(pool: Pool, share: Share, direct: Mapping[str, Decimal]) -> dict[str, Share]:
    """Split a pool's share among its members, `direct` being each subject's own amount in the month."""
    weights = pool_weights(pool, direct)
    quantities = split(share.quantity, weights, max(QUANTITY_DIGITS, decimals(share.quantity)))  # a fee's is money
    parts = split(share.amount, weights)
    return {member: Share(quantities[member], parts[member]) for member in weights}


def pool_weights(pool: Pool, direct: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Return the weights in force: the contract's, or for a proportional key each member's direct amount.

    A member below zero counts as zero; while no member has direct use, the parts are equal.
    """
    if pool.key is not AllocationKey.PROPORTIONAL:
        return pool.weights
    weights = {member: max(ZERO, _direct_use(member, direct)) for member in pool.weights}
    return weights if any(weights.values()) else pool.weights


def posting_key(key: ChargeKey, member: str) -> PostingKey:
    """Return the posting key of a member (`EP`, `EC/DIGIT`) for what was charged under a key."""
    institution, _, department = member.partition("/")
    pool = key.subject.removeprefix("pool/") if key.subject.startswith("pool/") else ""
    return PostingKey(institution, department, pool, key.award, key.item, key.month, key.tariff)


def _direct_use(member: str, direct: Mapping[str, Decimal]) -> Decimal:
    """Return a member's direct amount; an institution's includes its departments'."""
    return total(amount for subject, amount in direct.items() if subject == member or subject.startswith(f"{member}/"))
