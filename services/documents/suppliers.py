"""What each supplier is expected to invoice for a month: an award's lines over all institutions.

Law: the lines of an award hold what its lines on all invoices of the month hold, unrounded, to the last digit; each is
rounded once.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from services.contract.model import Contract
from services.contract.money import ZERO, add, plain, round_half_up
from services.invoicing.documents import due, table_csv
from services.invoicing.statement import Statement

COLUMNS = (
    "invoice_month", "award", "lot", "supplier", "supplier_name", "supplier_vat_id", "item", "item_name", "unit",
    "usage_month", "tariff", "quantity", "price_currency", "price_amount", "exact_amount", "amount", "currency",
)  # fmt: skip


class ExpectedKey(NamedTuple):
    """What a line of a supplier's statement is about; `currency` is that of its prices, empty for our own."""

    award: str
    item: str
    month: str
    tariff: str
    currency: str


class Expected(NamedTuple):
    """A quantity, its unrounded amount, and that in the currency of its prices (zero for the contract's own)."""

    quantity: Decimal
    exact: Decimal
    in_currency: Decimal


def expected(statements: Iterable[Statement]) -> dict[ExpectedKey, Expected]:
    """Add up the lines of all institutions."""
    sums: dict[ExpectedKey, Expected] = {}
    for statement in statements:
        for line in statement.lines:
            made = line.conversion
            key = ExpectedKey(
                line.key.award, line.key.item, line.key.month, line.key.tariff, made.currency if made else ""
            )
            quantity, exact, in_currency = sums.get(key, Expected(ZERO, ZERO, ZERO))
            of = made.amount if made else ZERO
            sums[key] = Expected(add(quantity, line.quantity), add(exact, line.exact), add(in_currency, of))
    return sums


def supplier_csvs(contract: Contract, month: str, statements: Iterable[Statement]) -> dict[str, bytes]:
    """Return what is expected of each award that has anything, as CSV (RFC 4180, UTF-8), by the award's code."""
    rows: dict[str, list[dict[str, str]]] = {}
    for key, line in sorted(expected(statements).items()):
        if any(line):
            rows.setdefault(key.award, []).append(_row(contract, month, key, line))
    return {award: table_csv(COLUMNS, mine).encode() for award, mine in rows.items()}


def _row(contract: Contract, month: str, key: ExpectedKey, line: Expected) -> dict[str, str]:
    award, item = contract.awards[key.award], contract.items[key.item]
    supplier = contract.suppliers[award.supplier]
    values = (
        month, key.award, award.lot, supplier.code, supplier.party.legal_name if supplier.party else supplier.name,
        supplier.party.vat_id if supplier.party else "", key.item, item.name, item.unit, key.month, key.tariff,
        plain(line.quantity), key.currency, plain(line.in_currency) if key.currency else "", plain(line.exact),
        due(contract, round_half_up(line.exact, contract.currency_digits)), contract.currency,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
