"""Where a month stands: open while it lasts, in grace for late usage, due, closed.

Law: each stage begins where the one before ends, and a close ends them all.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from services.contract.model import Contract
from services.contract.months import first_day, midnight, next_month


class Stage(StrEnum):
    """What a month is in; `DUE` where its grace is over and nobody has closed it."""

    AHEAD = "ahead"
    OPEN = "open"
    GRACE = "grace"
    DUE = "due"
    CLOSED = "closed"


class Stands(NamedTuple):
    """A stage, and since when; `grace_ends` is when the month is due."""

    stage: Stage
    since: datetime | None
    grace_ends: datetime


def grace_ends(contract: Contract, month: str) -> datetime:
    """Return when a month's grace is over: so many days of the contract after its end."""
    return midnight(first_day(next_month(month)) + timedelta(days=contract.grace_days), contract.zone)


def stands(contract: Contract, month: str, closed_at: datetime | None, now: datetime) -> Stands:
    """Tell where a month stands at an instant."""
    over = grace_ends(contract, month)
    if closed_at is not None:
        return Stands(Stage.CLOSED, closed_at, over)
    begins = midnight(first_day(month), contract.zone)
    ends = midnight(first_day(next_month(month)), contract.zone)
    for stage, since in ((Stage.DUE, over), (Stage.GRACE, ends), (Stage.OPEN, begins)):
        if now >= since:
            return Stands(stage, since, over)
    return Stands(Stage.AHEAD, None, over)
