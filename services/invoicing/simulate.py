"""What if: past usage priced and shared under another contract, beside what it costs. Nothing is posted.

Both sides are reckoned in the same way, from the usage that was rated, so that what differs is the contracts alone.
A contract with minimums or credits is reckoned from its first month on, as if it had been in force since: what earlier
months used and drew counts. Only the months that are asked for are in the result.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from services.contract.charges import ChargeKey, ProvisionalRate, provisional_rates
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.months import month_of, months_between
from services.invoicing.committed import committed, committed_lines, owed_by_institution
from services.invoicing.settle import PostingKey, settle
from services.invoicing.used import Unpriced, quantities
from services.postgres import Connection

Totals = dict[tuple[str, str], Decimal]
"""What is owed, by month and institution, unrounded."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What past usage costs under the contract in force and under another, in each one's currency.

    What is `unpriced` under the other is in no sum; `provisional` are the rates of both that are not their month's own.
    """

    now: Totals
    then: Totals
    unpriced: list[Unpriced]
    provisional: list[ProvisionalRate] = field(default_factory=list)

    def by_institution(self) -> list[tuple[str, Decimal, Decimal]]:
        """Return each institution with both sums over all months, in the order of their codes."""
        sums: dict[str, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
        for side, totals in enumerate((self.now, self.then)):
            for (_, institution), amount in totals.items():
                sums[institution][side] = add(sums[institution][side], amount)
        return [(institution, sums[institution][0], sums[institution][1]) for institution in sorted(sums)]


async def simulate(connection: Connection, now: Contract, then: Contract, months: Sequence[str]) -> Simulation:
    """Price and share the usage of months that follow each other under two contracts.

    What has no price under the other is named, also of earlier months that count toward its minimums and credits.
    """
    actual, _ = await owed(connection, now, months)
    other, unpriced = await owed(connection, then, months)
    provisional = {*_provisional(now, actual), *_provisional(then, other)}
    return Simulation(_totals(actual), _totals(other), unpriced, sorted(provisional))


def _provisional(contract: Contract, lines: Iterable[PostingKey]) -> list[ProvisionalRate]:
    """Return the rates of what is priced at another month's; promises of amounts have no price."""
    promises = committed_lines(contract)
    keys = (ChargeKey(*line[3:], line.institution) for line in lines if (line.award, line.item) not in promises)
    return provisional_rates(contract, keys)


async def owed(
    connection: Connection, contract: Contract, months: Sequence[str]
) -> tuple[dict[PostingKey, Decimal], list[Unpriced]]:
    """Return what is owed for months that follow each other, unrounded, and usage for which there is no price."""
    first = min(month_of(contract.starts), months[0]) if committed_lines(contract) else months[0]
    every = months_between(first, months[-1])
    used, unpriced = await quantities(connection, contract, every)
    lines: dict[PostingKey, Decimal] = {}
    for month in every:
        lines |= {key: share.amount for key, share in settle(contract, month, used.get(month, {})).items()}
    lines |= {key: share.amount for key, share in committed(contract, every, owed_by_institution(lines)).items()}
    return {line: amount for line, amount in lines.items() if line.month >= months[0]}, unpriced


def _totals(lines: Mapping[PostingKey, Decimal]) -> Totals:
    totals: Totals = defaultdict(lambda: ZERO)
    for line, amount in lines.items():
        totals[line.month, line.institution] = add(totals[line.month, line.institution], amount)
    return dict(totals)
