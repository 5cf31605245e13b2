"""What an institution owes a lot's awards for a month, as the close would make it: usage, and what was promised.

Law: it is what is settled and committed, and no other reckoning: so what is compared is what would be invoiced.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from services.contract.charges import ChargeKey
from services.contract.commitments import Minimum
from services.contract.model import Contract, payer
from services.contract.money import ZERO, add, subtract, total
from services.contract.months import month_of, months_between
from services.invoicing.committed import committed, owed_by_institution
from services.invoicing.settle import PostingKey, Share, amounts, settle


@dataclass(frozen=True, slots=True)
class Month:
    """A month as it was used: by `quantities`, of all; `before` is what was owed for the months before it.

    `awards` are those of the lot.
    """

    contract: Contract
    month: str
    institution: str
    awards: tuple[str, ...]
    quantities: Mapping[ChargeKey, Decimal]
    before: Mapping[PostingKey, Decimal]


@dataclass(frozen=True, slots=True)
class Besides:
    """What an institution owes an award besides its usage, or has paid already, and `why`.

    It is due with the month `due`. For a later month it is what a minimum's period is short so far, and no part of the
    month's amount.
    """

    award: str
    item: str
    why: str
    amount: Decimal
    due: str


@dataclass(frozen=True, slots=True)
class Due:
    """What it owes a lot's awards for a month: its own `usage`, with the fees on it, and what is `besides`."""

    month: str
    usage: Decimal
    besides: tuple[Besides, ...]

    @property
    def promised(self) -> Decimal:
        """What is due besides usage: reserved and unused, short of a minimum, less what credit pays."""
        return total(each.amount for each in self.besides if each.due == self.month)

    @property
    def amount(self) -> Decimal:
        """What is due in all."""
        return add(self.usage, self.promised)


def due(month: Month, quantities: Mapping[ChargeKey, Decimal]) -> Due:
    """Return what the close would make due to the lot's awards if these were the month's quantities, of all."""
    owed = amounts(month.contract, quantities)
    usage = total(share.amount for key, share in owed.items() if is_own(month, key))
    settled = {key: share.amount for key, share in settle(month.contract, month.month, quantities).items()}
    besides = [*_unused(month, owed, settled), *_committed(month, settled), *_short_so_far(month, settled)]
    return Due(month.month, usage, tuple(besides))


def is_own(month: Month, key: ChargeKey) -> bool:
    """Tell whether a key is the institution's own use of the lot, no pool's."""
    return key.award in month.awards and payer(key.subject) == month.institution


def _unused(month: Month, owed: Mapping[ChargeKey, Share], settled: Mapping[PostingKey, Decimal]) -> Iterator[Besides]:
    """Yield by how much what is settled of an item is more than its usage: what was reserved of it and is unused."""
    unused: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for line, amount in settled.items():
        if line.award in month.awards and line.institution == month.institution and not line.pool:
            unused[line.award, line.item] = add(unused[line.award, line.item], amount)
    for key, share in owed.items():
        if is_own(month, key):
            unused[key.award, key.item] = subtract(unused[key.award, key.item], share.amount)
    for (award, item), amount in sorted(unused.items()):
        if amount:
            yield Besides(award, item, "reserved and unused", amount, month.month)


def _committed(month: Month, settled: Mapping[PostingKey, Decimal]) -> Iterator[Besides]:
    """Yield what is due of minimums and credits with the month itself."""
    contract = month.contract
    months = months_between(month_of(contract.starts), month.month)
    minimums = {(each.award, each.item) for each in contract.minimums}
    made = committed(contract, months, owed_by_institution({**month.before, **settled}))
    for line, share in sorted(made.items()):
        if line.award in month.awards and (line.institution, line.month) == (month.institution, month.month):
            why = "short of the minimum" if (line.award, line.item) in minimums else "prepaid credit"
            yield Besides(line.award, line.item, why, share.amount, month.month)


def _short_so_far(month: Month, settled: Mapping[PostingKey, Decimal]) -> Iterator[Besides]:
    """Yield what minimums are short so far whose period goes on after the month, if the institution may owe it."""
    owed = owed_by_institution({**month.before, **settled})
    for minimum in month.contract.minimums:
        period = minimum.period_of(month.month)
        mine = minimum.award in month.awards and minimum.payer in {None, month.institution}
        if mine and period and period[-1] != month.month:
            used = total(_counted(minimum, owed.get((each, minimum.award), {})) for each in period)
            if used < minimum.amount:
                why = "short of the minimum so far" + ("" if minimum.payer else ", of all")
                yield Besides(minimum.award, minimum.item, why, subtract(minimum.amount, used), period[-1])


def _counted(minimum: Minimum, owed: Mapping[str, Decimal]) -> Decimal:
    return owed.get(minimum.payer, ZERO) if minimum.payer else total(owed.values())
