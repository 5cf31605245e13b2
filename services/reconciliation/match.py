"""Matching what is invoiced with what is expected, and telling what the difference is made of.

Laws: a row's parts add up to its difference; the order of lines changes nothing; nor does splitting one, but for the
cents that rounding more lines may come to; what is expected, invoiced as it is, agrees.

Lines are gathered by award, item and month of use. Where all of them say who used, they are compared for each
institution or department, else for all together. What earlier documents invoiced of the month counts, too, in whatever
currency.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial

from services.contract.currencies import CURRENCY_DIGITS
from services.contract.money import HUNDRED, ZERO, add, multiply, plain, quotient, round_half_up, subtract, total
from services.reconciliation.currencies import Amounts, converted
from services.reconciliation.identify import Identified
from services.reconciliation.model import (
    FINE,
    Category,
    Claim,
    ClaimKey,
    Expectation,
    ExpectedLine,
    InvoiceError,
    KnownItem,
    Parties,
    Reconciliation,
    Row,
    Tolerance,
    Whose,
)
from services.reconciliation.parts import Sums, divide
from services.reconciliation.quantities import scale

EXACTLY = Tolerance()
UNIT_PRICE_DIGITS = 6
"""Decimals of a unit price that is told; it is for reading alone."""
Group = tuple[ClaimKey, tuple[str, ...]]
"""What is compared as one: award, item and month, and who used as far as all its lines say it."""


def reconcile(
    expectation: Expectation,
    identified: Sequence[Identified],
    earlier: Iterable[Claim] = (),
    tolerance: Tolerance = EXACTLY,
    problems: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> Reconciliation:
    """Compare documents of one currency with what is expected of their awards, beside what was invoiced before."""
    currency = _currency(expectation, identified)
    awards = frozenset().union(*(each.awards for each in identified))
    amounts = Amounts(expectation, currency)
    before, unconverted = converted(amounts, (claim for claim in earlier if claim.key.award in awards))
    scope = _scope(identified)
    said = [*notes, *(note for each in identified for note in each.notes)]
    if scope is not None and any(claim.whose is None for claim in before):
        scope = None
        said.append("earlier documents do not say who used, so what all used is compared")
    claims = [claim for each in identified for claim in each.claims]
    claims += [claim for claim in before if _is_in(scope, claim.whose)]
    lines = [line for line in expectation.lines if line.award in awards and _is_in(scope, line.whose)]
    rows = compared(amounts, claims, lines, tolerance)
    others = [line for line in lines if amounts.of(line) is None]
    if others:
        said.append(f"{len(others)} expected lines are not priced in {currency}: another invoice has to have them")
    return Reconciliation(
        month=expectation.month,
        currency=currency,
        digits=amounts.digits,
        awards=tuple(sorted(awards)),
        documents=tuple(each.document for each in identified),
        parties=_parties(expectation, awards),
        rows=rows,
        problems=(
            *problems,
            *unconverted,
            *(problem for each in identified for problem in (*each.problems, *each.document.problems)),
        ),
        notes=tuple(dict.fromkeys((*said, *_vat_notes(rows)))),
    )


def compared(
    amounts: Amounts, claims: Sequence[Claim], lines: Sequence[ExpectedLine], tolerance: Tolerance = EXACTLY
) -> tuple[Row, ...]:
    """Return a row for each item, month and who used, and for each discount on a whole document."""
    rows = [
        _row(amounts, group, mine, expected, tolerance)
        for group, (mine, expected) in sorted(_gathered(claims, lines, amounts).items())
    ]
    return tuple(sorted((*_on_documents(claims), *rows), key=_order))


def _parties(expectation: Expectation, awards: Iterable[str]) -> Parties:
    suppliers = (expectation.awards[award].name for award in sorted(awards))
    return Parties(tuple(dict.fromkeys(filter(None, suppliers))), expectation.buyer, expectation.contract_name)


def _currency(expectation: Expectation, identified: Sequence[Identified]) -> str:
    """Return the currency that is compared in: the documents' own, which prices or the contract must be in."""
    found = sorted({each.document.currency or expectation.currency for each in identified})
    if len(found) > 1:
        raise InvoiceError(f"found documents in {' and '.join(found)}; wanted those of one currency at a time")
    known = {expectation.currency, *(line.currency for line in expectation.lines if line.currency)}
    if found[0] not in known:
        raise InvoiceError(f"{identified[0].document.file}: found an invoice in {found[0]}; wanted one in "
                           f"{' or '.join(sorted(known))}, which the contract and its prices are in")  # fmt: skip
    return found[0]


