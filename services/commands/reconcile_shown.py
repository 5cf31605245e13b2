"""A reconciliation on a terminal: what differs, and what the whole difference is made of."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from services.contract.money import ZERO, plain, round_half_up
from services.output import Column, console, counted, show
from services.reconciliation.model import FINE, Category, Reconciliation, Row
from services.reconciliation.rows import money, of_row, quantity, sum_of_parts

_COLUMNS = [
    Column("what", "what"), Column("item", "item", whole=True), Column("used", "of month", whole=True),
    Column("invoiced_quantity", "quantity", right=True, spare=True),
    Column("expected_quantity", "expected", right=True, spare=True), Column("unit", "unit", cut=True, spare=True),
    Column("invoiced", "invoiced", right=True), Column("expected", "expected", right=True),
    Column("difference", "difference", right=True),
]  # fmt: skip
_PARTS = [
    Column("what", "made of", whole=True),
    Column("rows", "rows", right=True),
    Column("amount", "amount", right=True),
]
QUANTITY_DIGITS_SHOWN = 3
_SHOWN_MAX = 200
"""Rows in a terminal; files have all."""


def show_reconciliation(found: Reconciliation) -> None:
    """Print what differs, then what the whole difference is made of."""
    odd = [row for row in found.rows if row.category not in FINE]
    if odd:
        columns = [each for each in _COLUMNS if each.key != "used" or any(row.key.month != found.month for row in odd)]
        title = f"{', '.join(found.awards)} for {found.month}: {counted(len(odd), 'row')} to look at"
        show([_table_row(found, row) for row in odd[:_SHOWN_MAX]], columns, title=title)
        if len(odd) > _SHOWN_MAX:
            console.print(f"and {len(odd) - _SHOWN_MAX} more: --csv FILE has them all", highlight=False)
    for row in odd[:_SHOWN_MAX]:
        if row.notes:
            say(f"{' '.join(of_row(row))}: {'; '.join(row.notes)}")
    for problem in found.problems:
        say(problem, "red")
    for note in found.notes:
        say(note)
    _show_sums(found)


def _show_sums(found: Reconciliation) -> None:
    agreeing = sum(row.category is Category.AGREES for row in found.rows)
    counts = {Category.AGREES: agreeing} if agreeing else {}
    counts |= {category: sum(category in row.parts for row in found.rows) for category in found.parts}
    rows = [
        {"what": category.value, "rows": count, "amount": _signed(found, found.parts.get(category, ZERO))}
        for category, count in counts.items()
    ]
    show(rows, _PARTS, title=f"\n{', '.join(f'{each.number} ({money(found, each.net)})' for each in found.documents)}")
    state = "agrees" if found.agrees else "differs"
    console.print(
        f"invoiced {money(found, found.invoiced)}, expected {money(found, found.expected)}, difference "
        f"{_signed(found, sum_of_parts(found))} {found.currency} without VAT: {state}",
        style="bold", highlight=False, soft_wrap=True,
    )  # fmt: skip


def _signed(found: Reconciliation, amount: Decimal) -> str:
    return f"+{money(found, amount)}" if amount > 0 else money(found, amount)


def _table_row(found: Reconciliation, row: Row) -> dict[str, Any]:
    return {
        "what": row.category.value,
        "item": " ".join(of_row(row)),
        "used": row.key.month,
        "invoiced_quantity": _brief(row.invoiced_quantity),
        "expected_quantity": _brief(row.expected_quantity),
        "unit": row.unit,
        "invoiced": money(found, row.invoiced),
        "expected": money(found, row.expected),
        "difference": _signed(found, row.difference),
    }


def _brief(number: Fraction | None) -> str:
    return "" if number is None else plain(round_half_up(Decimal(quantity(number)), QUANTITY_DIGITS_SHOWN))


def say(text: str, style: str = "dim") -> None:
    """Print a sentence, whatever stands in it."""
    console.print(text, style=style, highlight=False, soft_wrap=True, markup=False)
