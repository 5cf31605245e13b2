"""A document as FOCUS: the FinOps Open Cost and Usage Specification's rows of cost and usage, version 1.2.

Law: the rows' BilledCost adds up to what is to be paid (on a credit note, to what is owed back, below zero), and
where a row has unit prices, ContractedCost and ListCost are these times the quantity. Source: focus.finops.org, version
1.2.

The supplier stands for provider and invoice issuer, which the specification wants to be the same wherever something is
billed; who runs the cloud is the publisher. Times are UTC: a month begins at midnight in the contract's zone.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from anyascii import anyascii

from services.contract.money import (
    ONE,
    PRICE_DIGITS,
    ZERO,
    multiply,
    opposite,
    plain,
    quotient,
    round_half_up,
    total,
)
from services.contract.months import first_day, midnight, next_month
from services.documents.model import Document, DocumentKind, DocumentLine, vat_on
from services.invoicing.kinds import Kind

COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId", "CapacityReservationStatus", "ChargeCategory",
    "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit",
    "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost",
    "ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory",
    "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId",
    "SubAccountName", "SubAccountType", "Tags",
)  # fmt: skip
OWN_COLUMNS = ("x_Award", "x_Lot", "x_LineNumber", "x_UsageMonth")
"""What the specification has no column for; it wants such names to begin so, and after its own."""

_TIMES = {"second", "minute", "hour", "day", "month", "year"}
_UNIT = re.compile(r"([0-9]+ )?[A-Za-z][A-Za-z0-9]*( [A-Za-z0-9]+)*(-(Seconds|Minutes|Hours|Days|Months|Years))?")

Row = dict[str, str]
"""Values by column; what is not there is null."""


@dataclass(frozen=True, slots=True)
class Cost:
    """How a line is charged in FOCUS' terms; without a `price` it has no quantity either.

    `list_price` and `listed` are by the supplier's list, where a part of that is charged.
    """

    category: str
    frequency: str
    billed: Decimal
    contracted: Decimal
    effective: Decimal
    quantity: Decimal | None = None
    unit: str = ""
    price: Decimal | None = None
    list_price: Decimal | None = None
    listed: Decimal | None = None


class Beside(NamedTuple):
    """What is charged beside the lines: what its row is called within the document, and what it is for."""

    name: str
    service: str
    description: str
    cost: Cost


def focus_1_2(document: Document) -> bytes:
    """Write a document's rows as CSV (RFC 4180) with a header; names are romanised, since 1.2 takes ASCII alone."""
    made = (_with_provider(row, line) for row, line, _ in rows(document))
    return as_csv((*COLUMNS, *OWN_COLUMNS), ({name: romanised(value) for name, value in row.items()} for row in made))


def romanised(value: str) -> str:
    """Return a text in ASCII; one of which nothing can be romanised is a question mark, since names can't be null."""
    return value if value.isascii() else anyascii(value) or "?"


def as_csv(columns: Sequence[str], made: Iterator[Row]) -> bytes:
    """Write rows as CSV; null is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(_in_order(columns, made))
    return text.getvalue().encode()


def _in_order(columns: Sequence[str], made: Iterator[Row]) -> Iterator[list[str]]:
    known = frozenset(columns)
    for row in made:
        assert row.keys() <= known, f"no column for {sorted(row.keys() - known)}"
        yield [row.get(name, "") for name in columns]


def rows(document: Document) -> Iterator[tuple[Row, DocumentLine, str]]:
    """Yield each line's row and what it is called; VAT and rounding, where there are any, stand by the first line."""
    whole = _of_document(document)
    for line in document.lines:
        yield {**whole, **_of_line(document, line)}, line, str(line.number)
    month = periods("ChargePeriod", document.month, document.zone)
    for each in besides(document):
        said = {"ChargeDescription": each.description, "ServiceName": each.service}
        yield {**whole, **costs(each.cost), **said, **month}, document.lines[0], each.name


def besides(document: Document) -> Iterator[Beside]:
    """Yield what is charged beside the lines: VAT, and what that is rounded by to what can be paid."""
    tax, rounding = (signed(document, each) for each in (document.totals.tax, document.totals.rounding))
    if tax:
        made = Cost("Tax", "One-Time", tax, tax, tax, listed=_listed_tax(document))
        yield Beside("VAT", "VAT", f"VAT {plain(document.tax.percent)} %", made)
    if rounding:
        made = Cost("Adjustment", "One-Time", rounding, rounding, rounding)
        yield Beside("ROUNDING", "Rounding", "Rounding to what can be paid", made)


def _listed_tax(document: Document) -> Decimal | None:
    """Return what VAT would be by the suppliers' lists, where any line is a part of these."""
    if all(line.quote.listed is None for line in document.lines):
        return None
    made = [cost(document, line) for line in document.lines]
    net = total(each.contracted if each.listed is None else each.listed for each in made)
    return vat_on(net, document.tax, document.digits)


def _with_provider(row: Row, line: DocumentLine) -> Row:
    return row | {
        "ProviderName": line.supplier,
        "InvoiceIssuerName": line.supplier,
        "PublisherName": line.publisher,
    }


def _of_document(document: Document) -> Row:
    return {
        "BillingAccountId": f"{document.contract}/{document.institution}",
        "BillingAccountName": document.buyer.party.legal_name,
        "BillingAccountType": "Institution",
        "BillingCurrency": document.currency,
        **periods("BillingPeriod", document.month, document.zone),
        "InvoiceId": document.number,
        "PricingCurrency": document.currency,
        "ServiceCategory": "Other",
        "ServiceSubcategory": "Other (Other)",
    }


