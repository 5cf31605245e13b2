"""What past usage comes to under a contract: by the tariffs that it has in force at its time, in what it bills for.

It is summed from the events that were rated, so another contract's dates, minimums and increments count as well.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from services.contract.charges import ChargeKey
from services.contract.model import Contract
from services.contract.months import first_day, midnight, next_month
from services.contract.price import Price
from services.contract.succession import stretches
from services.postgres import Connection

# Events are summed by two small numbers, and these sums by what the numbers stand for.
_QUANTITIES = """
with valid as materialized (
    select row_number() over () as valid_no, *
    from unnest($2::text[], $3::text[], $4::date[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::text[])
         as given(award, item, tariff, begins, ends, minimum, increment)
), priced as materialized (
    select use_no, valid_no, begins, ends, valid.minimum::numeric, valid.increment::numeric
    from rating.use join valid using (award, item) where month = any($1::text[])
), summed as (
    select usage.use_no, valid_no,
           sum(case when minimum is null then quantity else rating.billed(quantity, minimum, increment) end) as quantity
    from rating.usage left join priced on priced.use_no = usage.use_no and usage.time >= begins and usage.time < ends
    where usage.month = any($1::text[]) and not exists (
        select from rating.use join rating.correction using (provider)
        where use.use_no = usage.use_no and corrected = usage.id)
    group by 1, 2
)
select use.award, use.item, use.month, valid.tariff, use.subject, sum(quantity) as quantity
from summed join rating.use using (use_no) left join valid using (valid_no)
group by 1, 2, 3, 4, 5
"""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Usage of a month for which a contract has no price, or no such customer."""

    award: str
    item: str
    subject: str
    quantity: Decimal
    month: str = ""


async def quantities(
    connection: Connection, contract: Contract, months: Sequence[str]
) -> tuple[Mapping[str, Mapping[ChargeKey, Decimal]], list[Unpriced]]:
    """Return the quantities of months that follow each other, by month, and what the contract has no price for."""
    found: dict[str, dict[ChargeKey, Decimal]] = defaultdict(dict)
    unpriced = []
    for row in await connection.fetch(_QUANTITIES, list(months), *_valid(contract, months)):
        if row["tariff"] is None or row["subject"] not in contract.subjects:
            unpriced.append(Unpriced(row["award"], row["item"], row["subject"], row["quantity"], row["month"]))
            continue
        key = ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"])
        found[row["month"]][key] = row["quantity"]
    return found, sorted(unpriced, key=lambda each: (each.month, each.award, each.item, each.subject))


def _valid(contract: Contract, months: Sequence[str]) -> tuple[list[Any], ...]:
    """Return, in columns, the stretches of the months' time in which an item has a price, and what that bills for."""
    rows = [
        (award, item, each.tariff, midnight(each.begins, contract.zone), midnight(each.ends, contract.zone),
         str(price.minimum), str(price.increment))
        for month in months
        for award in contract.awards
        for pricing in [contract.rerated.get((award, month), contract)]
        for each in stretches(pricing, award, (first_day(month), first_day(next_month(month))))
        for item, price in _prices(contract, pricing, award, each.tariff).items()
    ]  # fmt: skip
    return tuple(map(list, zip(*rows, strict=True))) if rows else ([],) * 7


def _prices(contract: Contract, pricing: Contract, award: str, tariff: date | None) -> dict[str, Price]:
    """Return a tariff's prices: those of a month's re-rating before those of the contract."""
    both = (contract, pricing)
    found = [each for source in both for each in source.tariffs_by_award.get(award, ()) if each.valid_from == tariff]
    return {item: price for each in found for item, price in each.prices.items()}
