"""Splitting a whole into parts.

Law: the parts add up to the whole, to the last digit. Each part is its exact share rounded down to the
ledger's scale; the quanta that are left go to the largest remainders (Hamilton's method), ties by name.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from services.contract.money import EXACT, LEDGER_DIGITS, decimals


class Division(NamedTuple):
    """The parts of a whole, and the names of those that got one of the quanta that were left."""

    parts: dict[str, Decimal]
    raised: tuple[str, ...]


def split(whole: Decimal, weights: Mapping[str, Decimal], digits: int = LEDGER_DIGITS) -> dict[str, Decimal]:
    """Split `whole` in proportion to `weights`, in quanta of 10**-digits.

    Weights need not add up to one; they may be negative as long as their sum is not zero. Raises
    ValueError when the weights add up to zero, or when `whole` has more than `digits` decimals.
    """
    return divide(whole, weights, digits).parts


def divide(whole: Decimal, weights: Mapping[str, Decimal], digits: int = LEDGER_DIGITS) -> Division:
    """Split like `split`, and tell who got the quanta that rounding down left over."""
    scale = max((decimals(weight) for weight in weights.values()), default=0)
    shares = {name: int(weight.scaleb(scale, EXACT)) for name, weight in weights.items()}
    divisor = sum(shares.values())
    if divisor == 0:
        raise ValueError(f"weights of {sorted(weights)} add up to zero: nothing says how to split {whole}")
    if decimals(whole) > digits:
        raise ValueError(f"{whole} has more than {digits} decimals")
    quanta = int(whole.scaleb(digits, EXACT))
    if divisor < 0:
        divisor, shares = -divisor, {name: -share for name, share in shares.items()}
    parts = {name: quanta * share // divisor for name, share in shares.items()}
    remainders = {name: quanta * share % divisor for name, share in shares.items()}
    left = quanta - sum(parts.values())
    raised = tuple(sorted(remainders, key=lambda name: (-remainders[name], name))[:left])
    for name in raised:
        parts[name] += 1
    return Division({name: Decimal(part).scaleb(-digits, EXACT) for name, part in parts.items()}, raised)


def equal_parts(whole: Decimal, names: list[str], digits: int = LEDGER_DIGITS) -> dict[str, Decimal]:
    """Split `whole` into as many equal parts as there are names."""
    return split(whole, {name: Decimal(1) for name in names}, digits)
