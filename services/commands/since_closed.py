"""What was issued about a month since it was closed: credit notes, and invoices that were issued anew."""

from collections.abc import Sequence

from services.contract.currencies import amount_text
from services.contract.model import Contract
from services.invoicing.issued import IssuedDocument
from services.output import Column, show

_COLUMNS = [
    Column("number", "number", whole=True), Column("document", "document", whole=True),
    Column("institution", "institution", whole=True), Column("of", "of", whole=True),
    Column("lines", "lines", right=True), Column("total", "total", right=True), Column("reason", "reason"),
]  # fmt: skip


def show_since(contract: Contract, since: Sequence[IssuedDocument], institution: str | None) -> None:
    """Print what was issued about the month of all institutions or one; nothing where that is nothing."""
    rows = [
        {
            "number": each.number,
            "document": each.invoice.document,
            "institution": each.institution,
            "of": each.corrects or each.anew,
            "lines": len(each.lines),
            "total": amount_text(each.statement.total, contract.currency),
            "reason": each.reason,
        }
        for each in since
        if institution in {None, each.institution}
    ]
    if rows:
        show(rows, _COLUMNS, title="\nIssued since the close")
