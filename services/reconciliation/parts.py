"""What the difference of one row is made of.

Law: the parts add up to invoiced − expected, to the last digit. A quantity's part is what the invoiced one would
cost at the contract's prices, tiers and all, less what is expected; where these can't be told, at our own average
price. It is rounded once; the rest is the price's.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from services.contract.money import EXACT, ZERO, add, subtract, total
from services.reconciliation.model import FINE, Category, Claim, ClaimKey, Tolerance

ROUNDED_QUANTITY = 1000
"""A quantity that is off by no more than such a part, and by no more than rounding is worth, is taken for rounded."""
_NAMED_MAX = 5
"""Lines that are named as repeated; the row has all of them."""
Parts = Mapping[Category, Decimal]


@dataclass(frozen=True, slots=True)
class Sums:
    """A row's two sides; `quantity` is None where it can't be compared, `roundings` how many amounts were rounded."""

    invoiced: Decimal
    expected: Decimal
    quantity: Fraction | None
    expected_quantity: Fraction
    digits: int
    roundings: int
    tolerance: Tolerance
    worth: Callable[[Fraction], Decimal | None]
    """What a quantity costs by the contract's prices; None where that can't be told."""

    @property
    def difference(self) -> Decimal:
        """By how much more is invoiced."""
        return subtract(self.invoiced, self.expected)

    @property
    def same_quantity(self) -> bool:
        """Whether the quantities are the same, within the tolerance; so they are where there is nothing to compare."""
        if self.quantity is None or not self.expected_quantity:
            return True
        allowed = _allowed(self.tolerance.quantity, self.tolerance.quantity_percent, self.expected_quantity)
        return abs(self.quantity - self.expected_quantity) <= allowed

    @property
    def is_rounded_quantity(self) -> bool:
        """Whether the quantity is off by so little that it may be written with fewer decimals."""
        off = abs((self.quantity or Fraction(0)) - self.expected_quantity)
        return off <= abs(self.expected_quantity) / ROUNDED_QUANTITY

    def is_rounding(self, amount: Decimal) -> bool:
        """Whether an amount is no more than rounding each line once may come to."""
        return Fraction(abs(amount)) <= Fraction(self.roundings, 2 * 10**self.digits)

    def is_tolerated(self, amount: Decimal) -> bool:
        """Whether an amount is within the tolerance."""
        allowed = _allowed(self.tolerance.amount, self.tolerance.amount_percent, Fraction(self.expected))
        return Fraction(abs(amount)) <= allowed


def divide(
    key: ClaimKey, sums: Sums, claims: Sequence[Claim], *, is_expected: bool
) -> tuple[Category, Parts, list[str]]:
    """Tell what a row comes to, what its difference is made of, and what is to be said of that."""
    if not claims:
        return Category.NOT_INVOICED, _given(Category.NOT_INVOICED, sums.difference), []
    again, notes = _again(sums, claims, is_expected=is_expected)
    if again:
        twice = total(claim.net for claim in again)
        rest = _rest(claims, again)
        others = _left(key, _without(sums, again, rest), is_expected=is_expected)
        return Category.TWICE, {**others, **_given(Category.TWICE, twice)}, notes
    category, parts = _compared(sums) if is_expected else _unexpected(key, sums)
    return category, parts, []


def _unexpected(key: ClaimKey, sums: Sums) -> tuple[Category, Parts]:
    category = Category.NOT_METERED if key.item else Category.UNKNOWN_ITEM
    return category, _given(category, sums.difference)


def _left(key: ClaimKey, sums: Sums, *, is_expected: bool) -> Parts:
    """Return what the difference is made of once what came twice is left out."""
    return (_compared(sums) if is_expected else _unexpected(key, sums))[1]


def _compared(sums: Sums) -> tuple[Category, Parts]:
    difference = sums.difference
    if sums.same_quantity:
        category = Category.AGREES if not difference else _small(sums, difference) or Category.PRICE
        return category, _given(category, difference)
    assert sums.quantity is not None, "it differs"
    priced = sums.worth(sums.quantity)
    worth = rounded(
        Fraction(sums.expected) * sums.quantity / sums.expected_quantity if priced is None else Fraction(priced),
        sums.digits,
    )
    of_quantity = subtract(worth, sums.expected)
    of_price = subtract(sums.invoiced, worth)
    if sums.is_rounded_quantity and sums.is_rounding(of_quantity) and sums.is_rounding(difference):
        return (Category.ROUNDING if difference else Category.AGREES), _given(Category.ROUNDING, difference)
    small = _small(sums, of_price)
    if not of_price or small:
        return Category.QUANTITY, _given(Category.QUANTITY, of_quantity) | _given(small or Category.PRICE, of_price)
    return Category.BOTH, _given(Category.QUANTITY, of_quantity) | _given(Category.PRICE, of_price)


def _again(sums: Sums, claims: Sequence[Claim], *, is_expected: bool) -> tuple[list[Claim], list[str]]:
    """Return the claims that invoice again what was invoiced: there is too much, and without them there is not.

    They are all of these documents where earlier ones had agreed, or those that say the same as another one, where the
    quantity is right without them or where nothing is expected and the other is on an earlier document.
    """
    now = [claim for claim in claims if not claim.is_earlier]
    before = [claim for claim in claims if claim.is_earlier]
    if not _is_too_much(sums):
        return [], []
    if before and now and is_expected and _compared(_without(sums, now, before))[0] in FINE:
        return now, [_invoiced_before(before)]
    seen = set(map(_said, before))
    repeated = _repeated(before, now if is_expected else [each for each in now if _said(each) in seen])
    left = _without(sums, repeated, _rest(claims, repeated))
    if not repeated or (is_expected and _compared(left)[0] not in {*FINE, Category.PRICE}):
        return [], []
    return repeated, [f"the same as on {', '.join(sorted({_first(claim, claims) for claim in repeated[:_NAMED_MAX]}))}"]


def _invoiced_before(before: Sequence[Claim]) -> str:
    """Name the documents that invoiced before, and apart from them those that gave some of it back."""
    nets: dict[str, Decimal] = {}
    for claim in before:
        nets[claim.document] = add(nets.get(claim.document, ZERO), claim.net)
    sign = total(nets.values())
    back = sorted(number for number, net in nets.items() if net and (net > 0) != (sign > 0))
    invoices = ", ".join(sorted(nets.keys() - set(back)))
    return f"invoiced before on {invoices}" + (f"; credited on {', '.join(back)}" if back else "")


def _is_too_much(sums: Sums) -> bool:
    """Tell whether more is invoiced than expected: the difference has the sign of what is."""
    return (sums.difference > 0) == ((sums.expected or sums.invoiced) > 0) and bool(sums.difference)


def _repeated(before: Sequence[Claim], now: Sequence[Claim]) -> list[Claim]:
    """Return the claims that say just what another one says, whichever of the two comes first."""
    seen = Counter(_said(claim) for claim in {_said(claim): claim for claim in before}.values())
    repeated = []
    for claim in sorted(now, key=lambda each: (each.document, each.place)):
        if seen[_said(claim)]:
            repeated.append(claim)
        seen[_said(claim)] += 1
    return repeated


def _rest(claims: Sequence[Claim], without: Sequence[Claim]) -> list[Claim]:
    """Return the others: lines are told apart even where they say the same."""
    left_out = set(map(id, without))
    return [claim for claim in claims if id(claim) not in left_out]


def _said(claim: Claim) -> tuple[object, ...]:
    return (claim.whose, claim.net, claim.quantity)


def _first(claim: Claim, claims: Sequence[Claim]) -> str:
    same = [each for each in claims if each is not claim and _said(each) == _said(claim)]
    first = min(same, key=lambda each: (not each.is_earlier, each.document, each.place))
    return f"{first.document} {first.place}"


def _without(sums: Sums, again: Sequence[Claim], rest: Sequence[Claim]) -> Sums:
    quantities = [claim.quantity for claim in rest]
    known = [each for each in quantities if each is not None]
    return replace(
        sums,
        invoiced=subtract(sums.invoiced, total(claim.net for claim in again)),
        quantity=sum(known, Fraction(0)) if len(known) == len(quantities) else None,
        roundings=sums.roundings - len(again),
    )


def _small(sums: Sums, amount: Decimal) -> Category | None:
    """Return why an amount needs no attention; None where it does."""
    if sums.is_rounding(amount):
        return Category.ROUNDING
    return Category.TOLERATED if sums.is_tolerated(amount) else None


def _given(category: Category, amount: Decimal) -> dict[Category, Decimal]:
    return {category: amount} if amount != ZERO else {}


def _allowed(amount: Decimal, percent: Decimal, of: Fraction) -> Fraction:
    return max(Fraction(amount), Fraction(percent) * abs(of) / 100)


def rounded(number: Fraction, digits: int) -> Decimal:
    """Round half up, away from zero."""
    scaled = abs(number) * 10**digits
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal(whole if number >= 0 else -whole).scaleb(-digits, EXACT)
