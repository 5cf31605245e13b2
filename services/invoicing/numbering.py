"""Numbers of documents: a series for each year, without gaps.

Law: a number is given exactly when its document exists. The row of a series is locked until the transaction that
issues ends, so whoever else issues waits, and one that is interrupted has given no number.
"""

from collections import Counter
from collections.abc import Sequence

from services.contract.model import Contract
from services.postgres import Connection

_NEXT_NUMBERS = """
insert into invoicing.series as series (series, last) values ($1, $2)
on conflict (series) do update set last = series.last + $2
returning last
"""


def series_of(contract: Contract, month: str, *, is_credit_note: bool) -> str:
    """Return the series of a document about an invoice month: the contract's, of the month's year."""
    return f"{contract.credit_series if is_credit_note else contract.series}-{month[:4]}"


async def numbers(connection: Connection, series: Sequence[str]) -> list[str]:
    """Return the next number in each of some series, which may be named again and again, in their order."""
    next_in: dict[str, int] = {}
    for each, count in sorted(Counter(series).items()):
        next_in[each] = await connection.fetchval(_NEXT_NUMBERS, each, count) - count
    given = []
    for each in series:
        next_in[each] += 1
        given.append(f"{each}-{next_in[each]:06}")
    return given