def _scope(identified: Sequence[Identified]) -> frozenset[Whose] | None:
    """Return whom the documents are for; None where one of them does not say so as a whole."""
    whose = [each.whose for each in identified]
    return None if None in whose else frozenset(each for each in whose if each is not None)


def _is_in(scope: frozenset[Whose] | None, whose: Whose | None) -> bool:
    if scope is None or whose is None:
        return scope is None
    return whose in scope or Whose(whose.institution, None) in scope


def _gathered(
    claims: Iterable[Claim], lines: Sequence[ExpectedLine], amounts: Amounts
) -> dict[Group, tuple[list[Claim], list[ExpectedLine]]]:
    """Gather claims and what is expected, told apart by who used as far as every claim of an item says it."""
    gathered: dict[Group, tuple[list[Claim], list[ExpectedLine]]] = defaultdict(lambda: ([], []))
    told: dict[ClaimKey, int] = {}
    mine = [claim for claim in claims if not claim.is_whole]
    for claim in mine:
        told[claim.key] = min(told.get(claim.key, 2), len(_path(claim.whose)))
    for claim in mine:
        gathered[claim.key, _path(claim.whose)[: told[claim.key]]][0].append(claim)
    for line in lines:
        if amounts.of(line) is not None and (line.exact or line.quantity):
            key = ClaimKey(line.award, line.item, "", line.month)
            gathered[key, _path(line.whose)[: told.get(key, 0)]][1].append(line)
    return gathered


def _path(whose: Whose | None) -> tuple[str, ...]:
    if whose is None:
        return ()
    return (whose.institution,) if whose.department is None else (whose.institution, whose.department)


def _row(
    amounts: Amounts, group: Group, claims: Sequence[Claim], expected: Sequence[ExpectedLine], tolerance: Tolerance
) -> Row:
    key, whose = group
    item = amounts.expectation.items.get(key.item)
    due = amounts.due(expected)
    quantities = [claim.quantity for claim in claims]
    is_known = bool(claims) and None not in quantities
    sums = Sums(
        invoiced=total(claim.net for claim in claims),
        expected=due,
        quantity=sum((each for each in quantities if each is not None), Fraction(0)) if is_known else None,
        expected_quantity=sum((Fraction(line.quantity) for line in expected), Fraction(0)),
        digits=amounts.digits,
        roundings=len(claims) + len({line.tariff for line in expected}),
        tolerance=tolerance,
        worth=partial(_worth, amounts, expected),
    )
    category, parts, notes = divide(key, sums, claims, is_expected=bool(expected))
    return Row(
        key=key,
        name=item.name if item else key.name,
        unit=item.unit if item else "",
        institution=whose[0] if whose else "",
        department=whose[1] if len(whose) > 1 else "",
        category=category,
        parts=parts,
        invoiced=sums.invoiced,
        expected=due,
        invoiced_quantity=sums.quantity,
        expected_quantity=sums.expected_quantity if expected else None,
        earlier=total(claim.net for claim in claims if claim.is_earlier),
        places=tuple(sorted(f"{claim.document} {claim.place}" for claim in claims)),
        notes=tuple(
            dict.fromkeys(
                (
                    *notes,
                    *_of_prices(category, sums, item),
                    *(note for claim in claims for note in sorted(claim.notes)),
                    *_of_scale(sums),
                )
            )
        ),
    )


