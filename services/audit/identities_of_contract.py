"""The identities that the contract has a say in: prices of meters, bases of fees, tariffs in force, ceilings.

Each check returns its breaches, and is to be made in a transaction.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal

from services.contract.charges import ChargeKey, MeterKey, price_of
from services.contract.fees import fee_quantities, is_fee
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.months import first_day, midnight, next_month
from services.contract.succession import stretches
from services.invoicing import sql
from services.invoicing.ceilings import CeilingKey, Level, ceilings, reached
from services.postgres import Connection

METERS_AT_ONCE = 200

_METERS = "select award, item, month, tariff, scope, quantity, amount from rating.meter"


async def _meters(connection: Connection, contract: Contract) -> tuple[str, ...]:
    breaches = []
    rows = connection.cursor(_METERS, prefetch=METERS_AT_ONCE)  # a service that audits is never kept from its own work
    async for row in rows:
        key = MeterKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["scope"])
        try:
            right = price_of(contract, key).amount(row["quantity"])
        except KeyError as error:
            if row["quantity"] == row["amount"] == 0:  # a re-rating took back all of it
                continue
            breaches.append(f"meter {'/'.join(key)}: the contract has no price for it any more ({error})")
            continue
        if right != row["amount"]:
            breaches.append(f"meter {'/'.join(key)}: {row['quantity']} cost {right}, the meter says {row['amount']}")
    return tuple(breaches)


_CHARGED = """
select award, item, month, tariff, subject, sum(quantity) as quantity, sum(amount) as amount
from rating.charge where (award, tariff) in (select * from unnest($1::text[], $2::date[]))
group by award, item, month, tariff, subject
"""


async def _fees(connection: Connection, contract: Contract) -> tuple[str, ...]:
    if not contract.fees:
        return ()
    awards, tariffs = zip(*contract.fees, strict=True)
    rows = await connection.fetch(_CHARGED, awards, [date.fromisoformat(day) for day in tariffs])
    charged = {
        ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"]): row
        for row in rows
    }
    amounts = {key: row["amount"] for key, row in charged.items()}
    right = {
        key: money
        for number in range(contract.fee_rounds)
        for key, money in fee_quantities(contract, number, amounts).items()
    }
    stored = {key: row["quantity"] for key, row in charged.items() if is_fee(contract, key)}
    return tuple(
        f"fee {'/'.join(key)}: is on {stored.get(key, ZERO)}, its charges add up to {right.get(key, ZERO)}"
        for key in sorted(right.keys() | stored.keys())
        if right.get(key, ZERO) != stored.get(key, ZERO)
    )


_UNDER_ANOTHER = """
select count(*) from rating.usage join rating.billing using (use_no)
where award = $1 and usage.month = $2 and tariff = $3 and time >= billing.begins and time < billing.ends
    and not exists (select from unnest($4::timestamptz[], $5::timestamptz[]) as valid(begins, ends)
                    where time >= valid.begins and time < valid.ends)
"""


async def _tariffs(connection: Connection, contract: Contract) -> tuple[str, ...]:
    """Find usage priced under another tariff than the newest contract, or its month's re-rating, has in force then.

    `apply` refuses a contract that would bring this about; usage still under way at that moment is found here.
    """
    breaches = []
    for award, month, tariff in await connection.fetch("select distinct award, month, tariff from rating.billing"):
        first = first_day(month)
        span = (first, first_day(next_month(month)))
        days = stretches(contract, award, span)
        if rerated := contract.rerated.get((award, month)):
            days += stretches(rerated, award, span)
        valid = [each for each in days if each.tariff == tariff]
        if valid == days:
            continue
        begins = [midnight(each.begins, contract.zone) for each in valid]
        ends = [midnight(each.ends, contract.zone) for each in valid]
        count = await connection.fetchval(_UNDER_ANOTHER, award, month, tariff, begins, ends)
        if count:
            breaches.append(f"{award} {month}: {count} events priced under the tariff of {tariff}, another is in force")
    return tuple(breaches)


async def _lots(connection: Connection, contract: Contract) -> tuple[str, ...]:
    posted: dict[str, Decimal] = {}
    rows = await connection.fetch(
        "select award, -sum(amount) as amount from invoicing.posting where side = 'award' group by award"
    )
    for row in rows:
        lot = contract.awards[row["award"]].lot
        posted[lot] = add(posted.get(lot, ZERO), row["amount"])
    spent = {
        row["code"]: row["amount"]
        for row in await connection.fetch("select code, amount from invoicing.spent where level = 'lot'")
    }
    return tuple(
        f"lot {lot}: {spent.get(lot, ZERO)} spent, {posted.get(lot, ZERO)} posted"
        for lot in sorted(set(posted) | set(spent))
        if posted.get(lot, ZERO) != spent.get(lot, ZERO)
    )


async def _alerts(connection: Connection, contract: Contract) -> tuple[str, ...]:
    agreed = ceilings(contract)
    raised = {
        (CeilingKey(Level(row["level"]), row["code"]), row["threshold"], row["ceiling"])
        for row in await connection.fetch("select level, code, threshold, ceiling from invoicing.alert")
    }
    breaches = []
    for row in await connection.fetch(sql.SPENT):
        key = CeilingKey(Level(row["level"]), row["code"])
        if key not in agreed:
            continue
        breaches += [
            f"{key.level} {key.code}: {threshold} per cent of {agreed[key]} reached with {row['amount']}, no alert"
            for threshold in reached(contract.thresholds, agreed[key], row["amount"])
            if (key, threshold, agreed[key]) not in raised
        ]
    return tuple(breaches)


OF_CONTRACT: Mapping[str, Callable[[Connection, Contract], Awaitable[tuple[str, ...]]]] = {
    "each meter = price of its quantity": _meters,
    "each fee is on its charges": _fees,
    "usage is priced under the tariff in force": _tariffs,
    "ceilings = postings: lots": _lots,
    "each threshold reached has its alert": _alerts,
}
