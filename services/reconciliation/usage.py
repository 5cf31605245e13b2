"""A provider's own totals of a month beside what was taken of it.

Law: both sides are compared in the item's own unit, exactly; what is rejected, in conflict or late is told beside, and
moves neither side. Rows are as fine as the provider's: by item alone, by institution, or by department.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from services.contract.model import Contract, payer
from services.contract.money import EXACT, HUNDRED, QUANTITY_DIGITS, ZERO, add, multiply, quotient, subtract
from services.contract.problems import one_of, show
from services.reconciliation.cells import Cells, Columns, rows_of
from services.reconciliation.mapping import Names
from services.reconciliation.model import InvoiceError
from services.reconciliation.quantities import factor, is_piece

COLUMNS: Columns = {
    "item": ("item", "item_code", "sku", "product_code", "code"),
    "lot": ("lot",),
    "subject": ("subject", "institution", "customer"),
    "month": ("usage_month", "month", "billing_month"),
    "quantity": ("quantity", "total", "usage_quantity", "qty"),
    "unit": ("unit", "uom", "unit_of_measure"),
}


class State(StrEnum):
    """What a row comes to."""

    AGREES = "agrees"
    TOLERATED = "within tolerance"
    DIFFERS = "differs"
    NOT_TAKEN = "nothing taken"
    NOT_SENT = "not in their totals"


class UsageKey(NamedTuple):
    """A lot's item and who used it; an empty subject stands for all."""

    lot: str
    item: str
    subject: str


