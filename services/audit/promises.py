"""How the line of a minimum or of prepaid credit comes about, from what was owed month by month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from services.audit.parts import Part, check
from services.contract.commitments import Minimum, Prepaid
from services.contract.model import Contract
from services.contract.money import ZERO, add, plain, total
from services.invoicing.committed import Owed, Promised, Why, committed, promised
from services.invoicing.settle import NOTHING, PostingKey


@dataclass(frozen=True, slots=True)
class Kept:
    """What is due on a line because it was promised, and what brings it about."""

    due: Decimal
    parts: list[Part]
    promises: list[dict[str, Any]]


def keep(contract: Contract, key: PostingKey, months: Sequence[str], owed: Owed) -> Kept:
    """Take apart what is due on the line of a promise, of what is owed in months that follow each other."""
    mine = [
        each
        for each in promised(contract, months, owed)
        if (each.source.award, each.source.item, each.month) == (key.award, key.item, key.month)
        and key.institution in each.parts
    ]
    due = committed(contract, months, owed).get(key, NOTHING).amount
    parts = [Part(_what(contract, each, key.institution), each.parts[key.institution]) for each in mine]
    check(f"what is promised on {key.item} of {key.award}", (each.amount for each in parts), due)
    return Kept(due, parts, [_told(contract, each) for each in mine])


def _what(contract: Contract, made: Promised, institution: str) -> str:
    """Say why something is due, and of how much an institution's part is one."""
    whole = total(made.parts.values())
    shared = ""
    if len(made.weights) > 1 or made.weights.keys() - {institution}:
        weights = total(made.weights.values())
        shared = f"; {plain(made.weights[institution])} of {plain(weights)} of {plain(whole)}"
    if made.why is Why.SHORT:
        short = f"{plain(whole)}, {plain(made.basis)} of {plain(made.source.amount)} {contract.currency} was used"
        return f"short by {short}{shared}"
    if made.why is Why.DRAWN:
        return f"drawn from the credit, of which {plain(made.basis)} {contract.currency} was left{shared}"
    return f"the credit's cost, for {plain(made.source.amount)} {contract.currency}{shared}"


def _told(contract: Contract, made: Promised) -> dict[str, Any]:
    whole = total(made.parts.values())
    names = sorted(made.weights.keys() | made.parts.keys())
    left = add(made.basis, whole) if made.why is Why.DRAWN else None
    return {
        "why": made.why.value,
        "terms": _terms(contract, made.source, made.month),
        "basis": made.basis,
        "amount": whole,
        "left": left,
        "shares": [
            {"institution": each, "weight": made.weights.get(each), "amount": made.parts.get(each, ZERO)}
            for each in names
        ],
    }


def _terms(contract: Contract, source: Minimum | Prepaid, month: str) -> str:
    """Say what was agreed."""
    last = source.ends - timedelta(days=1)
    who = source.payer or "all together"
    if isinstance(source, Prepaid):
        cost = f"for {plain(source.cost)}" if source.cost else "granted"
        paid = f"{plain(source.amount)} {contract.currency} of credit, {cost}"
        return f"{paid}, for {source.award}, {who}, from {source.starts} to {last}"
    period = source.months(month)
    during = period[0] if len(period) == 1 else f"{period[0]} to {period[-1]}"
    often = "every month" if source.period == 1 else "every year"
    least = f"at least {plain(source.amount)} {contract.currency} {often} for {source.award}, {who}"
    return f"{least}, from {source.starts} to {last}: this is for {during}"
