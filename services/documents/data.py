"""A document as CSV and as JSON.

Law: nothing is rounded that was not rounded on the document, and every number is text in JSON: all its digits count.
"""

import csv
import io
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from services.contract.money import plain
from services.contract.parties import Party
from services.documents.model import Document, DocumentLine
from services.documents.rows import FIELDS, Sort, Value, row
from services.documents.texts import exemption, note

CSV_COLUMNS = (
    "number",
    "document",
    "institution",
    "invoice_month",
    *FIELDS,
    "exact_amount",
    "currency",
    "preceding",
    "reason",
)


def as_csv(document: Document) -> bytes:
    """Write a document's lines as CSV (RFC 4180, UTF-8) with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    head = (document.number, document.called, document.institution, document.month)
    tail = (" ".join(each.number for each in document.preceding), document.reason)
    for line in document.lines:
        writer.writerow((*head, *_texts(document, line), plain(line.exact), document.currency, *tail))
    return text.getvalue().encode()


def as_json(document: Document) -> bytes:
    """Write the whole document as JSON."""
    totals = document.totals
    data = {
        "number": document.number,
        "document": document.called,
        "contract": document.contract,
        "contract_name": document.contract_name,
        "institution": document.institution,
        "month": document.month,
        "period": {"from": document.period_starts.isoformat(), "to": document.period_ends.isoformat()},
        "issued": document.issued.isoformat(),
        "due": document.due and document.due.isoformat(),
        "note": note(document),
        "reason": document.reason,
        "currency": document.currency,
        "seller": {**_party(document.seller.party), "iban": document.seller.iban},
        "buyer": {
            **_party(document.buyer.party),
            "buyer_reference": document.buyer.buyer_reference,
            "order_reference": document.buyer.order_reference,
            "accounting_cost": document.buyer.accounting_cost,
            "language": document.buyer.language.value,
        },
        "preceding": [{"number": each.number, "issued": each.issued.isoformat()} for each in document.preceding],
        "last": document.last and {"number": document.last.number, "total": document.written(document.last.total)},
        "spent": [
            {"of": each.kind.value, "limit": plain(each.limit), "spent": document.written(each.spent)}
            for each in document.spent
        ],
        "tax": {
            "category": document.tax.category.value,
            "percent": plain(document.tax.percent),
            "reason": exemption(document.tax, document.buyer.language),
        },
        "totals": {
            "net": document.written(totals.net),
            "tax": document.written(totals.tax),
            "rounding": document.written(totals.rounding),
            "payable": document.written(totals.payable),
        },
        "months": [{"month": each.month, "total": document.written(each.total)} for each in document.months],
        "lines": [
            {**dict(zip(FIELDS, _texts(document, line), strict=True)), "exact_amount": plain(line.exact)}
            for line in document.lines
        ],
    }
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def _texts(document: Document, line: DocumentLine) -> list[str]:
    fields = FIELDS.values()
    return [_text(value, field.sort, document) for value, field in zip(row(document, line), fields, strict=True)]


def _text(value: Value, sort: Sort, document: Document) -> str:
    if isinstance(value, Decimal):
        return document.written(value) if sort is Sort.AMOUNT else plain(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _party(party: Party) -> dict[str, Any]:
    address, endpoint, registered = party.address, party.endpoint, party.registered
    return {
        "legal_name": party.legal_name,
        "address": address and {
            "street": address.street, "extra": address.extra, "postal_code": address.postal_code,
            "city": address.city, "country": address.country,
        },
        "vat_id": party.vat_id,
        "registered": registered and {"scheme": registered.scheme, "id": registered.id},
        "endpoint": endpoint and {"scheme": endpoint.scheme, "id": endpoint.id},
        "emails": list(party.emails),
    }  # fmt: skip
