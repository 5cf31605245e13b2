"""What if: past usage priced and shared under another contract, beside what it costs. Nothing is posted.

Both sides are reckoned in the same way, from the usage that was rated, so that what differs is the contracts alone.
What is reserved counts in every month; minimums and credits do where their time begins in these months.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.invoicing.committed import committed, owed_by_institution
from services.invoicing.settle import PostingKey, settle
from services.invoicing.used import Unpriced, quantities
from services.postgres import Connection

Totals = dict[tuple[str, str], Decimal]
"""What is owed, by month and institution, unrounded."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What past usage costs under the contract in force and under another, in each one's currency."""

    now: Totals
    then: Totals
    unpriced: list[Unpriced]

    def by_institution(self) -> list[tuple[str, Decimal, Decimal]]:
        """Return each institution with both sums over all months, in the order of their codes."""
        sums: dict[str, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
        for side, totals in enumerate((self.now, self.then)):
            for (_, institution), amount in totals.items():
                sums[institution][side] = add(sums[institution][side], amount)
        return [(institution, sums[institution][0], sums[institution][1]) for institution in sorted(sums)]


async def simulate(connection: Connection, now: Contract, then: Contract, months: Sequence[str]) -> Simulation:
    """Price and share the usage of some months under two contracts."""
    actual, _ = await _totals(connection, now, months)
    other, unpriced = await _totals(connection, then, months)
    return Simulation(actual, other, unpriced)


async def _totals(connection: Connection, contract: Contract, months: Sequence[str]) -> tuple[Totals, list[Unpriced]]:
    used, unpriced = await quantities(connection, contract, months)
    owed: dict[PostingKey, Decimal] = {}
    for month in months:
        owed |= {key: share.amount for key, share in settle(contract, month, used.get(month, {})).items()}
    owed |= {key: share.amount for key, share in committed(contract, months, owed_by_institution(owed)).items()}
    totals: Totals = defaultdict(lambda: ZERO)
    for line, amount in owed.items():
        totals[line.month, line.institution] = add(totals[line.month, line.institution], amount)
    return dict(totals), unpriced
