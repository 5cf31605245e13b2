"""What another contract would change, before it is applied: in which months, open or closed, and for whom.

Invoices never change, and what was priced stays priced so. What applying moves is how things are shared and promised;
what it may not move, prices of usage that was rated, is reckoned as well, for a re-rating could post it. Either way an
amount is all that an institution owes for a month of use, on whatever invoices, each line rounded on its own.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from services.contract.model import Contract
from services.contract.money import ZERO, add, round_half_up, subtract
from services.contract.months import month_of, months_between, next_month
from services.invoicing import sql
from services.invoicing.rows import posting_key
from services.invoicing.settle import PostingKey
from services.invoicing.simulate import owed
from services.invoicing.true_ups import preview
from services.invoicing.used import Unpriced
from services.postgres import Connection

_OPEN_MONTHS = "select month from invoicing.month where closed_at is null"
_INVOICED = """
select line.month, institution, sum(line.amount) as amount
from invoicing.invoice_line as line join invoicing.invoice using (number) group by 1, 2
"""
_LINES_INVOICED = """
select institution, department, pool, award, item, line.month, tariff, sum(line.exact) as exact,
       sum(line.amount) as amount
from invoicing.invoice_line as line join invoicing.invoice using (number) group by 1, 2, 3, 4, 5, 6, 7
"""
_USED_MONTHS = "select distinct month from rating.use"

Totals = dict[tuple[str, str], Decimal]
"""Amounts by month of use and institution."""


@dataclass(frozen=True, slots=True)
class Move:
    """All that an institution owes for a month of use, as it stands and as it would be, in the contract's currency.

    The difference for a month that is closed goes on the next invoice.
    """

    month: str
    is_closed: bool
    institution: str
    now: Decimal
    then: Decimal


async def moves(connection: Connection, now: Contract, then: Contract) -> list[Move]:
    """Return what would move on the invoices to come if another contract were applied."""
    closed = {row["month"] for row in await connection.fetch(sql.CLOSED)}
    posted = {row["month"] for row in await connection.fetch(_OPEN_MONTHS)}
    before = await _on_invoices(connection)
    after = dict(before)
    for month in open_months(month_of(now.starts), closed, posted):
        _add(before, await _invoiced(connection, now, month))
        _add(after, await _invoiced(connection, _after(now, then), month))
    return _differing(before, after, closed)


def open_months(first: str, closed: Collection[str], posted: Collection[str]) -> list[str]:
    """Return the months to be closed next, until the last in which anything was posted: promises are due unused, too.

    `first` is the contract's first month.
    """
    following = next_month(max(closed)) if closed else first
    last = max([*posted, *([following] if closed else [])], default="")
    return months_between(following, last) if last >= following else []


async def priced_otherwise(connection: Connection, now: Contract, then: Contract) -> tuple[list[Move], list[Unpriced]]:
    """Return what usage that was rated would cost otherwise under another contract, and what has no price there.

    That is left out of what would be owed.
    """
    closed = {row["month"] for row in await connection.fetch(sql.CLOSED)}
    used = {row["month"] for row in await connection.fetch(_USED_MONTHS)}
    if not used:
        return [], []
    months = months_between(month_of(now.starts), max(used))
    actual, _ = await owed(connection, now, months)
    other, unpriced = await owed(connection, _after(now, then), months)
    rows = await connection.fetch(_LINES_INVOICED)
    invoiced = {posting_key(row): (row["exact"], row["amount"]) for row in rows}
    return _differing(stated(now, actual, invoiced), stated(now, other, invoiced), closed), unpriced


def _after(now: Contract, then: Contract) -> Contract:
    """Return a contract as it would be after the one that is in force: re-rated and closed months stay as they are."""
    return replace(then, rerated=now.rerated, closed_pools=now.closed_pools)


async def _on_invoices(connection: Connection) -> Totals:
    """Return what was invoiced, by month of use and institution."""
    return {(row["month"], row["institution"]): row["amount"] for row in await connection.fetch(_INVOICED)}


def stated(
    contract: Contract, lines: Mapping[PostingKey, Decimal], invoiced: Mapping[PostingKey, tuple[Decimal, Decimal]]
) -> Totals:
    """Return what lines that are owed in all come to on invoices: those issued, and one more for what they lack.

    `invoiced` has the lines so far, unrounded and rounded.
    """
    totals: Totals = {}
    for key in lines.keys() | invoiced.keys():
        exact, amount = invoiced.get(key, (ZERO, ZERO))
        left = round_half_up(subtract(lines.get(key, ZERO), exact), contract.currency_digits)
        _add(totals, {(key.month, key.institution): add(amount, left)})
    return totals


async def _invoiced(connection: Connection, contract: Contract, month: str) -> Totals:
    """Return what an open month's invoices would come to, by month of use and institution."""
    totals: Totals = defaultdict(lambda: ZERO)
    for statement in await preview(connection, contract, month):
        for line in statement.lines:
            place = (line.key.month, statement.institution)
            totals[place] = add(totals[place], line.amount)
    return totals


def _add(totals: Totals, more: Totals) -> None:
    for place, amount in more.items():
        totals[place] = add(totals.get(place, ZERO), amount)


def _differing(before: Totals, after: Totals, closed: set[str]) -> list[Move]:
    return [
        Move(month, month in closed, institution, was, becomes)
        for month, institution in sorted(before.keys() | after.keys())
        if (was := before.get((month, institution), ZERO)) != (becomes := after.get((month, institution), ZERO))
    ]
