"""What another contract would change: the statements of open months, before it is applied.

Invoices never change, and what was priced stays priced so. What may move is how it is shared: pools and their keys.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from services.contract.model import Contract
from services.contract.money import ZERO
from services.invoicing.close import preview
from services.postgres import Connection

_OPEN_MONTHS = "select month from invoicing.month where closed_at is null order by month"


@dataclass(frozen=True, slots=True)
class Move:
    """An institution's total of an open month, as it stands and as it would be, in the contract's currency."""

    month: str
    institution: str
    now: Decimal
    then: Decimal


async def moves(connection: Connection, now: Contract, then: Contract) -> list[Move]:
    """Return the totals of open months that differ under another contract."""
    found = []
    for (month,) in await connection.fetch(_OPEN_MONTHS):
        before = {each.institution: each.total for each in await preview(connection, now, month)}
        rerated = replace(then, rerated=now.rerated)
        after = {each.institution: each.total for each in await preview(connection, rerated, month)}
        found += [
            Move(month, institution, before.get(institution, ZERO), after.get(institution, ZERO))
            for institution in sorted(before.keys() | after.keys())
            if before.get(institution, ZERO) != after.get(institution, ZERO)
        ]
    return found
