"""Exact decimals.

Law: no operation rounds unless its name says so. A quantity has at most 15 decimals and a price at most
12, so an amount has at most 27: that is the ledger's scale. `EXACT` is wide enough for any sum of such
amounts and raises `decimal.Inexact` where a digit would be lost.
"""

import decimal
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

QUANTITY_DIGITS = 15
PRICE_DIGITS = 12
LEDGER_DIGITS = QUANTITY_DIGITS + PRICE_DIGITS
QUANTITY_LIMIT = Decimal(10) ** 15
PRICE_LIMIT = Decimal(10) ** 9

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
HUNDREDTH = Decimal("0.01")
EXACT = decimal.Context(
    prec=200,
    Emin=-999,
    Emax=999,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.Inexact],
)
_ROUNDING = decimal.Context(prec=200)


def add(left: Decimal, right: Decimal) -> Decimal:
    """Return the exact sum."""
    return EXACT.add(left, right)


def subtract(left: Decimal, right: Decimal) -> Decimal:
    """Return the exact difference left − right."""
    return EXACT.subtract(left, right)


def opposite(amount: Decimal) -> Decimal:
    """Return −amount, exact: Python's own minus rounds to the 28 digits of the default context."""
    return amount.copy_negate() if amount else ZERO


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """Return the exact product."""
    return EXACT.multiply(left, right)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum of any number of amounts; zero for none."""
    result = ZERO
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def round_half_up(amount: Decimal, digits: int) -> Decimal:
    """Round half away from zero to `digits` decimals, as the contract says a line is rounded (EN 16931: half up)."""
    return amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP, context=_ROUNDING)


def started(quantity: Decimal, size: Decimal) -> Decimal:
    """Return how many parts of a size a quantity has started: its ratio, rounded up to a whole number."""
    parts, rest = EXACT.divmod(quantity, size)  # rounds towards zero, which is up for a quantity below zero
    return EXACT.add(parts, Decimal(1)) if rest > 0 else parts


def quotient(left: Decimal, right: Decimal) -> Decimal:
    """Return left / right to 200 digits: for ratios that are shown, never for amounts that are owed."""
    return _ROUNDING.divide(left, right)


def decimals(number: Decimal) -> int:
    """Return how many digits stand behind the point once trailing zeros are dropped."""
    exponent = number.normalize(EXACT).as_tuple().exponent
    assert isinstance(exponent, int), number
    return max(0, -exponent)


def plain(number: Decimal) -> str:
    """Write a number the one way we write numbers: no exponent, no trailing zeros, no minus on zero."""
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
