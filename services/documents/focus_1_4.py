"""A document as FOCUS 1.4: its rows of cost and usage, of invoice detail, and the billing period.

Law: the rows of an invoice detail add up to its BilledCost; the rows that share one origin (what all members are
charged of a pool) add up to its cost, over all documents of the month. Source: focus.finops.org, version 1.4 (Cost and
Usage, Invoice Detail, Billing Period, and split cost allocation: the Allocated columns). The allocated rows stand in
for their origin, which has no row of its own: with one, the rows would come to more than what is to be paid.

Here the coordinator issues the invoice, the supplier provides the service and who runs the cloud hosts it.
"""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from services.contract.money import PRICE_DIGITS, plain, quotient, round_half_up
from services.contract.months import midnight
from services.documents.focus import COLUMNS as COLUMNS_1_2
from services.documents.focus import (
    OWN_COLUMNS,
    Row,
    as_csv,
    besides,
    cost,
    instant,
    number,
    periods,
    rows,
    signed,
    unit,
)
from services.documents.model import Document, DocumentLine
from services.documents.texts import payment_terms

_GONE = {"ProviderName", "PublisherName"}
_NEW = {
    "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName", "AllocatedTags",
    "CommitmentProgramEligibilityDetails", "ContractApplied", "HostProviderName", "InvoiceDetailId",
    "ServiceProviderName",
}  # fmt: skip
COLUMNS = tuple(sorted((set(COLUMNS_1_2) - _GONE) | _NEW))
SPLIT_COLUMNS = ("x_SplitOriginId", "x_SplitOriginCost")
"""What a pool's line is a share of, and what all members are charged of that."""
DETAIL_COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory",
    "InvoiceDetailCreated", "InvoiceDetailDescription", "InvoiceDetailGrain", "InvoiceDetailId",
    "InvoiceDetailLastUpdated", "InvoiceId", "InvoiceIssueDate", "InvoiceIssueStatus", "InvoiceIssuerName",
    "PaymentCurrency", "PaymentCurrencyBilledCost", "PaymentCurrencyInvoiceDetailId", "PaymentDueDate", "PaymentTerms",
    "PurchaseOrderNumber", "ReferenceInvoiceId",
)  # fmt: skip
PERIOD_COLUMNS = (
    "BillingPeriodCreated", "BillingPeriodEnd", "BillingPeriodLastUpdated", "BillingPeriodStart", "BillingPeriodStatus",
    "InvoiceIssuerName",
)  # fmt: skip


def cost_and_usage(document: Document) -> bytes:
    """Write a document's rows of cost and usage as CSV."""
    columns = (*COLUMNS, *OWN_COLUMNS, *SPLIT_COLUMNS)
    return as_csv(columns, (_of_1_4(document, *each) for each in rows(document)))


def invoice_detail(document: Document) -> bytes:
    """Write what a document consists of as CSV: a row for each line, one for VAT and one for rounding."""
    return as_csv(DETAIL_COLUMNS, _details(document))


def billing_period(month: str, zone: ZoneInfo, issuer: str, issued: date) -> bytes:
    """Write a closed month as CSV."""
    bounds = periods("BillingPeriod", month, zone)
    row = {
        **bounds,
        "BillingPeriodCreated": bounds["BillingPeriodStart"],
        "BillingPeriodLastUpdated": instant(midnight(issued, zone)),
        "BillingPeriodStatus": "Closed",
        "InvoiceIssuerName": issuer,
    }
    return as_csv(PERIOD_COLUMNS, iter([row]))


def _of_1_4(document: Document, row: Row, line: DocumentLine, name: str) -> Row:
    made = row | {
        "HostProviderName": line.publisher,
        "ServiceProviderName": line.supplier,
        "InvoiceIssuerName": document.seller.party.legal_name,
        "InvoiceDetailId": _detail_id(document, name),
    }
    return made if name != str(line.number) or line.pool is None else made | _allocated(document, line)


def _allocated(document: Document, line: DocumentLine) -> Row:
    """Return how much of a pool's line this one is; without a share in a common cost, only by which key."""
    assert line.pool is not None, "a pool's line"
    member = "/".join(filter(None, (document.institution, line.department)))
    made = {
        "AllocatedMethodId": line.pool.key,
        "AllocatedResourceId": member,
        "AllocatedResourceName": line.department_name or document.buyer.party.legal_name,
    }
    if line.origin is None:  # of credit notes, and where some are charged and others given back
        return made
    origin = (document.contract, document.month, line.pool.code, line.award, line.item, line.month, line.tariff)
    return made | {
        "AllocatedMethodDetails": _method(line, quotient(signed(document, line.net), line.origin)),
        "x_SplitOriginId": "/".join(filter(None, origin)),
        "x_SplitOriginCost": number(line.origin),
    }


def _method(line: DocumentLine, ratio: Decimal) -> str:
    """Write the share as JSON; its numbers digit by digit."""
    part, quantity = plain(round_half_up(ratio, PRICE_DIGITS)), plain(line.quantity)
    share = f'"AllocatedRatio": {part}, "UsageUnit": {json.dumps(unit(line.unit))}, "UsageQuantity": {quantity}'
    return f'{{"Elements": [{{{share}}}]}}'


def _details(document: Document) -> Iterator[Row]:
    whole = _of_invoice(document)
    for line in document.lines:
        made = cost(document, line)
        yield whole | _detail(document, str(line.number), made.category, made.billed, line.name)
    for each in besides(document):
        yield whole | _detail(document, each.name, each.cost.category, each.cost.billed, each.description)


def _of_invoice(document: Document) -> Row:
    issued = instant(midnight(document.issued, document.zone))
    corrected = document.preceding[-1].number if document.preceding else document.number
    return {
        "BillingAccountId": f"{document.contract}/{document.institution}",
        "BillingCurrency": document.currency,
        **periods("BillingPeriod", document.month, document.zone),
        "InvoiceDetailCreated": issued,
        "InvoiceDetailLastUpdated": issued,
        "InvoiceId": document.number,
        "InvoiceIssueDate": issued,
        "InvoiceIssueStatus": "Issued",
        "InvoiceIssuerName": document.seller.party.legal_name,
        "PaymentCurrency": document.currency,
        "PaymentDueDate": instant(midnight(document.due, document.zone)) if document.due else "",
        "PaymentTerms": payment_terms(document) or "None",
        "PurchaseOrderNumber": document.buyer.order_reference,
        "ReferenceInvoiceId": corrected,
    }


def _detail(document: Document, line: str, category: str, billed: Decimal, description: str) -> Row:
    identifier = _detail_id(document, line)
    return {
        "BilledCost": number(billed),
        "ChargeCategory": category,
        "InvoiceDetailDescription": description,
        "InvoiceDetailGrain": json.dumps({"x_InvoiceLine": line}),
        "InvoiceDetailId": identifier,
        "PaymentCurrencyBilledCost": number(billed),
        "PaymentCurrencyInvoiceDetailId": identifier,
    }


def _detail_id(document: Document, line: str) -> str:
    return f"{document.number}/{line}"
