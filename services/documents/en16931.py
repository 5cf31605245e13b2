"""What EN 16931 says of a document whatever the syntax: codes, and what accounts tell lines apart by.

Numbers in comments (BT-…, BG-…) are those of the standard's semantic model.
"""

from collections.abc import Iterator

from services.contract.money import plain
from services.contract.parties import TaxCategory
from services.documents.model import Document, DocumentKind, DocumentLine

CREDIT_TRANSFER = "30"
EXEMPTION_CODES = {
    TaxCategory.EXEMPT: "VATEX-EU-151-1AA",
    TaxCategory.REVERSE_CHARGE: "VATEX-EU-AE",
    TaxCategory.OUTSIDE: "VATEX-EU-O",
}
_TYPE_CODES = {DocumentKind.INVOICE: "380", DocumentKind.CREDIT_NOTE: "381"}


def type_code(document: Document) -> str:
    """Return what a document is (BT-3, UNTDID 1001)."""
    return _TYPE_CODES[document.kind]


def attributes(line: DocumentLine) -> Iterator[tuple[str, str]]:
    """Yield what accounts want to tell lines apart by (BG-32), none of them empty."""
    yield "What", line.what
    yield "Award", line.award
    yield "Supplier", line.supplier
    if line.department:
        yield "Department", line.department
        yield "Department name", line.department_name
    if line.pool is not None:
        yield "Pool", line.pool.name
        yield "Allocation key", " ".join(filter(None, (line.pool.key, line.pool.weight)))
    if line.month:
        yield "Month of use", line.month
    yield "Prices of", line.tariff
    yield "Metered quantity", plain(line.quantity)
    yield "Unit", line.unit
