"""Whether what was timed is in the books: a rate counts only what arrived.

Law: after each flow rating has every event that was sent and what they say adds up to what was sent; charges are on
that usage and cost what the contract says; the ledger and the ceilings have every charge.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.contract.charges import MeterKey, price_of
from services.contract.model import Contract
from services.contract.money import ZERO, add, plain, total
from services.postgres import connect
from services.stack.demo import MONTH

# The benchmark's usage begins with that month; what `stored` has put there is older.
_RATED = """
select count(*) as events, coalesce(sum(quantity), 0) as quantity,
       coalesce(sum(rating.billed(quantity, minimum, increment)), 0) as billed
from rating.usage join rating.use using (use_no) where usage.month >= $1
"""
_CHARGED = """
select coalesce(sum(quantity) filter (where not is_fee), 0) as quantity, coalesce(sum(amount), 0) as amount
from rating.charge where month >= $1
"""
_METERS = "select award, item, month, tariff::text, scope, quantity from rating.meter where month >= $1"
_POSTED = "select coalesce(sum(amount), 0) from invoicing.posting where side = 'institution' and month >= $1"
_SPENT = "select coalesce(sum(amount), 0) from invoicing.spent where level = 'contract'"


class NotBookedError(Exception):
    """Something that was timed is not in the books, so its figures mean nothing; the message says what."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was acknowledged: events, and their quantities added up.

    `unknown` events more were in requests that were answered with something else, and may be there or not.
    """

    events: int = 0
    quantity: Decimal = ZERO
    unknown: int = 0

    def __add__(self, other: "Sent") -> "Sent":
        """Return both together."""
        return Sent(self.events + other.events, add(self.quantity, other.quantity), self.unknown + other.unknown)


@dataclass(frozen=True, slots=True)
class Booked:
    """What the tables say of the benchmark's usage, step by step; quantities and amounts are sums."""

    events: int
    quantity: Decimal
    billed: Decimal
    charged: Decimal
    charged_amount: Decimal
    priced_amount: Decimal
    posted_amount: Decimal
    spent: Decimal


async def require(database_url: str, contract: Contract, sent: Sent) -> None:
    """Raise NotBookedError unless all that was sent so far is rated, charged, posted and on the ceilings."""
    found = differences(sent, await _booked(database_url, contract))
    if found:
        raise NotBookedError(f"what was timed is not in the books: {'; '.join(found)}")


def differences(sent: Sent, books: Booked) -> list[str]:
    """Return what does not add up, a text each."""
    most = sent.events + sent.unknown
    found = []
    if not sent.events <= books.events <= most:
        wanted = f"{sent.events:,}" if not sent.unknown else f"{sent.events:,} to {most:,}"
        found.append(f"{wanted} events sent, {books.events:,} rated")
    steps: list[tuple[str, Any, str, Any]] = [
        ("billed for", books.billed, "charged", books.charged),
        ("charged, in money", books.charged_amount, "by the contract's prices", books.priced_amount),
        ("charged, in money", books.charged_amount, "posted", books.posted_amount),
        ("posted", books.posted_amount, "on the contract's ceiling", books.spent),
    ]
    if not sent.unknown:
        steps.insert(0, ("units sent", sent.quantity, "rated", books.quantity))
    found += [f"{plain(one)} {what}, {plain(other)} {then}" for what, one, then, other in steps if one != other]
    return found


async def _booked(database_url: str, contract: Contract) -> Booked:
    connection = await connect(database_url)
    try:
        (rated,) = await connection.fetch(_RATED, MONTH)
        (charged,) = await connection.fetch(_CHARGED, MONTH)
        meters = await connection.fetch(_METERS, MONTH)
        return Booked(
            rated["events"], rated["quantity"], rated["billed"], charged["quantity"], charged["amount"],
            total(price_of(contract, MeterKey(*each[:5])).amount(each["quantity"]) for each in meters),
            await connection.fetchval(_POSTED, MONTH), await connection.fetchval(_SPENT),
        )  # fmt: skip
    finally:
        await connection.close()
