"""Posting: what each institution owes of a batch of charges, for now.

Law: the postings of a charge add up to it. Fixed and equal pool keys are applied to the running total and
posted as a difference, so that they come out the same whatever the batches were; a proportional key is
applied as direct use stands at the time. Settling at the close makes every share final.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from services.contract.charges import ChargeKey
from services.contract.model import AllocationKey, Contract
from services.contract.money import add, subtract
from services.invoicing.settle import NOTHING, PostingKey, Share, pool_parts, posting_key


@dataclass(frozen=True, slots=True)
class Charged:
    """A charge, and of a pool's, what the same key was charged in all with it."""

    key: ChargeKey
    share: Share
    running: Share | None


def postings(contract: Contract, charged: Iterable[Charged], direct: Mapping[str, Decimal]) -> dict[PostingKey, Share]:
    """Return the institutions' postings; `direct` is each subject's own amount in the month, for proportional pools."""
    made: dict[PostingKey, Share] = defaultdict(lambda: NOTHING)
    for each in charged:
        for member, part in _parts(contract, each, direct).items():
            key = posting_key(each.key, member)
            made[key] = plus(made[key], part)
    return {key: share for key, share in made.items() if share != NOTHING}


def plus(left: Share, right: Share) -> Share:
    """Return the sum of two shares."""
    return Share(add(left.quantity, right.quantity), add(left.amount, right.amount))


def minus(left: Share, right: Share) -> Share:
    """Return the difference of two shares."""
    return Share(subtract(left.quantity, right.quantity), subtract(left.amount, right.amount))


def _parts(contract: Contract, charged: Charged, direct: Mapping[str, Decimal]) -> Mapping[str, Share]:
    subject = charged.key.subject
    if not subject.startswith("pool/"):
        return {subject: charged.share}
    pool = contract.pool(subject.removeprefix("pool/"), charged.key.month)
    if pool.key is AllocationKey.PROPORTIONAL:
        return pool_parts(pool, charged.share, direct)
    assert charged.running is not None, "a pool's charge comes with what the pool was charged in all"
    before = pool_parts(pool, minus(charged.running, charged.share), direct)
    after = pool_parts(pool, charged.running, direct)
    return {member: minus(after[member], before[member]) for member in after}
