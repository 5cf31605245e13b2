"""What there is to say of one issued document."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from services import contract_store
from services.contract.model import Contract
from services.contract.money import plain, total
from services.invoicing.disputes import Dispute, disputes
from services.invoicing.documents import due, line_row
from services.invoicing.issued import IssuedDocument, issued, issued_document, issued_since
from services.postgres import Connection

_CLOSED = "select version, closed_at from invoicing.month where month = $1"
_FILES = """
select form, encode(sha256, 'hex') as sha256, made_at from invoicing.document
where month = $1 and name = $2 order by form
"""


async def document_data(connection: Connection, number: str) -> dict[str, Any]:
    """Return all about a document; raises LookupError where there is none of that number."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        document = await issued_document(connection, number)
        closed = await connection.fetchrow(_CLOSED, document.month)
        assert closed is not None, "a document is of a closed month"
        contract = await contract_store.load_version(connection, closed["version"], as_of=closed["closed_at"])
        since = await issued_since(connection, document.month)
        files = [dict(row) for row in await connection.fetch(_FILES, document.month, number)]
        disputed = await disputes(connection, number=number)
        anew = await issued(connection, [document.issued_anew]) if document.issued_anew else []
    notes = [each for each in since if each.corrects == number]
    return {
        **_head(contract, document),
        "lines": _lines(contract, document),
        "credit_notes": [_note(contract, each) for each in notes],
        "left": due(contract, total(each.line.amount for each in document.lines if not each.credited_by)),
        "reissues": [_note(contract, each) for each in anew],
        "disputes": [dispute_data(each) for each in disputed],
        "documents": [{"file": f"{document.institution}/{number}.{each['form']}", **each} for each in files],
    }


def dispute_data(dispute: Dispute) -> dict[str, Any]:
    """Return a dispute as plain data."""
    return asdict(dispute)


def _head(contract: Contract, document: IssuedDocument) -> dict[str, Any]:
    statement = document.statement
    return {
        "number": document.number,
        "document": document.invoice.document.value,
        "institution": document.institution,
        "institution_name": contract.institutions[document.institution].name,
        "month": document.month,
        "issued_at": document.issued_at,
        "issued_by": document.issued_by,
        "total": due(contract, statement.total),
        "exact_total": plain(statement.exact),
        "currency": contract.currency,
        "corrects": document.corrects,
        "anew": document.anew,
        "issued_anew": document.issued_anew,
        "reason": document.reason,
        "borne_by": document.borne_by,
    }


def _note(contract: Contract, document: IssuedDocument) -> dict[str, Any]:
    return {**_head(contract, document), "lines": len(document.lines)}


def _lines(contract: Contract, document: IssuedDocument) -> list[Mapping[str, Any]]:
    whole = {"month", "institution", "institution_name", "currency"}
    statement = document.statement
    return [
        {"line": number}
        | _without(line_row(contract, statement, each.line).items(), whole)
        | {"invoice": each.invoice, "invoice_line": each.invoice_line, "credited_by": each.credited_by}
        for number, each in enumerate(document.lines, start=1)
    ]


def _without(items: Iterable[tuple[str, str]], names: set[str]) -> dict[str, str]:
    return {name: value for name, value in items if name not in names}
