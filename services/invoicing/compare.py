"""Which supplier of a lot would have been cheapest for what an institution used.

Every offer is reckoned from the same events, at the prices in force at their times: an item that an award prices is
taken as it is, another is made up of the parts that the contract names as its equivalent. What can't be made up is
named, and so is how much ran in regions that the award does not offer.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from services.contract.charges import ChargeKey, price_of
from services.contract.model import Contract
from services.contract.money import ZERO, add, multiply, total
from services.contract.months import first_day, midnight, next_month
from services.contract.succession import stretches
from services.invoicing.settle import amounts
from services.postgres import Connection

_USED = """
select use.award, use.item, use.region, use.subject, valid.tariff, usage.quantity, count(*) as events
from rating.usage join rating.use using (use_no)
     left join unnest($4::date[], $5::timestamptz[], $6::timestamptz[]) as valid(tariff, begins, ends)
         on usage.time >= begins and usage.time < ends
where usage.month = $1 and use.award = any($2::text[]) and split_part(use.subject, '/', 1) = $3
      and not exists (select from rating.correction where correction.provider = use.provider and corrected = usage.id)
group by 1, 2, 3, 4, 5, 6
"""
_PAID = """
select coalesce(sum(amount), 0) from rating.charge
where month = $1 and award = any($2::text[]) and split_part(subject, '/', 1) = $3
"""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the use would cost under an award, without what it can't deliver.

    `missing` are the items that it neither prices nor can make up, `elsewhere` the regions in use that it lacks.
    """

    award: str
    amount: Decimal
    missing: tuple[str, ...]
    elsewhere: tuple[str, ...]

    @property
    def suits(self) -> bool:
        """Tell whether the award could deliver all of it, where it ran."""
        return not self.missing and not self.elsewhere


@dataclass(frozen=True, slots=True)
class Used:
    """So many events of one quantity, in the tariff that the award in question has in force at their time."""

    item: str
    region: str
    subject: str
    tariff: date | None
    quantity: Decimal
    events: int


async def compare(
    connection: Connection, contract: Contract, lot: str, institution: str, month: str
) -> tuple[Decimal, list[Offer]]:
    """Return what an institution's own use of a lot was charged in a month, and each award's offer for it.

    Offers that suit come first, the cheapest before the others. Pools are not in it.
    """
    awards = [code for code, award in contract.awards.items() if award.lot == lot]
    paid: Decimal = await connection.fetchval(_PAID, month, awards, institution)
    offers = []
    for award in awards:
        pricing = contract.rerated.get((award, month), contract)
        days = stretches(pricing, award, (first_day(month), first_day(next_month(month))))
        rows = await connection.fetch(
            _USED, month, awards, institution, [each.tariff for each in days],
            [midnight(each.begins, contract.zone) for each in days],
            [midnight(each.ends, contract.zone) for each in days],
        )  # fmt: skip
        used = [
            Used(row["item"], row["region"], row["subject"], row["tariff"], row["quantity"], row["events"])
            for row in rows
        ]
        offers.append(offer(contract, award, month, used))
    return paid, sorted(offers, key=lambda each: (not each.suits, each.amount, each.award))


def offer(contract: Contract, award: str, month: str, used: Iterable[Used]) -> Offer:
    """Return what use would cost under an award."""
    quantities: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    missing, regions = set(), set()
    for each in used:
        regions.add(each.region)
        parts = made_of(contract.rerated.get((award, month), contract), award, each.item, each.tariff)
        if parts is None:
            missing.add(each.item)
            continue
        assert each.tariff is not None, "it has parts that have prices"
        for item, factor in parts.items():
            key = ChargeKey(award, item, month, each.tariff.isoformat(), each.subject)
            billed = price_of(contract, key).billed(multiply(each.quantity, factor))
            quantities[key] = add(quantities[key], multiply(billed, Decimal(each.events)))
    offered = contract.awards[award].regions or tuple(contract.regions)
    amount = total(share.amount for share in amounts(contract, quantities).values())
    return Offer(award, amount, tuple(sorted(missing)), tuple(sorted(regions - set(offered))))


def made_of(contract: Contract, award: str, item: str, tariff: date | None) -> dict[str, Decimal] | None:
    """Return the items of a tariff, and how much of each, that one unit of an item is; None where it can't be had."""
    for each in contract.tariffs_by_award[award]:
        if each.valid_from == tariff:
            metered = set(each.metered)
            if item in metered:
                return {item: Decimal(1)}
            parts = contract.equivalences.get(item, {})
            return dict(parts) if parts and metered >= parts.keys() else None
    return None
