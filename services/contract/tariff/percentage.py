"""Percentage: a fee on other charges of the same award and month, with a floor and a cap.

What is metered is money: the quantity is the sum of the charges that the fee is on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, NamedTuple, Self

from services.contract.money import (
    HUNDRED,
    HUNDREDTH,
    LEDGER_DIGITS,
    ONE,
    ZERO,
    multiply,
    plain,
    round_half_up,
    subtract,
)
from services.contract.problems import one_of, show
from services.contract.reading import Section
from services.contract.tariff import ChargeModel, Step

PERCENT_DIGITS = 4
PERCENT_MAX = Decimal(1000)


@dataclass(frozen=True, slots=True)
class Percentage:
    """`of` names the items whose charges the fee is on; none stands for all that usage is metered of.

    `floor` is the least and `cap` the most that is due in a month in which anything is.
    """

    kind: ClassVar[str] = "percentage"
    percent: Decimal
    of: tuple[str, ...] = ()
    floor: Decimal = ZERO
    cap: Decimal | None = None

    @classmethod
    def read(cls, section: Section) -> Self | None:
        """Read `percent`, and `of`, `floor` and `cap` where they are given."""
        percent = section.number("percent", PERCENT_DIGITS, Decimal("0.0001"), PERCENT_MAX)
        of = section.texts("of", required=False)
        floor, cap = section.price("floor", required=False), section.price("cap", required=False)
        if section.percent != HUNDRED:
            section.problem(
                "percent_of_list", plain(section.percent), "no such key: a fee is on what is due, not on a list"
            )
        if floor is not None and cap is not None and floor > cap:
            section.problem("floor", f"{plain(floor)}, above the cap", f"at most the cap, {plain(cap)}")
        return None if percent is None else cls(percent, tuple(of), floor or ZERO, cap)

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the fee on so much money, to the ledger's 27 decimals; below zero neither floor nor cap counts."""
        fee = round_half_up(multiply(quantity, self._factor), LEDGER_DIGITS)
        if quantity <= 0:
            return fee
        fee = max(fee, self.floor)
        return fee if self.cap is None else min(fee, self.cap)

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return the percentage, and what leads from there to the amount."""
        exact, amount = multiply(quantity, self._factor), self.amount(quantity)
        rounded = round_half_up(exact, LEDGER_DIGITS)
        steps = [Step(f"{plain(self.percent)} % of the charges", quantity, self._factor, exact, per="charges")]
        if amount != exact:
            why = "up to the floor" if amount > rounded else "down to the cap" if amount < rounded else "rounding"
            difference = subtract(amount, exact)
            steps.append(Step(why, ONE, difference, difference, per="difference"))
        return steps

    def brief(self) -> str:
        """Return the fee in one line."""
        least = f", at least {plain(self.floor)}" if self.floor else ""
        most = "" if self.cap is None else f", at most {plain(self.cap)}"
        return f"{plain(self.percent)} % of {' + '.join(self.of) or 'all usage'}{least}{most}"

    @property
    def _factor(self) -> Decimal:
        return multiply(self.percent, HUNDREDTH)


class Fee(NamedTuple):
    """An item that is a percentage, and the items whose charges it is on."""

    item: str
    of: frozenset[str]


Rounds = tuple[tuple[Fee, ...], ...]


def fee_rounds(models: Mapping[str, ChargeModel], tariff: Section) -> Rounds:
    """Return a tariff's fees, each round only on what comes before it; fees that can't be reckoned are noted."""
    metered = frozenset(item for item, model in models.items() if not isinstance(model, Percentage))
    waiting = {
        item: Fee(item, frozenset(model.of) or metered)
        for item, model in sorted(models.items())
        if isinstance(model, Percentage)
    }
    sound = [_is_sound(fee, models, tariff) for fee in waiting.values()]
    rounds = []
    while waiting and all(sound):
        ready = tuple(fee for fee in waiting.values() if not fee.of & waiting.keys())
        if not ready:
            circle = _circle(waiting)
            tariff.problem(
                f"prices[{circle[0]}].of",
                f"a circle: {', '.join(circle)}",
                "fees of which none is on itself in the end",
            )
            return ()
        rounds.append(ready)
        waiting = {item: fee for item, fee in waiting.items() if fee not in ready}
    return tuple(rounds) if all(sound) else ()


def _circle(waiting: Mapping[str, Fee]) -> list[str]:
    """Return fees that are each on the next, and the last on the first; every one of those waiting is on another."""
    walked = [min(waiting)]
    while (following := min(waiting[walked[-1]].of & waiting.keys())) not in walked:
        walked.append(following)
    circle = walked[walked.index(following) :]
    first = circle.index(min(circle))
    return circle[first:] + circle[:first]


def _is_sound(fee: Fee, models: Mapping[str, ChargeModel], tariff: Section) -> bool:
    unknown = sorted(fee.of - models.keys())
    for item in unknown:
        tariff.problem(f"prices[{fee.item}].of", show(item), one_of(models, "items priced in this tariff", item))
    if not fee.of:
        tariff.problem(
            f"prices[{fee.item}]", "nothing that it is a percentage of", "a tariff with items that usage is metered of"
        )
    return not unknown and fee.item not in fee.of and bool(fee.of)
