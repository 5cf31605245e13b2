"""What is expected, from the books or from an exported statement of a supplier (`suppliers/<award>.csv`)."""

import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import partial

from services.contract.charges import ChargeKey, price_of_item
from services.contract.currencies import CURRENCY_DIGITS
from services.contract.model import Award, Contract
from services.contract.money import EXACT, QUANTITY_DIGITS, QUANTITY_LIMIT, ZERO
from services.contract.months import first_day
from services.contract.parties import Party
from services.documents.suppliers import COLUMNS
from services.invoicing.statement import Statement
from services.reconciliation import written
from services.reconciliation.identify import known_as
from services.reconciliation.model import Expectation, ExpectedLine, InvoiceError, KnownAward, KnownItem, Whose


def of_books(contract: Contract, month: str, statements: Iterable[Statement]) -> Expectation:
    """Return what the lines of all institutions' statements let expect."""
    lines = []
    for statement in statements:
        for line in statement.lines:
            key, made = line.key, line.conversion
            lines.append(
                ExpectedLine(
                    key.award, key.item, key.month, key.tariff, Whose(key.institution, key.department), line.quantity,
                    line.exact, made.currency if made else "", made.amount if made else ZERO,
                )
            )  # fmt: skip
    return Expectation(
        month=month,
        contract=contract.code,
        currency=contract.currency,
        items={each.code: KnownItem(each.code, each.name, each.unit) for each in contract.items.values()},
        awards={each.code: _award(contract, each) for each in contract.awards.values()},
        lines=tuple(lines),
        whose=known_as(_named(contract)),
        worth=partial(_worth, contract),
        buyer=contract.coordinator.party.legal_name if contract.coordinator else "",
        contract_name=f"{contract.name} ({contract.code})",
    )  # fmt: skip


def _worth(contract: Contract, line: ExpectedLine, quantity: Fraction) -> Decimal | None:
    """Return what a quantity costs in a line's month; None for what is reserved or in another currency."""
    digits = Decimal(quantity.numerator * 10**QUANTITY_DIGITS // quantity.denominator).scaleb(-QUANTITY_DIGITS, EXACT)
    if Fraction(digits) != quantity or not 0 <= digits < QUANTITY_LIMIT or not contract.items.get(line.item):
        return None
    try:
        price = price_of_item(contract, ChargeKey(line.award, line.item, line.month, line.tariff, ""))
    except KeyError:
        return None
    return None if price.is_promised or price.currency else price.amount(digits)


def of_statement(data: bytes, file: str, month: str) -> Expectation:
    """Return what an exported statement of a supplier lets expect: it tells neither institutions nor the contract."""
    items, awards, lines, currency = {}, {}, [], ""
    for place, row in _rows(data, file):
        if row["invoice_month"] != month:
            raise InvoiceError(f"{place}: found the month {row['invoice_month']!r}; wanted {month}, as --month says")
        for each in (row["currency"], row["price_currency"] or row["currency"]):
            if each not in CURRENCY_DIGITS:
                raise InvoiceError(f"{place}: found the currency {each!r}; wanted one of ISO 4217, like EUR")
        items[row["item"]] = KnownItem(row["item"], row["item_name"], row["unit"])
        names = (row["supplier"], row["supplier_name"], row["supplier_vat_id"])
        awards[row["award"]] = KnownAward(row["award"], row["lot"], row["supplier"], names, *names[1:])
        currency = row["currency"]
        lines.append(_line(row, place))
    if not lines:
        raise InvoiceError(f"{file}: no lines; wanted at least one")
    return Expectation(month, "", currency, items, awards, tuple(lines))


def _rows(data: bytes, file: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a statement, each with its place."""
    reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""), strict=True)
    try:
        if lacking := [each for each in COLUMNS if each not in (reader.fieldnames or ())]:
            raise InvoiceError(f"{file}: no column {', '.join(lacking)}; wanted a supplier's statement as exported")
        for row in reader:
            place = f"{file}: line {reader.line_num}"
            if any(row[each] is None for each in COLUMNS):
                raise InvoiceError(f"{place}: fewer cells than the header has; wanted as many")
            yield place, row
    except csv.Error as error:
        raise InvoiceError(f"{file}: line {reader.line_num}: {error}; wanted CSV, as RFC 4180 has it") from None


def _line(row: dict[str, str], place: str) -> ExpectedLine:
    try:
        first_day(row["usage_month"])
    except ValueError as error:
        raise InvoiceError(f"{place}: usage_month: {error}") from None
    quantity, exact, of = (_number(row[each], place) for each in ("quantity", "exact_amount", "price_amount"))
    return ExpectedLine(row["award"], row["item"], row["usage_month"], row["tariff"], Whose("", ""), quantity, exact,
                        row["price_currency"], of)  # fmt: skip


def _number(text: str, place: str) -> Decimal:
    return written.number(text or "0", place)


def _award(contract: Contract, award: Award) -> KnownAward:
    supplier = contract.suppliers[award.supplier]
    party = supplier.party
    names = (supplier.code, supplier.name, *(_party(party) if party else ()))
    legal, vat_id = (party.legal_name, party.vat_id) if party else (supplier.name, "")
    return KnownAward(award.code, award.lot, award.supplier, names, legal, vat_id)


def _party(party: Party) -> tuple[str, ...]:
    ids = (each.id for each in (party.registered, party.endpoint) if each)
    return tuple(filter(None, (party.legal_name, party.vat_id, *ids)))


def _named(contract: Contract) -> Iterator[tuple[str, Whose]]:
    """Yield what stands for whom; the coordinator's own names stand for nobody, as suppliers invoice it."""
    seller = contract.coordinator
    own = set(_party(seller.party)) if seller else set()
    for each in contract.institutions.values():
        whole = Whose(each.code, None if each.departments else "")
        texts = [each.code, each.name]
        if buyer := each.buyer:
            texts += [buyer.buyer_reference, buyer.order_reference, buyer.accounting_cost, *_party(buyer.party)]
        yield from ((text, whole) for text in texts if text and text not in own)
        costs = each.buyer.accounting_costs if each.buyer else {}
        for code, name in each.departments.items():
            department = Whose(each.code, code)
            texts = [f"{each.code}/{code}", code, name, costs.get(code, "")]
            yield from ((text, department) for text in texts if text and text not in own)
