"""Closing every month whose grace is over, in their order.

Law: whoever tries, and however many at a time, a month is closed once; the first that can't be closed ends it, since
months close in order.
"""

from typing import NamedTuple

from services.closing.close import close_checked
from services.closing.months import due_months
from services.contract_store import StoredContract
from services.invoicing.close import CloseError, Invoice
from services.postgres import Connection


class Closed(NamedTuple):
    """A month that was closed, and its invoices."""

    month: str
    invoices: list[Invoice]


class Outcome(NamedTuple):
    """What was closed; where a month could not be, `held` is that month and why."""

    closed: list[Closed]
    held: tuple[str, CloseError] | None


async def close_due(connection: Connection, stored: StoredContract) -> Outcome:
    """Close the months that are due."""
    closed: list[Closed] = []
    for month in await due_months(connection, stored):
        try:
            closed.append(Closed(month, await close_checked(connection, stored, month)))
        except CloseError as error:
            return Outcome(closed, (month, error))
    return Outcome(closed, None)
