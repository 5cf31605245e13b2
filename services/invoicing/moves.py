"""What another contract would change, before it is applied: in which months, open or closed, and for whom.

Invoices never change, and what was priced stays priced so. What applying moves is how things are shared and promised;
what it may not move, prices of usage that was rated, is reckoned as well, for a re-rating could post it.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal

from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.months import month_of, months_between, next_month
from services.invoicing import sql
from services.invoicing.simulate import simulate
from services.invoicing.true_ups import preview
from services.postgres import Connection

_OPEN_MONTHS = "select month from invoicing.month where closed_at is null"
_USED_MONTHS = "select distinct month from rating.use"

Totals = dict[tuple[str, str], Decimal]
"""Amounts by month of use and institution."""


@dataclass(frozen=True, slots=True)
class Move:
    """What an institution owes for a month of use, as it stands and as it would be, in the contract's currency.

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
    months = {row["month"] for row in await connection.fetch(_OPEN_MONTHS)}
    if closed:
        months.add(next_month(max(closed)))
    before, after = Totals(), Totals()
    for month in sorted(months):
        _add(before, await _invoiced(connection, now, month))
        _add(after, await _invoiced(connection, replace(then, rerated=now.rerated), month))
    return _differing(before, after, closed)


async def priced_otherwise(connection: Connection, now: Contract, then: Contract) -> list[Move]:
    """Return what usage that was rated would cost otherwise under another contract."""
    closed = {row["month"] for row in await connection.fetch(sql.CLOSED)}
    used = {row["month"] for row in await connection.fetch(_USED_MONTHS)}
    if not used:
        return []
    months = months_between(month_of(now.starts), max(used))
    made = await simulate(connection, now, replace(then, rerated=now.rerated), months)
    return _differing(made.now, made.then, closed)


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
