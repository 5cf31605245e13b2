"""Reading one issued document, whatever it is: an invoice, a credit note, or an invoice that was issued anew.

Law: each of its lines is a line of an invoice, on a credit note with its signs turned; nothing is kept twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.contract.money import opposite
from services.invoicing.close import Invoice
from services.invoicing.rows import posting_key
from services.invoicing.statement import Conversion, Line, Statement
from services.postgres import Connection

_ISSUED = """
select issued.*, note.reason, note.borne_by, note.issued_by, note.version, again.number as issued_anew
from invoicing.issued
     left join (select number, reason, borne_by, issued_by, version from invoicing.credit_note
                union all
                select reissue.number, reissue.reason, borne_by, reissue.issued_by, reissue.version
                from invoicing.reissue join invoicing.credit_note on credit_note.number = credit_note
               ) as note using (number)
     left join invoicing.reissue as again on again.credit_note = issued.number
where issued.number = any($1::text[]) order by issued_at, issued.number collate "C"
"""
_LINES = """
select issued_line.number as document, issued_line.line as place, issued_line.invoice, issued_line.invoice_line, sign,
       taken_back.number as credited_by, institution, department, pool, award, item, line.month, tariff, quantity,
       line.exact, amount, price_currency, rate, price_amount, rate_month
from invoicing.issued_line
     join invoicing.invoice_line as line on line.number = issued_line.invoice and line.line = invoice_line
     join invoicing.invoice on invoice.number = issued_line.invoice
     left join invoicing.credit_note_line as taken_back
          on taken_back.corrects = issued_line.number and corrected_line = issued_line.line
where issued_line.number = any($1::text[]) order by issued_line.number, issued_line.line
"""
_SINCE_CLOSED = """
select number from invoicing.credit_note where month = $1
union all
select reissue.number from invoicing.reissue join invoicing.credit_note on credit_note.number = credit_note
where month = $1
"""


@dataclass(frozen=True, slots=True)
class IssuedLine:
    """A line as it stands on the document, which line of which invoice that is, and what took it back."""

    line: Line
    invoice: str
    invoice_line: int
    credited_by: str | None


@dataclass(frozen=True, slots=True)
class IssuedDocument:
    """A numbered document. `corrects` is what a credit note takes lines of back; `anew`, the credit note whose lines an
    invoice has again, and `issued_anew` is that invoice. Of a month's own invoice, none of these is there.
    """

    number: str
    institution: str
    month: str
    issued_at: datetime
    corrects: str | None
    anew: str | None
    issued_anew: str | None
    reason: str | None
    borne_by: str | None
    issued_by: str | None
    version: int | None
    lines: tuple[IssuedLine, ...]

    @property
    def statement(self) -> Statement:
        """Its lines as a statement."""
        return Statement(self.institution, self.month, tuple(each.line for each in self.lines))

    @property
    def invoice(self) -> Invoice:
        """Itself, as a month's own invoices are."""
        return Invoice(self.number, self.statement, self.corrects)


async def issued(connection: Connection, numbers: Sequence[str]) -> list[IssuedDocument]:
    """Return documents, in the order in which they were issued; numbers that nothing has are passed over."""
    lines: dict[str, list[IssuedLine]] = {}
    for row in await connection.fetch(_LINES, list(numbers)):
        line = IssuedLine(_line(row), row["invoice"], row["invoice_line"], row["credited_by"])
        lines.setdefault(row["document"], []).append(line)
    return [
        IssuedDocument(
            row["number"], row["institution"], row["month"], row["issued_at"], row["corrects"], row["anew"],
            row["issued_anew"], row["reason"], row["borne_by"], row["issued_by"], row["version"],
            tuple(lines[row["number"]]),
        )
        for row in await connection.fetch(_ISSUED, list(numbers))
    ]  # fmt: skip


async def issued_document(connection: Connection, number: str) -> IssuedDocument:
    """Return a document; raises LookupError where there is none of that number."""
    found = await issued(connection, [number])
    if not found:
        raise LookupError(f"there is no invoice {number!r}: `plafond statement MONTH` shows the numbers of a month's")
    return found[0]


async def issued_since(connection: Connection, month: str) -> list[IssuedDocument]:
    """Return the credit notes on a closed month's invoices, and what was issued anew, in their order."""
    return await issued(connection, [row["number"] for row in await connection.fetch(_SINCE_CLOSED, month)])


def _line(row: asyncpg.Record) -> Line:
    conversion = None
    if row["price_currency"]:
        conversion = Conversion(row["price_currency"], row["rate"], row["price_amount"], row["rate_month"])
    line = Line(posting_key(row), row["quantity"], row["exact"], row["amount"], conversion)
    return line if row["sign"] > 0 else turned(line)


def turned(line: Line) -> Line:
    """Return a line that takes another back."""
    made = line.conversion
    conversion = made and made._replace(amount=opposite(made.amount))
    return Line(line.key, opposite(line.quantity), opposite(line.exact), opposite(line.amount), conversion)