def _of_line(document: Document, line: DocumentLine) -> Row:
    made = cost(document, line)
    sku = f"{line.award}/{line.item}"
    return {
        **costs(made),
        "ChargeClass": "Correction" if line.month or document.reason else "",
        "ChargeDescription": _described(line),
        **periods("ChargePeriod", line.month or document.month, document.zone),
        **_consumed(document, line, made),
        "ServiceName": line.name,
        "SkuId": sku,
        "SkuMeter": line.name,
        "SkuPriceId": f"{sku}/{line.tariff}" if made.price is not None else "",
        **_sub_account(document, line),
        "Tags": _tags(line),
        "x_Award": line.award,
        "x_Lot": line.award.partition("/")[0],
        "x_LineNumber": str(line.number),
        "x_UsageMonth": line.month or document.month,
    }


def cost(document: Document, line: DocumentLine) -> Cost:
    """Return how a line is charged: usage at a price, a purchase, a credit, or an adjustment of what was charged."""
    billed = signed(document, line.net)
    if line.what == Kind.CREDIT and billed < 0:
        return Cost("Credit", "One-Time", billed, billed, billed)
    if line.what == Kind.CREDIT:  # paid ahead: what it is drawn for has the effect
        return Cost("Purchase", "One-Time", billed, billed, ZERO, ONE, "Units", billed)
    if line.what in {Kind.FEE, Kind.MINIMUM} and billed >= 0:
        return Cost("Purchase", "Recurring", billed, billed, billed, ONE, "Units", billed)
    if line.quote.is_lump or line.what in {Kind.FEE, Kind.MINIMUM}:
        return Cost("Adjustment", "One-Time", billed, billed, billed)
    quantity, price = signed(document, line.quote.quantity), _of_one(line.quote.price, line.quote.base)
    contracted = multiply(quantity, price)
    used = Cost("Usage", "Usage-Based", billed, contracted, billed, quantity, unit(line.unit), price)
    if line.quote.listed is None:
        return used
    list_price = _of_one(line.quote.listed, line.quote.base)
    return replace(used, list_price=list_price, listed=multiply(quantity, list_price))


def _of_one(price: Decimal, base: Decimal) -> Decimal:
    """Return the price of one unit, of one for `base` units."""
    return price if base == ONE else round_half_up(quotient(price, base), PRICE_DIGITS)


def costs(made: Cost) -> Row:
    """Return the columns of what is charged."""
    row = {
        "BilledCost": number(made.billed),
        "ChargeCategory": made.category,
        "ChargeFrequency": made.frequency,
        "ContractedCost": number(made.contracted),
        "ListCost": number(made.contracted if made.listed is None else made.listed),
        "EffectiveCost": number(made.effective),
        "PricingCurrencyEffectiveCost": number(made.effective),
    }
    if made.price is None or made.quantity is None:
        return row
    price, listed = number(made.price), number(made.price if made.list_price is None else made.list_price)
    return row | {
        "ContractedUnitPrice": price,
        "ListUnitPrice": listed,
        "PricingCurrencyContractedUnitPrice": price,
        "PricingCurrencyListUnitPrice": listed,
        "PricingCategory": "Standard",
        "PricingQuantity": number(made.quantity),
        "PricingUnit": made.unit,
    }


def unit(name: str) -> str:
    """Return a contract's unit as FOCUS writes units (attribute Unit Format): GiB-Hours, 1000000 Requests."""
    thing, _, time = name.rpartition("-")
    if time in _TIMES:
        name = "-".join(filter(None, (thing, f"{time.capitalize()}s")))
    if name.startswith("million "):
        name = f"1000000 {name.removeprefix('million ')}"
    return name if _UNIT.fullmatch(name) else "Units"


def signed(document: Document, amount: Decimal) -> Decimal:
    """Return an amount as the books have it: a credit note turns all signs."""
    return amount if document.kind is DocumentKind.INVOICE else opposite(amount)


def number(value: Decimal) -> str:
    """Write a number; with a decimal point always, since readers guess a column's type from how its values look."""
    text = plain(value)
    return text if "." in text else f"{text}.0"


def periods(name: str, month: str, zone: ZoneInfo) -> Row:
    """Return a month's begin and end, which is the begin of the next one."""
    starts, ends = _bounds(month, zone)
    return {f"{name}Start": starts, f"{name}End": ends}


@lru_cache(maxsize=100)  # each line says its month, and there are few of them
def _bounds(month: str, zone: ZoneInfo) -> tuple[str, str]:
    return _begins(first_day(month), zone), _begins(first_day(next_month(month)), zone)


def _begins(day: date, zone: ZoneInfo) -> str:
    return instant(midnight(day, zone))


def instant(at: datetime) -> str:
    """Write an instant in UTC as FOCUS wants it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _described(line: DocumentLine) -> str:
    of_pool = f", share of {line.pool.name}" if line.pool else ""
    return f"{line.name}, {line.what} under {line.award}{of_pool}"


def _consumed(document: Document, line: DocumentLine, made: Cost) -> Row:
    if made.category != "Usage":
        return {}
    return {"ConsumedQuantity": number(signed(document, line.quantity)), "ConsumedUnit": unit(line.unit)}


def _sub_account(document: Document, line: DocumentLine) -> Row:
    if not line.department:
        return {}
    return {
        "SubAccountId": f"{document.contract}/{document.institution}/{line.department}",
        "SubAccountName": line.department_name,
        "SubAccountType": "Department",
    }


def _tags(line: DocumentLine) -> str:
    tags: Mapping[str, str] = {
        "AccountingCost": line.accounting_cost,
        "AllocationKey": line.pool.key if line.pool else "",
        "AllocationShare": line.pool.weight if line.pool else "",
        "Pool": line.pool.code if line.pool else "",
    }
    given = {name: value for name, value in tags.items() if value}
    return json.dumps(given) if given else ""  # ASCII by escapes: to romanise JSON would break it
