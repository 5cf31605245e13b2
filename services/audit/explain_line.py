"""Explaining a line of an invoice, downwards: what it is made of, the events behind it, and what was posted when.

Law: the parts add up to the line before it is rounded, and so does what was posted; what does not raises
UnexplainedError. A line is what is due on it by then, less what earlier invoices had of it.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import asyncpg

from services.audit import books_then, line_postings
from services.audit.books_then import Books
from services.audit.parts import Part, check
from services.audit.promises import keep
from services.audit.reckoning import Reckoned, charge_key_of, reckon
from services.contract.model import Contract
from services.contract.money import opposite, subtract, total
from services.invoicing.close import Invoice, document_of
from services.invoicing.documents import due, line_row
from services.invoicing.issued import IssuedDocument, issued_document
from services.invoicing.kinds import Kind, kind_of
from services.invoicing.read import statements_of
from services.invoicing.settle import PostingKey
from services.invoicing.statement import Line
from services.postgres import Connection

# What took an invoice's line back, and what has it again.
_CREDITS = """
select issued.number, issued_line.line, sign * line.amount as amount, note.reason, note.borne_by, note.issued_at,
       note.issued_by
from invoicing.issued_line
     join invoicing.invoice_line as line on (line.number, line.line) = (invoice, invoice_line)
     join invoicing.issued on issued.number = issued_line.number
     join (select number, reason, borne_by, issued_at, issued_by from invoicing.credit_note
           union all
           select reissue.number, reissue.reason, borne_by, reissue.issued_at, reissue.issued_by
           from invoicing.reissue join invoicing.credit_note on credit_note.number = credit_note) as note
          on note.number = issued.number
where invoice = $1 and invoice_line = $2 order by note.issued_at, sign, issued.number
"""


async def explain_line(connection: Connection, month: str, institution: str, number: int) -> dict[str, Any]:
    """Return how a line comes about, of an invoice or of an open month's statement; lines are counted from 1.

    Raises LookupError where there is no such line, UnexplainedError where the books do not come to it.
    """
    async with _at_once(connection):
        books = await books_then.books_of(connection, month)
        invoice, line = await _line(connection, books, institution, number)
        key = line.key
        kind = kind_of(books.contract, key)
        before = await books_then.invoiced_before(connection, books, key)
        found: dict[str, Any] = {
            "invoice": invoice.number or None,
            "document": invoice.document.value,
            "line": number,
            **line_row(books.contract, invoice.statement, line),
            "kind": kind.value,
            "version": books.version,
            "closed_at": books.closed_at,
            "reratings": await books_then.reratings(connection, books, key),
        }
        promised = kind in {Kind.MINIMUM, Kind.CREDIT}
        made = await (_promised(connection, books, key) if promised else _used(connection, books, key))
        owed: Decimal = made.pop("due")
        set_off = await books_then.set_off_then(connection, books, key)
        parts = made.pop("parts") + [_taken_off(each) for each in before] + [_set_off(each) for each in set_off]
        check(f"what is due on line {number}", (each.amount for each in made.pop("own")), owed)
        check(f"line {number}", (each.amount for each in parts), line.exact)
        posted = made.pop("posted")
        posted += [_posted_off(each) for each in set_off if each["posted_at"]]
        if books.closed_at is None:
            posted += _to_be_settled(line, posted)
        check(f"what was posted on line {number}", (each["amount"] for each in posted), line.exact)
        return found | {
            "parts": [asdict(each) for each in parts],
            "exact_amount": line.exact,
            "rounding": subtract(line.amount, line.exact),
            **made,
            "posted": posted,
            "credits": [
                {**row, "amount": due(books.contract, row["amount"])}
                for row in await connection.fetch(_CREDITS, invoice.number, number)
            ],
        }


async def explain_issued(connection: Connection, number: str, line: int) -> dict[str, Any]:
    """Return how a line of any issued document comes about: that of an invoice, which others take back or have again.

    Raises LookupError where there is no such line, UnexplainedError where the books do not come to it.
    """
    document, place = await line_place(connection, number, line)
    found = await explain_line(connection, document.month, document.institution, place)
    if document.corrects is None and document.anew is None:
        return found
    own = document.lines[line - 1].line
    return found | {
        "issued": {
            "number": number,
            "document": document.invoice.document.value,
            "line": line,
            "corrects": document.corrects,
            "anew": document.anew,
            "reason": document.reason,
            "borne_by": document.borne_by,
            "issued_at": document.issued_at,
            "issued_by": document.issued_by,
            "exact_amount": own.exact,
            "amount": due(await _closed_under(connection, document.month), own.amount),
        }
    }


async def line_place(connection: Connection, number: str, line: int) -> tuple[IssuedDocument, int]:
    """Return a document, and which line of its month's invoice a line of it is; raises LookupError likewise."""
    document = await issued_document(connection, number)
    if not 1 <= line <= len(document.lines):
        raise LookupError(f"{number} has no line {line}: it has lines from 1 to {len(document.lines)}")
    return document, document.lines[line - 1].invoice_line


