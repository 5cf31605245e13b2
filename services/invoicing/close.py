"""Closing a month: settle what is provisional, post the difference, number the invoices, and let nothing change.

One transaction: a close that is interrupted has not happened, and its numbers are still free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import asyncpg

from services.contract.charges import ProvisionalRate, promised_meters
from services.contract.model import Contract
from services.contract.money import ZERO, add, plain
from services.contract.months import first_day, midnight, month_of, months_between, next_month
from services.contract_store import StoredContract
from services.invoicing import sql
from services.invoicing.committed import committed, committed_lines, owed_by_institution, owes_without_usage
from services.invoicing.converted import converted
from services.invoicing.ledger import post
from services.invoicing.post import minus, plus
from services.invoicing.provisional import provisional
from services.invoicing.rows import charge_key, posting_key
from services.invoicing.settle import NOTHING, PostingKey, Share, settle
from services.invoicing.statement import Line, Statement, statements
from services.postgres import Connection

BELOW_ZERO_SHOWN = 10


class CloseError(Exception):
    """The month can't be closed; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Invoice:
    """A numbered statement."""

    number: str
    statement: Statement


async def close_month(connection: Connection, stored: StoredContract, month: str) -> list[Invoice]:
    """Close a month and return its invoices.

    Raises CloseError when the month is not over, came before the contract, is closed already, follows one that is still
    open, when more usage was taken back than there was, or while something on the invoices has no rate of its month.
    """
    _refuse_wrong_time(stored.contract, month, datetime.now(UTC))
    async with connection.transaction():
        await connection.execute(sql.ENTER_MONTHS, [month])
        if await connection.fetchval(sql.TAKE_MONTH, month) is not None:
            raise CloseError(f"{month} is closed already; what came later goes on the next open invoice")
        await _refuse_earlier(connection, stored.contract, month)
        _refuse_below_zero(await connection.fetch(sql.BELOW_ZERO, month))
        _refuse_provisional(await provisional(connection, stored.contract, month))
        moved = await true_ups(connection, stored.contract, month)
        if moved:
            entry = await connection.fetchval(sql.ENTER_ENTRY, "true_up", None, month)
            await post(connection, stored.contract, entry, moved, {key.month: month for key in moved})
        invoices = await _number(connection, stored, await preview(connection, stored.contract, month))
        await connection.execute(sql.CLOSE_MONTH, month, stored.version)
        return invoices


def _refuse_wrong_time(contract: Contract, month: str, now: datetime) -> None:
    if month < month_of(contract.starts):
        raise CloseError(f"{month} was before the contract, which starts on {contract.starts}")
    over = midnight(first_day(next_month(month)), contract.zone)
    if now < over:
        raise CloseError(f"{month} is not over before {over.isoformat()}")


async def _refuse_earlier(connection: Connection, contract: Contract, month: str) -> None:
    """Refuse to close a month before another that has something to invoice, be it only what was promised."""
    used = {row["month"] for row in await connection.fetch(sql.EARLIER_OPEN, month)}
    closed = await _closed(connection)
    before = months_between(month_of(contract.starts), month)[:-1]
    promised = {each for each in before if promised_meters(contract, each) or owes_without_usage(contract, each)}
    if earlier := sorted(used | promised - closed):
        raise CloseError(f"{', '.join(earlier)} must be closed before {month}")


def _refuse_below_zero(rows: list[asyncpg.Record]) -> None:
    if rows:
        found = [
            f"{row['subject']} {row['item']} of {row['month']} under {row['award']}: {plain(row['quantity'])}"
            for row in rows
        ]
        more = f" and {len(found) - BELOW_ZERO_SHOWN} more" if len(found) > BELOW_ZERO_SHOWN else ""
        raise CloseError(
            "more usage was taken back than there was, so events are missing or wrong: "
            f"{'; '.join(found[:BELOW_ZERO_SHOWN])}{more}; its provider must send the difference"
        )


def _refuse_provisional(rates: list[ProvisionalRate]) -> None:
    if rates:
        months = sorted({each.month for each in rates})
        put_right = ", ".join(f"`plafond rerate --month {month} --contract FILE --post`" for month in months)
        raise CloseError(
            f"{'; '.join(map(str, rates))}. Add it to the contract's FILE, one of [[rates]], run {put_right} "
            'and `plafond contract apply FILE`; or apply one whose tariff has rate = "latest": the last one then holds'
        )


async def preview(connection: Connection, contract: Contract, month: str) -> list[Statement]:
    """Return the statements of an invoice month as they would be if it were closed now."""
    shares = {posting_key(row): _share(row) for row in await connection.fetch(sql.POSTED_ON_INVOICE, month)}
    for key, moved in (await true_ups(connection, contract, month)).items():
        shares[key] = plus(shares.get(key, NOTHING), moved)
    return statements(contract, month, shares, await converted(connection, contract, shares))


