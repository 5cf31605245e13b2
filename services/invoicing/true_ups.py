"""What a close posts: by how much that which is posted differs from what is due.

Law: after it, postings of usage come to what is settled, and those of minimums and credits to what was promised; so a
statement is the same whatever was posted provisionally. What months that are closed differ by goes on the next invoice
alone, whatever other months are open. `used` may say that a month's quantities are others than the
books have: what its statements would be then.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from services.contract.charges import ChargeKey
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.months import month_of, months_between, next_month
from services.invoicing import sql
from services.invoicing.committed import Owed, committed, committed_lines, owed_by_institution
from services.invoicing.converted import converted
from services.invoicing.credits import sets_off
from services.invoicing.post import minus, plus
from services.invoicing.rows import charge_key, posting_key, share_of
from services.invoicing.settle import NOTHING, PostingKey, Share, settle
from services.invoicing.statement import Statement, statements
from services.postgres import Connection

Used = Mapping[str, Mapping[ChargeKey, Decimal]]
"""Quantities by month."""

NO_OTHERS: Used = {}


async def preview(connection: Connection, contract: Contract, month: str) -> list[Statement]:
    """Return the statements of an invoice month as they would be if it were closed now."""
    return await posted_and(connection, contract, month, await true_ups(connection, contract, month))


async def posted_and(
    connection: Connection, contract: Contract, month: str, moves: Mapping[PostingKey, Share]
) -> list[Statement]:
    """Return the statements of what is posted on an invoice month, moved so."""
    shares = {posting_key(row): share_of(row) for row in await connection.fetch(sql.POSTED_ON_INVOICE, month)}
    for key, moved in moves.items():
        shares[key] = plus(shares.get(key, NOTHING), moved)
    for each in (await sets_off(connection, month, moves)).values():
        for key, amount in each.items():
            shares[key] = plus(shares.get(key, NOTHING), Share(ZERO, amount))
    return statements(contract, month, shares, await converted(connection, contract, shares))


async def true_ups(
    connection: Connection, contract: Contract, invoice_month: str, used: Used = NO_OTHERS
) -> dict[PostingKey, Share]:
    """Return by how much postings differ from what is due: for the invoice's month, and for others on it.

    For usage and what was reserved of it, that is what is settled; besides, what was promised. On the next invoice that
    is asked of all closed months, too.
    """
    closed = await closed_months(connection)
    moved = await of_usage(connection, contract, invoice_month, closed, used)
    lines = committed_lines(contract)
    if not lines:
        return moved
    so_far = await _so_far(connection, contract, invoice_month)
    owed = await _owed(connection, contract, invoice_month, so_far, moved, closed, used)
    due = committed(contract, months_between(month_of(contract.starts), invoice_month), owed)
    months = {invoice_month, *_taken_along(closed, invoice_month)}
    return moved | _differences(
        {key: each for key, each in due.items() if key.month in months},
        {key: each for key, each in so_far.items() if (key.award, key.item) in lines and key.month in months},
    )


async def owed_until(connection: Connection, contract: Contract, invoice_month: str) -> Owed:
    """Return what is owed for usage until an open month, which promises are reckoned from when it is closed."""
    closed = await closed_months(connection)
    moved = await of_usage(connection, contract, invoice_month, closed)
    so_far = await _so_far(connection, contract, invoice_month)
    return await _owed(connection, contract, invoice_month, so_far, moved, closed, NO_OTHERS)


async def closed_months(connection: Connection) -> set[str]:
    """Return the months that are closed."""
    return {row["month"] for row in await connection.fetch(sql.CLOSED)}


def _taken_along(closed: set[str], invoice_month: str) -> set[str]:
    """Return the closed months whose differences go on an invoice: all of them on the next one, none on others."""
    return closed if closed and invoice_month == next_month(max(closed)) else set()


async def of_usage(
    connection: Connection, contract: Contract, invoice_month: str, closed: set[str], used: Used = NO_OTHERS
) -> dict[PostingKey, Share]:
    """Return by how much postings of usage differ from what is settled, on an invoice."""
    others = {row["month"] for row in await connection.fetch(sql.USAGE_MONTHS, invoice_month)}
    rerated = {month for _, month in contract.rerated}
    moved: dict[PostingKey, Share] = {}
    for month in sorted({invoice_month, *others, *(rerated & _taken_along(closed, invoice_month))}):
        moved |= await _unsettled(connection, contract, month, used)
    return moved


async def _unsettled(connection: Connection, contract: Contract, month: str, used: Used) -> dict[PostingKey, Share]:
    """Return by how much postings of a month's usage differ from what is settled."""
    lines = committed_lines(contract)
    quantities = used.get(month)
    if quantities is None:
        rows = await connection.fetch(sql.CHARGED_QUANTITIES, month)
        quantities = {charge_key(row): row["quantity"] for row in rows}
    posted = {posting_key(row): share_of(row) for row in await connection.fetch(sql.POSTED, month)}
    return _differences(
        settle(contract, month, quantities),
        {key: each for key, each in posted.items() if (key.award, key.item) not in lines},
    )


async def _so_far(connection: Connection, contract: Contract, invoice_month: str) -> dict[PostingKey, Share]:
    """Return what the awards with promises have on invoices, and posted on open ones until a month."""
    awards = sorted({award for award, _ in committed_lines(contract)})
    rows = await connection.fetch(sql.INVOICED_SO_FAR, invoice_month, awards)
    return {posting_key(row): share_of(row) for row in rows}


async def _owed(
    connection: Connection,
    contract: Contract,
    invoice_month: str,
    so_far: Mapping[PostingKey, Share],
    moved: Mapping[PostingKey, Share],
    closed: set[str],
    used: Used,
) -> Owed:
    """Return what is owed for usage until a month, once postings are moved so.

    Where earlier months are open yet, as in a preview, what they will draw counts as if they were closed.
    """
    pending = dict(moved)
    for month in sorted(set(months_between(month_of(contract.starts), invoice_month)[:-1]) - closed):
        pending |= await of_usage(connection, contract, month, closed, used)
    lines = committed_lines(contract)
    return owed_by_institution(_sums(lines, so_far.items(), pending.items()))


def _sums(
    lines: frozenset[tuple[str, str]], *shares: Iterable[tuple[PostingKey, Share]]
) -> Mapping[PostingKey, Decimal]:
    """Add up what is owed by line, but for the lines of promises."""
    sums: dict[PostingKey, Decimal] = {}
    for each in shares:
        for key, mine in each:
            if (key.award, key.item) not in lines:
                sums[key] = add(sums.get(key, ZERO), mine.amount)
    return sums


def _differences(due: Mapping[PostingKey, Share], posted: Mapping[PostingKey, Share]) -> dict[PostingKey, Share]:
    return {
        key: difference
        for key in sorted(due.keys() | posted.keys())
        if (difference := minus(due.get(key, NOTHING), posted.get(key, NOTHING))) != NOTHING
    }