async def _closed_under(connection: Connection, month: str) -> Contract:
    return (await books_then.books_of(connection, month)).contract


async def events_of_line(
    connection: Connection, month: str, institution: str, number: int
) -> AsyncGenerator[asyncpg.Record, None]:
    """Yield the events behind a line, in the order of their time; raises LookupError where there is no such line."""
    async with _at_once(connection):
        books = await books_then.books_of(connection, month)
        _, line = await _line(connection, books, institution, number)
        async for row in line_postings.every_event(connection, books, charge_key_of(line.key)):
            yield row


@asynccontextmanager
async def _at_once(connection: Connection) -> AsyncIterator[None]:
    """See the books as they are at one moment, while others write on."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield


async def _line(connection: Connection, books: Books, institution: str, number: int) -> tuple[Invoice, Line]:
    if institution not in books.contract.institutions:
        raise LookupError(f"the contract knows no institution {institution!r}")
    for each in await statements_of(connection, books.contract, books.month):
        lines = each.statement.lines
        if each.statement.institution != institution:
            continue
        if not 1 <= number <= len(lines):
            whose = f"{institution}'s statement of {books.month}"
            raise LookupError(f"{whose} has no line {number}: it has lines from 1 to {len(lines)}")
        return each, lines[number - 1]
    raise LookupError(f"{institution} has nothing on its statement of {books.month}")


def _taken_off(before: dict[str, Any]) -> Part:
    where = f"{document_of(before['total'])} {before['number']}" if before["number"] else "the open statement"
    return Part(f"less what {where} of {before['invoice_month']} had", opposite(before["amount"]))


def _set_off(each: dict[str, Any]) -> Part:
    return Part(f"set off, since it was credited already, borne by the {each['borne_by']}", each["amount"])


def _posted_off(each: dict[str, Any]) -> dict[str, Any]:
    return {
        "what": "set off of what was credited", "posted_at": each["posted_at"], "batches": [],
        "amount": each["amount"], "events": 0,
    }  # fmt: skip


def _to_be_settled(line: Line, posted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the close will post on an open month's line, if that is anything."""
    left = subtract(line.exact, total(each["amount"] for each in posted))
    what = "to be settled at the close"
    return [{"what": what, "posted_at": None, "batches": [], "amount": left, "events": 0}] if left else []


async def _used(connection: Connection, books: Books, key: PostingKey) -> dict[str, Any]:
    """Explain a line for usage or a fee."""
    quantities = await books_then.quantities(connection, books, key.month)
    made: Reckoned = reckon(books.contract, key, quantities)
    charged = charge_key_of(key)
    events, corrections = None, []
    if made.fee is None:
        events = await line_postings.events_behind(connection, books, charged, quantities.get(charged))
        corrections = await line_postings.corrections_of(connection, books, charged)
    posted = await line_postings.posted_on(connection, books, key, events, corrections)
    if events is not None:
        del events["by_batch"]
    return {
        "due": made.due, "own": made.parts, "parts": made.parts, "meter": made.meter, "split": made.pool,
        "fee": made.fee, "promises": [], "events": events, "corrections": corrections, "posted": posted,
    }  # fmt: skip


async def _promised(connection: Connection, books: Books, key: PostingKey) -> dict[str, Any]:
    """Explain the line of a minimum or a credit."""
    months, owed = await books_then.owed_then(connection, books)
    made = keep(books.contract, key, months, owed)
    posted = await line_postings.posted_on(connection, books, key, None, [])
    return {
        "due": made.due, "own": made.parts, "parts": made.parts, "meter": None, "split": None,
        "fee": None, "promises": made.promises, "events": None, "corrections": [], "posted": posted,
    }  # fmt: skip
