"""What nobody has invoiced yet: each award's expected lines beside all documents that are kept for the month.

Law: an item lacks by its quantity, so a price that differs is nothing that lacks; where the quantity can't be compared,
by its amount. What costs nothing lacks nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from services.contract.money import ZERO, opposite, total
from services.reconciliation.currencies import Amounts, converted
from services.reconciliation.match import compared
from services.reconciliation.model import FINE, Category, Claim, Expectation, Row


@dataclass(frozen=True, slots=True)
class Missing:
    """An award of which not all is invoiced, in the contract's currency without VAT; `rows` are what lacks.

    `documents` are the numbers of what is kept for the month; `problems`, what of them could not be counted.
    """

    award: str
    supplier: str
    documents: tuple[str, ...]
    expected: Decimal
    invoiced: Decimal
    rows: tuple[Row, ...]
    problems: tuple[str, ...]

    @property
    def missing(self) -> Decimal:
        """What is expected and not invoiced; below zero where it is a reduction that lacks."""
        return total(map(lacking, self.rows))


def missing(expectation: Expectation, claims: Iterable[Claim]) -> list[Missing]:
    """Return the awards with something expected that no document has, or not all of it."""
    amounts = Amounts(expectation, expectation.currency)
    claims = list(claims)
    awards = sorted({line.award for line in expectation.lines if line.exact or line.quantity})
    return [found for award in awards if (found := _of_award(amounts, award, claims)).rows]


def _of_award(amounts: Amounts, award: str, claims: Iterable[Claim]) -> Missing:
    expectation = amounts.expectation
    own = [claim for claim in claims if claim.key.award == award]
    counted, problems = converted(amounts, own)
    lines = [line for line in expectation.lines if line.award == award]
    rows = compared(amounts, counted, lines)
    return Missing(
        award=award,
        supplier=expectation.awards[award].name,
        documents=tuple(sorted({claim.document for claim in own})),
        expected=total(row.expected for row in rows),
        invoiced=total(row.invoiced for row in rows),
        rows=tuple(row for row in rows if lacking(row)),
        problems=tuple(problems),
    )


def lacking(row: Row) -> Decimal:
    """Return how much of what a row expects is not invoiced; zero where it all is."""
    if row.category in FINE or not row.expected:
        return ZERO
    if row.category is Category.NOT_INVOICED:
        return row.expected
    part = row.parts.get(Category.QUANTITY, ZERO) if row.invoiced_quantity is not None else row.difference
    return opposite(part) if (part < 0) == (row.expected > 0) else ZERO
