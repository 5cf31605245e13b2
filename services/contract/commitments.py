"""What was promised for the whole of a month or a year: minimums, and credit that was paid in advance.

A minimum is what an award is to be used for at least in each of its periods; what is short of it is due at the close of
the period's last month. A prepaid credit is due in its first month, and is then drawn down by what its award is owed,
until it is used up or has expired. Both are reckoned from months that are settled (`services/invoicing/committed.py`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from services.contract.months import month_of, months_between
from services.contract.reading import Section

MONTHS_A_YEAR = 12


@dataclass(frozen=True, slots=True)
class Minimum:
    """At least `amount` for an award in every `period` of months, from `starts` until before `ends`, days of months.

    `item` names what is short on the statements. `payer` is the institution whose use counts and that owes it; None
    stands for all, who owe it in proportion to what they were charged.
    """

    award: str
    item: str
    amount: Decimal
    period: int
    starts: date
    ends: date
    payer: str | None = None

    def months(self, month: str) -> list[str]:
        """Return the months of the period that ends with a month; none where none does, nor one that is cut short."""
        period = self.period_of(month)
        return period if period and period[-1] == month else []

    def period_of(self, month: str) -> list[str]:
        """Return the months of the period that a month is in; none where it is in none, or in one that is cut short."""
        every = months_between(month_of(self.starts), month_of(self.ends - timedelta(days=1)))
        if month not in every:
            return []
        first = every.index(month) // self.period * self.period
        period = every[first : first + self.period]
        return period if len(period) == self.period else []


@dataclass(frozen=True, slots=True)
class Prepaid:
    """Credit of `amount` for what an award is owed from the month of `starts` until before `ends`.

    `cost` is what is due for it in its first month: nothing where it was granted. `item` names both on the statements.
    `payer` is the institution that has it; None stands for all.
    """

    award: str
    item: str
    amount: Decimal
    cost: Decimal
    starts: date
    ends: date
    payer: str | None = None

    def covers(self, month: str) -> bool:
        """Tell whether what is owed for a month may be paid with it."""
        return month_of(self.starts) <= month < month_of(self.ends)


def read_minimums(
    document: Section, awards: Collection[str], items: Collection[str], institutions: Collection[str], life: list[date]
) -> tuple[Minimum, ...]:
    """Read [[minimums]]; `life` is from the contract's first day until before its end, or empty."""
    made = []
    for section in document.tables("minimums", label="award item"):
        award = section.reference("award", awards, "awards (lot/supplier)")
        item = section.reference("item", items, "items")
        amount, per = section.money("amount"), section.choice("per", ["month", "year"])
        payer, span = _payer(section, institutions), _span(section, life, required=False)
        section.done()
        if award is None or item is None or amount is None or per is None or span is None:
            continue
        minimum = Minimum(award, item, amount, 1 if per == "month" else MONTHS_A_YEAR, *span, payer)
        if len(months_between(month_of(span[0]), month_of(span[1] - timedelta(days=1)))) < minimum.period:
            section.problem("ends", f"less than a year after {span[0]}", "at least one whole year, or per month")
        made.append(minimum)
    return tuple(made)


def read_prepaid(
    document: Section, awards: Collection[str], items: Collection[str], institutions: Collection[str], life: list[date]
) -> tuple[Prepaid, ...]:
    """Read [[prepaid]]; `life` is from the contract's first day until before its end, or empty."""
    made = []
    for section in document.tables("prepaid", label="award item"):
        award = section.reference("award", awards, "awards (lot/supplier)")
        item = section.reference("item", items, "items")
        amount, cost = section.money("amount"), section.price("cost", required=False)
        payer, span = _payer(section, institutions), _span(section, life, required=True)
        section.done()
        if award is not None and item is not None and amount is not None and span is not None:
            made.append(Prepaid(award, item, amount, amount if cost is None else cost, *span, payer))
    return tuple(made)


def _payer(section: Section, institutions: Collection[str]) -> str | None:
    if "payer" not in section.table:
        section.value("payer", "", required=False)
        return None
    return section.reference("payer", institutions, "institutions")


def _span(section: Section, life: list[date], *, required: bool) -> tuple[date, date] | None:
    """Read from which first of a month to which last of a month something holds; return the end as the day after."""
    starts, last = section.day("starts", required=required), section.day("ends", required=required)
    if not life or (required and (starts is None or last is None)):
        return None
    begins, ends = starts or life[0], last + timedelta(days=1) if last else life[1]
    if starts and last and last < starts:
        section.problem("ends", f"{last}, before it starts", f"a day after {starts}")
        return None
    if not life[0] <= begins < ends <= life[1]:
        where = f"{begins} to {ends - timedelta(days=1)}"
        section.problem("starts", where, f"days of the contract, from {life[0]} to {life[1] - timedelta(days=1)}")
        return None
    for key, day, form in (("starts", begins, "the first day of a month"), ("ends", ends, "the last day of a month")):
        if day.day != 1:
            shown = day if key == "starts" else day - timedelta(days=1)
            section.problem(key, str(shown), f"{form}: what is promised is reckoned by months")
            return None
    return begins, ends
