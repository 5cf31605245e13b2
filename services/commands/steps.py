"""The reckoning of a price as a table, shared by the commands that show one."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.output import Column, show

_WHAT = [Column("what", "part"), Column("quantity", "quantity", right=True)]
_LISTED = Column("listed", "list price", right=True)
_PRICE = [Column("price", "price", right=True), Column("per", "per"), Column("amount", "amount", right=True)]


def show_steps(steps: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Print steps, with the supplier's list prices where they are others."""
    listed = [_LISTED] if any(step["listed"] is not None for step in steps) else []
    show(steps, [*_WHAT, *listed, *_PRICE], title=title)


def of_month(price: Mapping[str, Any]) -> str:
    """Return what is to be said behind a rate: its month, and whether the month of use is to have its own."""
    until = ", provisionally, until the month has its own" if price["rate_is_provisional"] else ""
    return f", the rate of {price['rate_of_month']}{until}"
