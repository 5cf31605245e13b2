"""What a re-rating changes on statements, before it is posted: on its own lines, and on all that follow from them.

Another price moves fees, what is short of minimums, what is drawn from credit, and shares in proportion to use, also
for institutions and awards that it does not name.

Law: the differences are what statements differ by once the re-rating is posted and its month, or if that is closed
the next one, is closed. They are taken from the same true-ups that the close posts.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from services.contract.charges import ChargeKey, promised_meters
from services.contract.model import Contract
from services.contract.money import ZERO, add, subtract
from services.contract.months import month_of
from services.invoicing import sql
from services.invoicing.kinds import Kind, kind_of
from services.invoicing.moves import open_months
from services.invoicing.post import plus
from services.invoicing.rows import posting_key, share_of
from services.invoicing.settle import NOTHING, PostingKey, Share, amounts, direct_amounts, owed, shares_of
from services.invoicing.true_ups import closed_months, true_ups
from services.postgres import Connection
from services.rerating.plan import Change, Plan

Place = tuple[str, str, str, str, Kind]
"""Month of use, institution, award, item, and what for."""

_OPEN = "select month from invoicing.month where closed_at is null"


async def changes(connection: Connection, agreed: Contract, made: Plan) -> list[Change]:
    """Return what each institution would pay otherwise if a plan was posted, by month of use, item and kind."""
    if not made.awards:
        return []
    months = await _open_months(connection, agreed, made.month)
    now = await _moved(connection, agreed, months, made.month, made.now)
    then = await _moved(connection, made.contract, months, made.month, made.then)
    touched = {key.month for key in now.keys() | then.keys() if now.get(key) != then.get(key)}
    posted: dict[PostingKey, Share] = {}
    for month in sorted(touched):
        posted |= {posting_key(row): share_of(row) for row in await connection.fetch(sql.POSTED, month)}
    before = _totals(agreed, made.month, made.now, _stands(posted, now, touched))
    after = _totals(made.contract, made.month, made.then, _stands(posted, then, touched))
    return [
        Change(*place, before.get(place, ZERO), after.get(place, ZERO))
        for place in sorted(before.keys() | after.keys())
        if before.get(place, ZERO) != after.get(place, ZERO)
    ]


async def _open_months(connection: Connection, contract: Contract, month: str) -> list[str]:
    """Return the months whose invoices are to come, until the last in the books, with the one in hand and the next."""
    closed = await closed_months(connection)
    posted = {row["month"] for row in await connection.fetch(_OPEN)}
    if month not in closed:
        posted.add(month)
    return open_months(month_of(contract.starts), closed, posted)


async def _moved(
    connection: Connection, contract: Contract, months: list[str], month: str, used: Mapping[ChargeKey, Decimal]
) -> dict[PostingKey, Share]:
    """Return what closes will post."""
    moved: dict[PostingKey, Share] = {}
    for invoice_month in months:
        moved |= await true_ups(connection, contract, invoice_month, {month: used})
    return moved


def _stands(
    posted: Mapping[PostingKey, Share], moved: Mapping[PostingKey, Share], months: Iterable[str]
) -> dict[PostingKey, Decimal]:
    """Return what is paid for the lines of some months, posted and to be posted."""
    return {
        key: plus(posted.get(key, NOTHING), moved.get(key, NOTHING)).amount
        for key in posted.keys() | moved.keys()
        if key.month in months
    }


def _totals(
    contract: Contract, month: str, used: Mapping[ChargeKey, Decimal], stands: Mapping[PostingKey, Decimal]
) -> dict[Place, Decimal]:
    """Add up lines by place, what is due for reserved and unused units by itself."""
    totals: dict[Place, Decimal] = {}
    unused = _unused(contract, month, used)
    for key, amount in stands.items():
        for kind, part in _by_kind(contract, key, amount, unused.get(key, ZERO)):
            place = (key.month, key.institution, key.award, key.item, kind)
            totals[place] = add(totals.get(place, ZERO), part)
    return totals


def _by_kind(contract: Contract, key: PostingKey, amount: Decimal, unused: Decimal) -> Iterator[tuple[Kind, Decimal]]:
    yield kind_of(contract, key), subtract(amount, unused)
    if unused:
        yield Kind.RESERVATION, unused


def _unused(contract: Contract, month: str, used: Mapping[ChargeKey, Decimal]) -> dict[PostingKey, Decimal]:
    """Return how much of each line of a month is due for what is reserved and unused."""
    if not promised_meters(contract, month):
        return {}
    due, usage = owed(contract, month, used), amounts(contract, used)
    direct = direct_amounts(due)
    without = shares_of(contract, usage, direct)
    return {
        key: subtract(share.amount, without.get(key, NOTHING).amount)
        for key, share in shares_of(contract, due, direct).items()
    }
