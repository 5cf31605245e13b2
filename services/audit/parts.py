"""The parts of an explanation: what adds up to an amount.

Law: an explanation whose parts do not add up is none, and raises.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from services.contract.money import plain, total
from services.contract.tariff import Step


class UnexplainedError(Exception):
    """The books do not come to what they should; the message says which part comes to what."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an amount: where it is so many at a price, these, and the supplier's list price if that is another."""

    what: str
    amount: Decimal
    quantity: Decimal | None = None
    price: Decimal | None = None
    per: str = ""
    listed: Decimal | None = None


def of_steps(steps: Iterable[Step]) -> list[Part]:
    """Return the steps of a price as parts."""
    return [Part(each.what, each.amount, each.quantity, each.price, each.per, each.listed) for each in steps]


def check(what: str, parts: Iterable[Decimal], whole: Decimal) -> None:
    """Raise UnexplainedError unless the parts add up to the whole, to the last digit."""
    found = total(parts)
    if found != whole:
        raise UnexplainedError(f"{what}: the parts add up to {plain(found)}, and the books say {plain(whole)}")
