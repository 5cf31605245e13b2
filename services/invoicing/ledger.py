"""The ledger: postings in double entry, what is spent, and the alerts that follow from it.

Everything that one batch of charges, or one close, brings about commits in one transaction: its entry, its
postings, the spending and the thresholds it reaches.
"""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from services.contract.charges import ChargeKey
from services.contract.model import Contract
from services.contract.money import ZERO, add, opposite, plain
from services.contract.months import next_month
from services.decisions.enter import enter_late
from services.invoicing import sql
from services.invoicing.ceilings import CeilingKey, Level, ceilings, reached, spending
from services.invoicing.post import Charged, postings
from services.invoicing.rows import charge_key, share_of
from services.invoicing.settle import PostingKey, Share
from services.kafka import Place
from services.postgres import Connection, copy_in

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def post_charges(pool: asyncpg.Pool, batch: Mapping[str, Any], contract: Contract) -> bool:
    """Post a record of `schemas/charge_batch.avsc`; False when it was posted already."""
    accepted_at = EPOCH + timedelta(microseconds=batch["accepted_at"])
    number = uuid.UUID(batch["batch"])
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(sql.HOLD_MONTHS)
        closed_until = await connection.fetchval(sql.ENTER_BATCH, number, batch["version"], accepted_at)
        if closed_until is None:
            return False
        invoice_months = await invoice_months_of(connection, {line["month"] for line in batch["lines"]})
        charged = await _add_charged(connection, batch["lines"])
        shares = await _shares(connection, contract, charged)
        entry = await connection.fetchval(sql.ENTER_ENTRY, "charge", number, None)
        await post(connection, contract, entry, shares, invoice_months)
        if any(month <= closed_until for month in invoice_months):
            await enter_late(connection, number)
        return True


async def invoice_months_of(connection: Connection, months: set[str]) -> dict[str, str]:
    """Return the month whose invoice usage of each month goes on; whoever asks holds the months."""
    targets = {month: month for month in months}
    while True:
        wanted = sorted(set(targets.values()))
        await connection.execute(sql.ENTER_MONTHS, wanted)
        closed = {row["month"] for row in await connection.fetch(sql.CLOSED_OF, wanted)}
        if not closed:
            return targets
        targets = {month: next_month(target) if target in closed else target for month, target in targets.items()}


async def post(
    connection: Connection,
    contract: Contract,
    entry: int,
    shares: Mapping[PostingKey, Share],
    invoice_months: Mapping[str, str],
) -> None:
    """Write an entry's postings, add to what is spent, and raise the alerts that this reaches.

    The postings are copied in; their codes have no character that means something to COPY.
    """
    owed: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    rows = []
    for key, share in shares.items():
        owed[key.month, key.award] = add(owed[key.month, key.award], share.amount)
        rows.append(
            f"{entry}\tinstitution\t{invoice_months[key.month]}\t{key.month}\t{key.award}\t{key.institution}"
            f"\t{key.department}\t{key.pool}\t{key.item}\t{key.tariff}\t{plain(share.quantity)}\t{plain(share.amount)}\n"
        )
    rows += [
        f"{entry}\taward\t{invoice_months[month]}\t{month}\t{award}\t\t\t\t\t\\N\t0\t{plain(opposite(amount))}\n"
        for (month, award), amount in owed.items()
    ]
    if rows:
        await copy_in(connection, "posting", sql.POSTING_COLUMNS, "".join(rows).encode(), schema="invoicing")
    await spend(connection, contract, spending(contract, ((key, share.amount) for key, share in shares.items())))


async def spend(connection: Connection, contract: Contract, spent: Mapping[CeilingKey, Decimal]) -> None:
    """Add to what is spent, or take off, and raise the alerts that this reaches."""
    if not spent:
        return
    rows = await connection.fetch(
        sql.ADD_SPENT,
        [key.level for key in spent],
        [key.code for key in spent],
        [plain(each) for each in spent.values()],
    )
    await _raise_alerts(connection, contract, rows)


async def park(pool: asyncpg.Pool, place: Place, error: str, payload: bytes) -> None:
    """Keep a message that can't be read, whole."""
    async with pool.acquire() as connection:
        await connection.execute(sql.PARK, *place, error, payload)


async def _add_charged(connection: Connection, lines: list[dict[str, str]]) -> list[Charged]:
    charged = {
        ChargeKey(line["award"], line["item"], line["month"], line["tariff"], line["subject"]): Share(
            Decimal(line["quantity"]), Decimal(line["amount"])
        )
        for line in lines
    }
    if len(charged) != len(lines):
        raise ValueError(f"{len(lines)} lines of charges are about {len(charged)} things: a thing has one line")
    award, item, month, tariff, subject = map(list, zip(*charged, strict=True))
    rows = await connection.fetch(
        sql.ADD_CHARGED,
        award,
        item,
        month,
        [date.fromisoformat(day) for day in tariff],
        subject,
        [line["quantity"] for line in lines],
        [line["amount"] for line in lines],
    )
    running = {charge_key(row): share_of(row) for row in rows}
    return [Charged(key, share, running.get(key)) for key, share in charged.items()]


async def _shares(connection: Connection, contract: Contract, charged: list[Charged]) -> dict[PostingKey, Share]:
    by_month: dict[str, list[Charged]] = defaultdict(list)
    for each in charged:
        by_month[each.key.month].append(each)
    shares: dict[PostingKey, Share] = {}
    for month, mine in by_month.items():
        has_pool = any(each.key.subject.startswith("pool/") for each in mine)
        rows = await connection.fetch(sql.DIRECT_AMOUNTS, month) if has_pool else []
        shares |= postings(contract, mine, {row["subject"]: row["amount"] for row in rows})
    return shares


async def raise_alerts(pool: asyncpg.Pool, contract: Contract) -> None:
    """Raise what a contract's ceilings are owed and no posting raised: a new version may have lower ones."""
    async with pool.acquire() as connection:
        await _raise_alerts(connection, contract, await connection.fetch(sql.SPENT), await connection.fetch(sql.RAISED))


async def _raise_alerts(
    connection: Connection, contract: Contract, spent: Sequence[asyncpg.Record], raised: Sequence[asyncpg.Record] = ()
) -> None:
    """Raise every threshold that is reached, but for those of which it is known that they are raised."""
    agreed = ceilings(contract)
    known = {(row["level"], row["code"], row["threshold"], row["ceiling"]) for row in raised}
    new = []
    for row in spent:
        ceiling = agreed.get(CeilingKey(Level(row["level"]), row["code"]))
        if ceiling is not None:
            thresholds = reached(contract.thresholds, ceiling, row["amount"])
            new += [
                (row["level"], row["code"], each, plain(ceiling), plain(row["amount"]))
                for each in thresholds
                if (row["level"], row["code"], each, ceiling) not in known
            ]
    if new:
        await connection.execute(sql.RAISE_ALERTS, *map(list, zip(*new, strict=True)), contract.currency)
