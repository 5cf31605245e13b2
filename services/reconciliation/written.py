"""What suppliers write: texts, numbers, dates and months, with the place where one can't be read."""

import re
from datetime import date, timedelta
from decimal import Decimal

from services.contract.months import MONTH_PATTERN, month_of
from services.contract.problems import show
from services.reconciliation.model import InvoiceError

_NUMBER = re.compile(r"[+-]?(?:\d{1,18}(?:\.\d{0,27})?|\.\d{1,27})\Z", re.ASCII)
_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)", re.ASCII)


TEXT_MAX = 500
"""Letters of a text that are kept: names and notes are for people."""


def text_of(found: str | None) -> str:
    """Return a text as it is kept: what can't be printed is a space, so that no terminal or database minds it."""
    return "".join(each if each.isprintable() else " " for each in (found or "")[: 2 * TEXT_MAX]).strip()[:TEXT_MAX]


def bare(text: str) -> str:
    """Return a name or id as it is compared: without spaces, points and case."""
    return re.sub(r"[\W_]+", "", text).casefold()


def number(text: str, place: str) -> Decimal:
    """Read a decimal with a point."""
    if not _NUMBER.match(text):
        raise InvoiceError(f"{place}: found {show(text)}; wanted a number like -1234.56, of 18 digits at most")
    return Decimal(text)


def day(text: str, place: str) -> date:
    """Read a day: 2016-03-31, maybe with a time or zone behind it, or 20160331."""
    found = _DAY.match(text)
    try:
        if found:
            return date(*map(int, found.groups()))
    except ValueError:
        pass
    raise InvoiceError(f"{place}: found {show(text)}; wanted a day like 2016-03-31")


def months_between(first: date | None, last: date | None) -> tuple[str, ...]:
    """Return the month that a period lies in, the first and the last one of several, none of no period.

    A period that ends on the first of a month ends as that month begins, as many write it.
    """
    days = [each for each in (first, last) if each is not None]
    if len(days) == 2 and days[1].day == 1 and days[0] < days[1]:
        days[1] -= timedelta(days=1)
    return tuple(sorted(set(map(month_of, days))))


def month(text: str, place: str) -> str:
    """Read a month: 2016-03, or a day in it."""
    return text if MONTH_PATTERN.match(text) else month_of(day(text, place))
