"""What is expected in a document's currency, and what was invoiced before in another.

An award whose prices are in a currency may be invoiced in that or in the contract's, so what earlier documents invoiced
in one counts in the other.

Law: an amount is converted by what its own lines are expected to come to in both currencies, which is the contract's
rate; what agreed in one comes to just what is expected in the other.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from services.contract.currencies import CURRENCY_DIGITS
from services.contract.money import ZERO, add, plain, round_half_up, total
from services.reconciliation.model import Claim, ClaimKey, Expectation, ExpectedLine
from services.reconciliation.parts import rounded


@dataclass(frozen=True, slots=True)
class Amounts:
    """How amounts are taken in a document's currency."""

    expectation: Expectation
    currency: str

    @property
    def digits(self) -> int:
        """The currency's decimals."""
        return CURRENCY_DIGITS[self.currency]

    def of(self, line: ExpectedLine) -> Decimal | None:
        """Return what is expected of a line, unrounded; None where it is not priced in the currency."""
        if self.currency == self.expectation.currency:
            return line.exact
        return line.in_currency if line.currency == self.currency else None

    def due(self, lines: Iterable[ExpectedLine]) -> Decimal:
        """Return what is expected of lines that are priced in it: those of one tariff rounded together, as exported."""
        sums: dict[tuple[str, str], Decimal] = {}
        for line in lines:
            amount = self.of(line)
            assert amount is not None, "what is not in this currency was left out"
            sums[line.tariff, line.currency] = add(sums.get((line.tariff, line.currency), ZERO), amount)
        return total(round_half_up(each, self.digits) for each in sums.values())


def converted(amounts: Amounts, claims: Iterable[Claim]) -> tuple[list[Claim], list[str]]:
    """Return earlier claims as they count in a currency, and what is to be said of those that can't be converted."""
    counted, problems = [], []
    foreign: dict[tuple[str, ClaimKey], list[Claim]] = defaultdict(list)
    for claim in claims:
        if claim.currency in {"", amounts.currency}:
            counted.append(claim)
        else:
            foreign[claim.currency, claim.key].append(claim)
    expected = _by_key(amounts.expectation) if foreign else {}
    for (currency, key), mine in foreign.items():
        lines = expected.get(key, [])
        if lines and not any(amounts.of(line) is not None for line in lines):
            continue  # it is priced in other currencies, and is compared in those
        theirs = Amounts(amounts.expectation, currency)
        rate = _rate(theirs, amounts, lines, mine) or _rate_of_month(theirs, amounts, key.month)
        if rate is None:
            problems += [_not_counted(claim, amounts.currency) for claim in mine]
        else:
            counted += _beyond(theirs, amounts, lines, mine, rate)
    return counted, problems


def _by_key(expectation: Expectation) -> dict[ClaimKey, list[ExpectedLine]]:
    found: dict[ClaimKey, list[ExpectedLine]] = defaultdict(list)
    for line in expectation.lines:
        found[ClaimKey(line.award, line.item, "", line.month)].append(line)
    return found


def _not_counted(claim: Claim, wanted: str) -> str:
    return (f"{claim.document} {claim.place}: {plain(claim.net)} {claim.currency}, invoiced before, do not count: "
            f"no rate to {wanted} is known")  # fmt: skip


def _rate(theirs: Amounts, ours: Amounts, lines: Sequence[ExpectedLine], claims: Sequence[Claim]) -> Fraction | None:
    """Return what a unit of their currency is in ours by lines that are priced in both; None where there are none.

    Where claims are all that is due, it is that of the rounded amounts, so that no cent is left over.
    """
    both = [line for line in lines if theirs.of(line) is not None and ours.of(line) is not None]
    due, invoiced = theirs.due(both), total(claim.net for claim in claims)
    if due and abs(Fraction(invoiced) - Fraction(due)) <= Fraction(len(claims), 2 * 10**theirs.digits):
        return Fraction(ours.due(both)) / Fraction(due)
    exact = total(theirs.of(line) or ZERO for line in both)
    return Fraction(total(ours.of(line) or ZERO for line in both)) / Fraction(exact) if exact else None


def _rate_of_month(theirs: Amounts, ours: Amounts, month: str) -> Fraction | None:
    """Return the same by way of the contract's currency: of all lines of a month, else of all that there are."""
    bought, sold = _bought(ours, month), _bought(theirs, month)
    return bought / sold if bought and sold else None


def _bought(amounts: Amounts, month: str) -> Fraction | None:
    """Return how much of a currency a unit of the contract's buys, as its lines say."""
    priced = [line for line in amounts.expectation.lines if amounts.of(line) and line.exact]
    lines = [line for line in priced if line.month == month] or priced
    exact = total(line.exact.copy_abs() for line in lines)
    return Fraction(total((amounts.of(line) or ZERO).copy_abs() for line in lines)) / Fraction(exact) if exact else None


def _beyond(
    theirs: Amounts, ours: Amounts, lines: Sequence[ExpectedLine], claims: Sequence[Claim], rate: Fraction
) -> list[Claim]:
    """Return claims in our currency: their part beyond what is priced in theirs alone, which only they can invoice."""
    alone = [line for line in lines if theirs.of(line) is not None and ours.of(line) is None]
    amount = _part(Fraction(total(claim.net for claim in claims)), Fraction(theirs.due(alone)))
    quantities = sum((claim.quantity or Fraction(0) for claim in claims), Fraction(0))
    quantity = _part(quantities, sum((Fraction(line.quantity) for line in alone), Fraction(0)))
    made = []
    for claim in claims:
        net = rounded(Fraction(claim.net) * amount * rate, ours.digits)
        both = f"{plain(claim.net)} {claim.currency}: {plain(net)} {ours.currency}"
        said = f"{claim.document} invoiced {both} at the contract's rate"
        own = None if claim.quantity is None else claim.quantity * quantity
        made.append(replace(claim, net=net, quantity=own, currency=ours.currency, notes=(*claim.notes, said)))
    return made


def _part(whole: Fraction, taken: Fraction) -> Fraction:
    """Return which part of a whole is left once so much of it is taken."""
    if not taken:
        return Fraction(1)
    return max(Fraction(0), 1 - taken / whole) if whole else Fraction(0)
