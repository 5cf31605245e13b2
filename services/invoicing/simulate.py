"""What if: past usage priced and shared under another contract, beside what it costs. Nothing is posted.

Both sides are reckoned in the same way, from the usage that was rated, so that what differs is the contracts alone.
What is reserved counts in every month; minimums and credits do where their time begins in these months.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.contract.charges import ChargeKey
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.months import first_day, midnight, next_month
from services.contract.succession import stretches
from services.invoicing.committed import committed, owed_by_institution
from services.invoicing.settle import PostingKey, settle
from services.postgres import Connection

# Usage is summed by the tariff that the contract in question has in force at its time.
_QUANTITIES = """
select use.award, use.item, use.month, valid.tariff, use.subject,
       sum(rating.billed(usage.quantity, minimum, increment)) as quantity
from rating.usage join rating.use using (use_no)
     left join unnest($2::text[], $3::date[], $4::timestamptz[], $5::timestamptz[])
         as valid(award, tariff, begins, ends)
         on valid.award = use.award and usage.time >= begins and usage.time < ends
where usage.month = any($1::text[])
      and not exists (select from rating.correction where correction.provider = use.provider and corrected = usage.id)
group by 1, 2, 3, 4, 5
"""

Totals = dict[tuple[str, str], Decimal]
"""What is owed, by month and institution, unrounded."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Usage for which the other contract has no price, or no such customer."""

    award: str
    item: str
    subject: str
    quantity: Decimal


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
    quantities: dict[str, dict[ChargeKey, Decimal]] = defaultdict(dict)
    unpriced = []
    for row in await connection.fetch(_QUANTITIES, list(months), *_valid(contract, months)):
        if row["subject"] not in contract.subjects or not contract.has_price(row["award"], row["item"], row["tariff"]):
            unpriced.append(Unpriced(row["award"], row["item"], row["subject"], row["quantity"]))
            continue
        key = ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"])
        quantities[row["month"]][key] = row["quantity"]
    owed: dict[PostingKey, Decimal] = {}
    for month in months:
        owed |= {key: share.amount for key, share in settle(contract, month, quantities[month]).items()}
    owed |= {key: share.amount for key, share in committed(contract, months, owed_by_institution(owed)).items()}
    totals: Totals = defaultdict(lambda: ZERO)
    for line, amount in owed.items():
        totals[line.month, line.institution] = add(totals[line.month, line.institution], amount)
    return dict(totals), sorted(unpriced, key=lambda each: (each.award, each.item, each.subject))


def _valid(contract: Contract, months: Sequence[str]) -> tuple[list[object], ...]:
    """Return, in columns, the stretches of the months' time in which each award's tariffs are in force."""
    days = [first_day(month) for month in months] + [first_day(next_month(months[-1]))]
    rows = [
        (award, each.tariff, midnight(each.begins, contract.zone), midnight(each.ends, contract.zone))
        for award in contract.awards
        for each in stretches(contract, award, days)
        if each.tariff is not None
    ]
    return tuple(map(list, zip(*rows, strict=True))) if rows else ([], [], [], [])