def _worth(amounts: Amounts, expected: Sequence[ExpectedLine], quantity: Fraction) -> Decimal | None:
    """Return what a quantity costs at the contract's prices, where all that is expected runs up one meter.

    So it does if its own quantity costs, on one meter, just what is expected: then tiers are those of the whole.
    """
    if (
        amounts.currency != amounts.expectation.currency
        or len({(line.tariff, line.currency) for line in expected}) != 1
    ):
        return None
    own = sum((Fraction(line.quantity) for line in expected), Fraction(0))
    if amounts.expectation.worth(expected[0], own) != total(line.exact for line in expected):
        return None
    return amounts.expectation.worth(expected[0], quantity)


def _of_prices(category: Category, sums: Sums, item: KnownItem | None) -> list[str]:
    """Say what a unit came to on both sides, where its price differs."""
    if category not in {Category.PRICE, Category.BOTH} or not sums.quantity or not sums.expected_quantity or not item:
        return []
    each = [
        plain(round_half_up(quotient(amount, _decimal(quantity)), UNIT_PRICE_DIGITS))
        for amount, quantity in ((sums.invoiced, sums.quantity), (sums.expected, sums.expected_quantity))
    ]
    return [f"{each[0]} instead of {each[1]} for a unit ({item.unit})"] if each[0] != each[1] else []


def _decimal(number: Fraction) -> Decimal:
    return quotient(Decimal(number.numerator), Decimal(number.denominator))


def _of_scale(sums: Sums) -> list[str]:
    """Say where a quantity looks like the right one in another unit."""
    if not sums.quantity or not sums.expected_quantity:
        return []
    looks = scale(sums.quantity / sums.expected_quantity)
    return [f"the quantity looks like {looks}"] if looks else []


def _on_documents(claims: Iterable[Claim]) -> list[Row]:
    """Return a row for each discount or charge on a whole document: nothing of the kind is expected."""
    sums: dict[ClaimKey, list[Claim]] = defaultdict(list)
    for claim in claims:
        if claim.is_whole:
            sums[claim.key].append(claim)
    rows = []
    for key, mine in sums.items():
        amount = total(claim.net for claim in mine)
        earlier = total(claim.net for claim in mine if claim.is_earlier)
        places = tuple(sorted(f"{claim.document} {claim.place}" for claim in mine))
        parts: Mapping[Category, Decimal] = {Category.ON_DOCUMENT: amount}
        name = key.name or "discount or charge"
        rows.append(
            Row(key, name, "", "", "", Category.ON_DOCUMENT, parts, amount, ZERO, None, None, earlier, places, ())
        )
    return rows


def _order(row: Row) -> tuple[bool, Decimal, ClaimKey, str, str]:
    """What needs attention comes first, and of that the largest amount."""
    return (row.category in FINE, -row.difference.copy_abs(), row.key, row.institution, row.department)


def expected_elsewhere(found: Reconciliation, others: Iterable[Expectation]) -> Reconciliation:
    """Note of what is not metered in its month whether another month's statement has it, as where one invoices late."""
    odd = {row.key for row in found.rows if row.category is Category.NOT_METERED}
    notes = []
    for other in others:
        sums: dict[ClaimKey, Decimal] = defaultdict(lambda: ZERO)
        for line in other.lines:
            key = ClaimKey(line.award, line.item, "", line.month)
            sums[key] = add(sums[key], line.exact)
        notes += [
            f"{key.item} of {key.month} is expected on the statement of {other.month}, there "
            f"{plain(round_half_up(sums[key], CURRENCY_DIGITS[other.currency]))} {other.currency}: "
            f"see --month {other.month}"
            for key in sorted(odd & sums.keys())
        ]
    return replace(found, notes=(*found.notes, *notes))


def _vat_notes(rows: Sequence[Row]) -> list[str]:
    """Say where all prices are above ours by the same per cent, as where VAT stands in the net amounts."""
    compared = [row for row in rows if row.expected > 0 and row.invoiced]
    ratios = {round_half_up(multiply(quotient(row.invoiced, row.expected), HUNDRED), 0) for row in compared}
    if len(compared) < 2 or len(ratios) != 1 or HUNDRED in ratios:
        return []
    more = subtract(ratios.pop(), HUNDRED)
    return [f"every amount is {more:+f} % beside ours: is it VAT, or a discount on all?"]
