"""Which supplier of a lot would have been cheapest: an institution's use, priced under each award's offer.

Law: every side is what the close would make due for the month to the lot's awards, whoever delivers: with what was
reserved, short of a minimum or paid in advance there. For an award's offer the institution's own use moves to it as a
whole; all that others used stays where it was. An item that the award prices is taken as it is, another is made up of
the parts that the contract names as its equivalent. What can't be made up is named, and so is what ran in regions that
the award does not offer: such an offer is incomplete. Its amount is of the rest alone, so it is compared with nothing
and never the cheapest.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from services.contract.charges import ChargeKey, ProvisionalRate, price_of, promised_meters, provisional_rates
from services.contract.model import Contract
from services.contract.money import ZERO, add, multiply
from services.contract.months import first_day, midnight, month_of, months_between, next_month
from services.contract.succession import stretches
from services.invoicing import sql
from services.invoicing.committed import committed_lines
from services.invoicing.dues import Due, Month, due, is_own
from services.invoicing.rows import charge_key
from services.invoicing.settle import PostingKey, settle
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


@dataclass(frozen=True, slots=True)
class Used:
    """So many events of one quantity, in the tariff that the award in question has in force at their time."""

    item: str
    region: str
    subject: str
    tariff: date | None
    quantity: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What is due where an award delivers, without what it can't.

    `missing` are the items that it neither prices nor can make up, and how much of them was used; `elsewhere` the
    regions in use that it lacks, `provisional` the rates that it is priced at until their months have their own.
    """

    award: str
    due: Due
    missing: Mapping[str, Decimal]
    elsewhere: tuple[str, ...]
    provisional: tuple[ProvisionalRate, ...] = ()

    @property
    def complete(self) -> bool:
        """Tell whether the award could deliver all of it, where it ran."""
        return not self.missing and not self.elsewhere


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is due `as_used`, and under each offer: the complete ones first, the cheapest before the others."""

    as_used: Due
    offers: list[Offer]
    provisional: list[ProvisionalRate]
    anything_used: bool = True

    @property
    def cheapest(self) -> tuple[str, ...]:
        """The awards whose offers are complete and cost least: none where no offer is complete, or nothing was used."""
        if not self.anything_used:
            return ()
        least = min((each.due.amount for each in self.offers if each.complete), default=None)
        return tuple(each.award for each in self.offers if each.complete and each.due.amount == least)


async def compare(connection: Connection, contract: Contract, lot: str, institution: str, month: str) -> Comparison:
    """Compare what an institution's own use of a lot costs in a month with each award's offer; pools are left out."""
    awards = tuple(code for code, award in contract.awards.items() if award.lot == lot)
    promises = any(award in awards for award, _ in committed_lines(contract))
    earlier = months_between(month_of(contract.starts), month)[:-1] if promises else []
    before: dict[PostingKey, Decimal] = {}
    for each in earlier:
        settled = settle(contract, each, await _charged(connection, each))
        before |= {key: share.amount for key, share in settled.items()}
    used = Month(contract, month, institution, awards, await _charged(connection, month), before)
    offers = [offer(used, award, await _used(connection, used, award)) for award in awards]
    in_lot = [key for key in used.quantities if key.award in awards]
    promised = [key for key in promised_meters(contract, month) if key.award in awards]
    provisional = {rate for each in offers for rate in each.provisional}
    provisional.update(provisional_rates(contract, [*in_lot, *promised]))
    offers.sort(key=lambda each: (not each.complete, each.due.amount, each.award))
    anything_used = any(is_own(used, key) for key in used.quantities)
    return Comparison(due(used, used.quantities), offers, sorted(provisional), anything_used)


async def _charged(connection: Connection, month: str) -> dict[ChargeKey, Decimal]:
    rows = await connection.fetch(sql.CHARGED_QUANTITIES, month)
    return {charge_key(row): row["quantity"] for row in rows}


async def _used(connection: Connection, month: Month, award: str) -> list[Used]:
    contract = month.contract
    pricing = contract.rerated.get((award, month.month), contract)
    days = stretches(pricing, award, (first_day(month.month), first_day(next_month(month.month))))
    rows = await connection.fetch(
        _USED, month.month, list(month.awards), month.institution, [each.tariff for each in days],
        [midnight(each.begins, contract.zone) for each in days], [midnight(each.ends, contract.zone) for each in days],
    )  # fmt: skip
    return [
        Used(row["item"], row["region"], row["subject"], row["tariff"], row["quantity"], row["events"]) for row in rows
    ]


def offer(month: Month, award: str, used: Iterable[Used]) -> Offer:
    """Return what is due where an award delivers all that the institution used of the lot."""
    contract = month.contract
    moved: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    missing: dict[str, Decimal] = defaultdict(lambda: ZERO)
    regions = set()
    for each in used:
        regions.add(each.region)
        parts = made_of(contract.rerated.get((award, month.month), contract), award, each.item, each.tariff)
        if parts is None:
            missing[each.item] = add(missing[each.item], multiply(each.quantity, Decimal(each.events)))
            continue
        assert each.tariff is not None, "it has parts that have prices"
        for item, factor in parts.items():
            key = ChargeKey(award, item, month.month, each.tariff.isoformat(), each.subject)
            billed = price_of(contract, key).billed(multiply(each.quantity, factor))
            moved[key] = add(moved[key], multiply(billed, Decimal(each.events)))
    others = {key: quantity for key, quantity in month.quantities.items() if not is_own(month, key)}
    offered = contract.awards[award].regions or tuple(contract.regions)
    return Offer(
        award,
        due(month, others | moved),
        dict(sorted(missing.items())),
        tuple(sorted(regions - set(offered))),
        tuple(provisional_rates(contract, moved)),
    )


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
