"""Flat: one price a month for what is used at all, or by the days of the month on which it is used."""

from calendar import monthrange
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar, Self

from services.contract.money import ONE, PRICE_DIGITS, ZERO, multiply, plain, quotient, round_half_up
from services.contract.months import first_day
from services.contract.reading import Section
from services.contract.tariff import Step


@dataclass(frozen=True, slots=True)
class Flat:
    """`days` is None where a month costs the whole price; else how many days it has, and the quantity counts days.

    By days a month of `days` days costs the whole price, a part of it that part, rounded half up to 12 decimals.
    """

    kind: ClassVar[str] = "flat"
    price: Decimal
    by_days: bool = False
    days: int | None = None

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `price`, and `by_days` where there is one."""
        price, by_days = section.price("price"), section.flag("by_days")
        return None if price is None else cls(price, by_days)

    def in_month(self, month: str) -> Self:
        """Return the price as it is in a month like 2016-02."""
        first = first_day(month)
        return replace(self, days=monthrange(first.year, first.month)[1])

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the price, or its part by days; raises ValueError by days while no month is known."""
        if quantity <= 0:
            return ZERO
        if not self.by_days:
            return self.price
        used, days = self._days_used(quantity)
        return round_half_up(quotient(multiply(self.price, used), days), PRICE_DIGITS)

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return the one step."""
        amount = self.amount(quantity)
        if not self.by_days:
            return [Step("the month", ONE, amount, amount, per="month")] if quantity > 0 else []
        used, days = self._days_used(quantity)
        rounded = "" if multiply(amount, days) == multiply(self.price, used) else ", rounded to 12 decimals"
        what = f"{plain(used)} of {plain(days)} days of {plain(self.price)}{rounded}"
        return [Step(what, ONE, amount, amount, per="month")] if quantity > 0 else []

    def brief(self) -> str:
        """Return the price in one line."""
        return f"{plain(self.price)} a month" + (" by days" if self.by_days else "")

    def _days_used(self, quantity: Decimal) -> tuple[Decimal, Decimal]:
        if self.days is None:
            raise ValueError("a price by days depends on the month")
        return min(quantity, Decimal(self.days)), Decimal(self.days)