async def true_ups(connection: Connection, contract: Contract, invoice_month: str) -> dict[PostingKey, Share]:
    """Return by how much postings differ from what is due: for the invoice's month, others on it, and re-rated ones.

    For usage and what was reserved of it, that is what is settled; and of all months until then that are closed, what
    was promised besides.
    """
    closed = await _closed(connection)
    used = {row["month"] for row in await connection.fetch(sql.USAGE_MONTHS, invoice_month)}
    rerated = {month for _, month in contract.rerated if month < invoice_month}
    moved: dict[PostingKey, Share] = {}
    for month in sorted({invoice_month, *used, *(rerated & closed)}):
        moved |= await _unsettled(connection, contract, month)
    return moved | await _committed(connection, contract, invoice_month, moved, closed)


async def _unsettled(connection: Connection, contract: Contract, month: str) -> dict[PostingKey, Share]:
    """Return by how much postings of a month's usage differ from what is settled."""
    lines = committed_lines(contract)
    rows = await connection.fetch(sql.CHARGED_QUANTITIES, month)
    settled = settle(contract, month, {charge_key(row): row["quantity"] for row in rows})
    posted = {posting_key(row): _share(row) for row in await connection.fetch(sql.POSTED, month)}
    return _differences(settled, {key: share for key, share in posted.items() if (key.award, key.item) not in lines})


async def _committed(
    connection: Connection,
    contract: Contract,
    invoice_month: str,
    moved: Mapping[PostingKey, Share],
    closed: set[str],
) -> dict[PostingKey, Share]:
    """Return by how much the lines of minimums and credits differ, once usage is moved so.

    Where earlier months are open yet, as in a preview, what they will draw counts as if they were closed.
    """
    lines = committed_lines(contract)
    if not lines:
        return {}
    awards = sorted({award for award, _ in lines})
    rows = await connection.fetch(sql.INVOICED_SO_FAR, invoice_month, awards)
    posted = {posting_key(row): _share(row) for row in rows}
    months = months_between(month_of(contract.starts), invoice_month)
    pending = dict(moved)
    for month in sorted(set(months[:-1]) - closed):
        pending |= await _unsettled(connection, contract, month)
    usage = {key: share.amount for key, share in posted.items() if (key.award, key.item) not in lines}
    for key, share in pending.items():
        usage[key] = add(usage.get(key, ZERO), share.amount)
    due = committed(contract, months, owed_by_institution(usage))
    return _differences(
        {key: share for key, share in due.items() if key.month in closed | {invoice_month}},
        {key: share for key, share in posted.items() if (key.award, key.item) in lines},
    )


async def _closed(connection: Connection) -> set[str]:
    return {row["month"] for row in await connection.fetch(sql.CLOSED)}


def _differences(due: Mapping[PostingKey, Share], posted: Mapping[PostingKey, Share]) -> dict[PostingKey, Share]:
    return {
        key: difference
        for key in sorted(due.keys() | posted.keys())
        if (difference := minus(due.get(key, NOTHING), posted.get(key, NOTHING))) != NOTHING
    }


async def _number(connection: Connection, stored: StoredContract, made: list[Statement]) -> list[Invoice]:
    if not made:
        return []
    series = f"{stored.contract.code.upper()}-{made[0].month[:4]}"
    last = await connection.fetchval(sql.NEXT_NUMBERS, series, len(made))
    first = last - len(made) + 1
    invoices = [Invoice(f"{series}-{first + index:06}", each) for index, each in enumerate(made)]
    await connection.execute(
        sql.ENTER_INVOICES,
        made[0].month,
        stored.version,
        stored.contract.currency,
        [each.number for each in invoices],
        [each.statement.institution for each in invoices],
        [plain(each.statement.exact) for each in invoices],
        [plain(each.statement.total) for each in invoices],
    )
    lines = [
        (each.number, index, line.key.department, line.key.pool, line.key.award, line.key.item, line.key.month,
         date.fromisoformat(line.key.tariff), plain(line.quantity), plain(line.exact), plain(line.amount),
         *_conversion(line))
        for each in invoices
        for index, line in enumerate(each.statement.lines, start=1)
    ]  # fmt: skip
    await connection.execute(sql.ENTER_LINES, *map(list, zip(*lines, strict=True)))
    return invoices


def _conversion(line: Line) -> tuple[str | None, str | None, str | None]:
    if line.conversion is None:
        return None, None, None
    return line.conversion.currency, plain(line.conversion.rate), plain(line.conversion.amount)


def _share(row: asyncpg.Record) -> Share:
    return Share(row["quantity"], row["amount"])
