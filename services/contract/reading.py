"""Reading a TOML table with every mistake noted.

A `Section` is one table and its place in the file ("awards[2/CTA].ceiling"). Each getter returns the
checked value, or None after noting what was found and what would be right; nothing is raised, so one
reading of a file finds all its problems.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from services.contract.currencies import CURRENCY_DIGITS
from services.contract.money import (
    HUNDRED,
    HUNDREDTH,
    ONE,
    PRICE_DIGITS,
    PRICE_LIMIT,
    QUANTITY_DIGITS,
    QUANTITY_LIMIT,
    ZERO,
    decimals,
    multiply,
    round_half_up,
)
from services.contract.problems import Problem, one_of, show

CODE_PATTERN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?\Z")
CODE_FORM = "1 to 64 letters, digits, '.', '_' or '-', beginning and ending with a letter or digit"
COUNTRY_PATTERN = re.compile(r"[A-Z]{2}\Z")
ENTRIES_MAX = 10_000
MONEY_MAX = Decimal(10) ** 15
MONEY_DIGITS_MIN = 2
"""So many decimals an amount of money may have in every currency, also in one that is paid in whole units."""
YEAR_MIN, YEAR_MAX = 2000, 2199
_NUMBER = re.compile(r"-?\d+(\.\d+)?\Z", re.ASCII)
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])\Z", re.ASCII)
_WORD = re.compile(r"\w+")

__all__ = ["CODE_FORM", "CODE_PATTERN", "Problem", "Section"]


@dataclass(slots=True)
class Section:
    """A table being read; `problems` is shared by all sections of one file.

    Its prices are list prices, of which `percent` per cent are due, times the `index`; its amounts of money have at
    most `money_digits` decimals.
    """

    table: Mapping[str, Any]
    place: str
    problems: list[Problem]
    percent: Decimal = HUNDRED
    index: Decimal = ONE
    money_digits: int = MONEY_DIGITS_MIN
    _seen: set[str] = field(default_factory=set)

    def problem(self, key: str, found: str, wanted: str) -> None:
        """Note a mistake at a key of this table ("" for the table itself)."""
        key = key if key.isprintable() and len(key) <= 80 else show(key)
        place = f"{self.place}.{key}" if self.place and key else self.place or key
        self.problems.append(Problem(place or "the file", found, wanted))

    def value(self, key: str, form: str, *, required: bool = True) -> Any:
        """Return what stands at a key, of whatever type, and count the key as known."""
        self._seen.add(key)
        if key not in self.table and required:
            self.problem(key, "nothing", form)
        return self.table.get(key)

    def text(self, key: str, *, required: bool = True, at_most: int = 500) -> str | None:
        """Return a text of 1 to `at_most` printable characters."""
        form = f"a text of 1 to {at_most} printable characters"
        value = self.value(key, form, required=required)
        if value is None:
            return None
        if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value.strip()) <= at_most:
            self.problem(key, show(value), form)
            return None
        return value

    def code(self, key: str, *, required: bool = True) -> str | None:
        """Return a code: the name by which other places refer to this one."""
        value = self.value(key, CODE_FORM, required=required)
        if value is None:
            return None
        if not isinstance(value, str) or not CODE_PATTERN.match(value):
            self.problem(key, show(value), CODE_FORM)
            return None
        return value

    def choice(self, key: str, choices: list[str], *, required: bool = True, default: str | None = None) -> str | None:
        """Return one of the given texts."""
        form = "one of " + ", ".join(choices)
        value = self.value(key, form, required=required and default is None)
        if value is None:
            return default
        if value not in choices:
            self.problem(key, show(value), form)
            return None
        return str(value)

    def currency(self, key: str, *, default: str | None = None) -> str | None:
        """Return a currency's code (ISO 4217)."""
        if default is not None and key not in self.table:
            self._seen.add(key)
            return default
        return self.reference(key, CURRENCY_DIGITS, "currencies of ISO 4217")

    def reference(self, key: str, known: Collection[str], what: str) -> str | None:
        """Return a code that is defined elsewhere: one of `known`, which are called `what`."""
        value = self.value(key, f"one of the {what}")
        if value is None:
            return None
        if not isinstance(value, str) or value not in known:
            self.problem(key, show(value), one_of(known, what, value))
            return None
        return value

    def country(self, key: str) -> str | None:
        """Return a country's code (ISO 3166-1 alpha-2)."""
        form = 'a country\'s two capital letters, like "BE"'
        value = self.value(key, form)
        if value is None:
            return None
        if not isinstance(value, str) or not COUNTRY_PATTERN.match(value):
            self.problem(key, show(value), form)
            return None
        return value

    def day(self, key: str, *, required: bool = True) -> date | None:
        """Return a TOML local date."""
        form = f"a date like 2016-01-01, without quotes, from the year {YEAR_MIN} to {YEAR_MAX}"
        value = self.value(key, form, required=required)
        if value is None:
            return None
        if not isinstance(value, date) or isinstance(value, datetime) or not YEAR_MIN <= value.year <= YEAR_MAX:
            self.problem(key, show(value), form)
            return None
        return value

    def month(self, key: str) -> str | None:
        """Return a month, written as text."""
        form = f'a month like "2016-03", from the year {YEAR_MIN} to {YEAR_MAX}'
        value = self.value(key, form)
        if value is None:
            return None
        if not isinstance(value, str) or not _MONTH.match(value) or not YEAR_MIN <= int(value[:4]) <= YEAR_MAX:
            self.problem(key, show(value), form)
            return None
        return value

    def integer(
        self, key: str, low: int, high: int, *, default: int | None = None, required: bool = True
    ) -> int | None:
        """Return a whole number from low to high."""
        form = f"a whole number from {low} to {high}"
        value = self.value(key, form, required=required and default is None)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.problem(key, show(value), form)
            return None
        return value

    def number(self, key: str, digits: int, low: Decimal, high: Decimal, *, required: bool = True) -> Decimal | None:
        """Return a decimal from low to high with at most `digits` decimals, written as text or as a TOML number."""
        form = f"a decimal from {low:f} to {high:f} with at most {digits} decimals"
        value = self.value(key, form, required=required)
        if value is None:
            return None
        number = _decimal(value)
        if number is None or not low <= number <= high or decimals(number) > digits:
            self.problem(key, show(value), form)
            return None
        return number

    def money(self, key: str, *, required: bool = True) -> Decimal | None:
        """Return an amount above zero with no more decimals than money has: a ceiling or a budget."""
        least = ONE.scaleb(-self.money_digits)
        return self.number(key, self.money_digits, least, MONEY_MAX, required=required)

    def price(self, key: str, *, required: bool = True) -> Decimal | None:
        """Return a price as it is due: zero or more, at most 12 decimals, to which a part of it is rounded once."""
        listed = self.number(key, PRICE_DIGITS, ZERO, PRICE_LIMIT, required=required)
        if listed is None or (self.percent, self.index) == (HUNDRED, ONE):
            return listed
        price = multiply(listed, multiply(self.percent, HUNDREDTH))
        return round_half_up(multiply(price, self.index), PRICE_DIGITS)

    def quantity(self, key: str, *, required: bool = True) -> Decimal | None:
        """Return a quantity: zero or more, at most 15 decimals."""
        return self.number(key, QUANTITY_DIGITS, Decimal(0), QUANTITY_LIMIT, required=required)

    def flag(self, key: str) -> bool:
        """Return true or false; false where nothing stands."""
        value = self.value(key, "true or false", required=False)
        if value is not None and not isinstance(value, bool):
            self.problem(key, show(value), "true or false, without quotes")
        return value is True

    def texts(self, key: str, *, required: bool = True) -> list[str]:
        """Return a list of at least one text, each only once."""
        form = f"a list of 1 to {ENTRIES_MAX} texts, each only once"
        value = self.value(key, form, required=required)
        if value is None:
            return []
        if (
            not isinstance(value, list)
            or not 1 <= len(value) <= ENTRIES_MAX
            or not all(isinstance(each, str) for each in value)
        ):
            self.problem(key, show(value), form)
            return []
        seen: set[str] = set()
        for index, each in enumerate(value):
            if each in seen:
                self.problem(f"{key}[{index}]", f"{show(each)} again", "each only once")
            seen.add(each)
        return list(dict.fromkeys(value))

    def integers(self, key: str, low: int, high: int, *, default: list[int]) -> list[int]:
        """Return a list of whole numbers from low to high, each above the one before it."""
        form = f"a list of whole numbers from {low} to {high}, each above the one before it"
        value = self.value(key, form, required=False)
        if value is None:
            return default
        if (
            not isinstance(value, list)
            or not all(isinstance(each, int) and not isinstance(each, bool) and low <= each <= high for each in value)
            or any(upper <= lower for lower, upper in pairwise(value))
        ):
            self.problem(key, show(value), form)
            return default
        return value

    def child(self, key: str, *, required: bool = True) -> "Section | None":
        """Return the table at a key."""
        form = f"a table of 1 to {ENTRIES_MAX} entries"
        value = self.value(key, form, required=required)
        if value is None:
            return None
        if not isinstance(value, Mapping) or not 1 <= len(value) <= ENTRIES_MAX:
            self.problem(key, show(value), form)
            return None
        return self.inside(key, value)

    def tables(self, key: str, *, at_least: int = 0, label: str = "code") -> list["Section"]:
        """Return an array of tables; a table's place carries its label where it has one: lots[2]."""
        form = f"from {at_least} to {ENTRIES_MAX} tables [[{key}]]"
        value = self.value(key, form, required=at_least > 0)
        if value is None:
            return []
        if (
            not isinstance(value, list)
            or not all(isinstance(each, Mapping) for each in value)
            or not at_least <= len(value) <= ENTRIES_MAX
        ):
            self.problem(key, show(value), form)
            return []
        return [self.inside(f"{key}[{_label(each, label, index)}]", each) for index, each in enumerate(value)]

    def inside(self, key: str, table: Mapping[str, Any]) -> "Section":
        """Return a section for a table inside this one."""
        place = f"{self.place}.{key}" if self.place else key
        return Section(table, place, self.problems, self.percent, self.index, self.money_digits)

    def done(self) -> None:
        """Note every key that nothing asked for: a misspelt key must not be passed over."""
        for key in self.table:
            if key not in self._seen:
                self.problem(key, "an unknown key", "one of " + ", ".join(sorted(self._seen)))


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str) and len(value) <= 60 and _NUMBER.match(value):
        return Decimal(value)
    if (
        isinstance(value, Decimal)
        and value.is_finite()
        and abs(value.adjusted()) < 60
        and len(value.as_tuple().digits) < 60
    ):
        return value
    return None


def _label(table: Mapping[str, Any], label: str, index: int) -> str:
    """Fill in a label like lot/supplier, whose words are keys; where the table lacks one of them, return its number."""
    parts = {key: table.get(key) for key in _WORD.findall(label)}
    if all(
        isinstance(part, date | str) and str(part).isprintable() and len(str(part)) <= 64 for part in parts.values()
    ):
        return _WORD.sub(lambda word: str(parts[word[0]]), label)
    return str(index)