class Taken(NamedTuple):
    """What was taken of a key: the quantity that counts, and of it what came once its month was closed."""

    quantity: Decimal
    late: Decimal


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Two totals; `refused` has the quantities of events that were not taken, by reason."""

    key: UsageKey
    unit: str
    theirs: Decimal | None
    ours: Decimal
    late: Decimal
    refused: Mapping[str, Decimal]
    state: State

    @property
    def difference(self) -> Decimal:
        """By how much their total is more than what was taken."""
        return subtract(self.theirs or ZERO, self.ours)


class Allowed(NamedTuple):
    """What may differ: the larger of so much and so many per cent of what was taken."""

    quantity: Decimal = ZERO
    percent: Decimal = ZERO


EXACTLY = Allowed()


def read_totals(
    data: bytes, file: str, contract: Contract, provider: str, month: str, names: Names
) -> dict[UsageKey, Decimal]:
    """Read a provider's totals, in the items' own units; rows of one key are added up."""
    totals: dict[UsageKey, Decimal] = {}
    for row in rows_of(data, file, COLUMNS, (("item",), ("quantity",)), names):
        if row.text("month") not in {"", month}:
            raise InvoiceError(f"{row.place}: found the month {row.text('month')!r}; wanted {month}, as --month says")
        key = UsageKey(_lot(row, contract, provider), _item(row, names), _subject(row, contract, names))
        totals[key] = add(totals.get(key, ZERO), _quantity(row, contract, key.item, names))
    if not totals:
        raise InvoiceError(f"{file}: no rows below the header; wanted at least one")
    return totals


def compare(
    contract: Contract,
    theirs: Mapping[UsageKey, Decimal],
    taken: Mapping[UsageKey, Taken],
    refused: Mapping[tuple[UsageKey, str], Decimal],
    allowed: Allowed = EXACTLY,
) -> list[UsageRow]:
    """Compare totals with what was taken by subject, each item as finely as the provider tells it."""
    levels = _levels(theirs)
    ours: dict[UsageKey, Taken] = {}
    for key, each in taken.items():
        at = _at(levels, key)
        before = ours.get(at, Taken(ZERO, ZERO))
        ours[at] = Taken(add(before.quantity, each.quantity), add(before.late, each.late))
    beside: dict[UsageKey, dict[str, Decimal]] = defaultdict(dict)
    for (key, reason), quantity in refused.items():
        mine = beside[_at(levels, key)]
        mine[reason] = add(mine.get(reason, ZERO), quantity)
    keys = sorted({*theirs, *(key for key, each in ours.items() if each.quantity or each.late), *beside})
    return [_row(contract, key, theirs.get(key), ours.get(key), beside.get(key, {}), allowed) for key in keys]


def agree(rows: Iterable[UsageRow]) -> bool:
    """Tell whether no row differs."""
    return all(row.state in {State.AGREES, State.TOLERATED} for row in rows)


def _row(
    contract: Contract, key: UsageKey, theirs: Decimal | None, ours: Taken | None, refused: Mapping[str, Decimal],
    allowed: Allowed,
) -> UsageRow:  # fmt: skip
    quantity, late = ours or Taken(ZERO, ZERO)
    unit = contract.items[key.item].unit if key.item in contract.items else ""
    return UsageRow(key, unit, theirs, quantity, late, refused, _state(theirs, ours, quantity, allowed))


def _state(theirs: Decimal | None, ours: Taken | None, quantity: Decimal, allowed: Allowed) -> State:
    difference = abs(subtract(theirs or ZERO, quantity))
    if not difference:
        return State.AGREES
    if difference <= max(allowed.quantity, quotient(multiply(allowed.percent, abs(quantity)), HUNDRED)):
        return State.TOLERATED
    if theirs is None:
        return State.NOT_SENT
    return State.NOT_TAKEN if ours is None else State.DIFFERS


def _levels(theirs: Iterable[UsageKey]) -> dict[tuple[str, str], int]:
    """Return how finely each item is told: 0 without subjects, 1 by institution, 2 by department."""
    levels: dict[tuple[str, str], int] = {}
    for key in theirs:
        level = 0 if not key.subject else 2 if payer(key.subject) != key.subject else 1
        levels[key.lot, key.item] = max(level, levels.get((key.lot, key.item), 0))
    return levels


def _at(levels: Mapping[tuple[str, str], int], key: UsageKey) -> UsageKey:
    level = levels.get((key.lot, key.item), 0)
    return key._replace(subject=("", payer(key.subject), key.subject)[level])


def _lot(row: Cells, contract: Contract, provider: str) -> str:
    lots = contract.lots_by_provider[provider]
    lot = row.text("lot")
    if not lot and len(lots) == 1:
        return next(iter(lots))
    if lot not in lots:
        raise InvoiceError(f"{row.place}: lot: found {show(lot)}; wanted {one_of(lots, f'lots of {provider}', lot)}")
    return lot


def _item(row: Cells, names: Names) -> str:
    """Return an item's code; one that the contract does not know stays as it is: nothing of it can be taken."""
    item = row.text("item")
    if not item:
        raise InvoiceError(f"{row.place}: item: found nothing; wanted a code")
    return names.items.get(item, item)


def _subject(row: Cells, contract: Contract, names: Names) -> str:
    subject = names.institutions.get(row.text("subject"), row.text("subject"))
    if subject and subject not in contract.subjects:
        wanted = one_of(contract.subjects, "institutions, departments and pools", subject)
        raise InvoiceError(f"{row.place}: subject: found {show(subject)}; wanted {wanted}")
    return subject


def _quantity(row: Cells, contract: Contract, item: str, names: Names) -> Decimal:
    quantity = row.number("quantity")
    unit = names.units.get(row.text("unit"), row.text("unit"))
    if item not in contract.items or is_piece(unit):
        return quantity
    own = contract.items[item].unit
    size = factor(unit, own)
    if size is None:
        raise InvoiceError(f"{row.place}: unit: found {show(unit)}; wanted {own}, or one that can be turned into it")
    return quantity if size == 1 else _decimal(Fraction(quantity) * size)


def _decimal(number: Fraction) -> Decimal:
    """Return a number with as many decimals as a quantity has."""
    scaled = round(number * 10**QUANTITY_DIGITS)
    return Decimal(scaled).scaleb(-QUANTITY_DIGITS, EXACT)
