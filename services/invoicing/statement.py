"""A statement: an institution's month in lines.

Law: a line is rounded once, half up to the currency's minor unit, and the total is the sum of the rounded
lines (EN 16931, BR-CO-10); the unrounded amount stays beside it, so a cent can always be explained.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from services.contract.charges import ChargeKey, price_of_item
from services.contract.model import Contract
from services.contract.money import round_half_up, total
from services.invoicing.settle import PostingKey, Share


class Conversion(NamedTuple):
    """A line's amount in the currency of its price, unrounded, and how much of that a unit of the contract's buys.

    `rate_month` is the month that the rate was given for; None on invoices that did not keep it.
    """

    currency: str
    rate: Decimal
    amount: Decimal
    rate_month: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `exact` is unrounded, `amount` is what is due; `conversion` only of a price in another currency."""

    key: PostingKey
    quantity: Decimal
    exact: Decimal
    amount: Decimal
    conversion: Conversion | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """An institution's lines of one invoice month; `total` is the sum of the lines' rounded amounts."""

    institution: str
    month: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> Decimal:
        """What is due, in the contract's currency."""
        return total(line.amount for line in self.lines)

    @property
    def exact(self) -> Decimal:
        """The sum of the unrounded amounts: what the ledger holds."""
        return total(line.exact for line in self.lines)


def statements(
    contract: Contract,
    month: str,
    shares: Mapping[PostingKey, Share],
    conversions: Mapping[PostingKey, Conversion] | None = None,
) -> list[Statement]:
    """Make the statements of an invoice month, one for each institution with lines, in the order of their codes.

    A share with neither quantity nor amount makes no line.
    """
    lines: dict[str, list[Line]] = defaultdict(list)
    for key in sorted(shares):
        share = shares[key]
        if share.quantity or share.amount:
            rounded = round_half_up(share.amount, contract.currency_digits)
            conversion = conversions.get(key) if conversions else None
            lines[key.institution].append(Line(key, share.quantity, share.amount, rounded, conversion))
    return [Statement(institution, month, tuple(made)) for institution, made in sorted(lines.items())]


def conversions(contract: Contract, settled: Mapping[PostingKey, Decimal]) -> dict[PostingKey, Conversion]:
    """Return what is settled in currencies with these and their rates."""
    made = {}
    for line, amount in settled.items():
        price = price_of_item(contract, ChargeKey(line.award, line.item, line.month, line.tariff, ""))
        assert price.currency is not None, "it is settled in a currency"
        assert price.rate is not None, "a contract with a price in a currency has a rate for it"
        made[line] = Conversion(price.currency, price.rate, amount, price.rate_month)
    return made
