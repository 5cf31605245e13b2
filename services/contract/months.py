"""Billing months.

A month is the text "2016-03". It begins at midnight of its first day in the contract's time zone, so in
Brussels 31 January 23:30 UTC is February's. Instants are UTC with zone.
"""

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

MONTH_PATTERN = re.compile(r"\d{4}-(0[1-9]|1[0-2])\Z")


def month_of(day: date) -> str:
    """Return the month that a day belongs to."""
    return f"{day.year:04}-{day.month:02}"


def month_at(instant: datetime, zone: ZoneInfo) -> str:
    """Return the billing month of an instant."""
    return month_of(instant.astimezone(zone).date())


def first_day(month: str) -> date:
    """Return a month's first day; raises ValueError when `month` is not of the form 2016-03."""
    if not MONTH_PATTERN.match(month):
        raise ValueError(f"{month!r} is not a month: write it like 2016-03")
    return date(int(month[:4]), int(month[5:]), 1)


def next_month(month: str) -> str:
    """Return the month after."""
    day = first_day(month)
    return month_of(date(day.year + day.month // 12, day.month % 12 + 1, 1))


def months_between(first: str, last: str) -> list[str]:
    """Return all months from the first to the last, both included."""
    months = [first]
    while months[-1] < last:
        months.append(next_month(months[-1]))
    return months


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, at which a day begins in the zone."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
