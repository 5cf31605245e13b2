"""Taking back lines of a document by a credit note, and issuing again what was taken back.

Law: a document never changes, and each of its lines is taken back once, whole. Everything about a credit note commits
in one transaction, in which nobody else posts, closes or credits: its number, its postings and what is spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services import contract_store
from services.contract.model import Contract
from services.contract.money import opposite, plain, subtract, total
from services.contract_store import StoredContract
from services.decisions.enter import enter_document
from services.invoicing import sql
from services.invoicing.close import Document, document_of
from services.invoicing.credits import BorneBy, EntryKind, post_credits
from services.invoicing.issued import IssuedDocument, IssuedLine, issued_document, turned
from services.invoicing.numbering import numbers, series_of
from services.invoicing.settle import Share
from services.postgres import Connection

REASON_LENGTH_MAX = 500

_ENTER = """
insert into invoicing.credit_note
    (number, corrects, institution, month, reason, borne_by, version, exact, total, issued_at, issued_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now()), coalesce($11, current_user))
"""
_ENTER_LINES = """
insert into invoicing.credit_note_line (number, line, corrects, corrected_line, invoice, invoice_line)
select $1, line, $2, corrected_line, invoice, invoice_line
from unnest($3::int[], $4::int[], $5::text[], $6::int[]) as made(line, corrected_line, invoice, invoice_line)
"""
_ENTER_REISSUE = """
insert into invoicing.reissue (number, credit_note, reason, version, issued_at, issued_by)
values ($1, $2, $3, $4, coalesce($5, now()), coalesce($6, current_user))
"""
# What was invoiced and credited of the same as some lines of an invoice are about, where other invoices adjusted it.
_CHARGED = """
with asked as (
    select line.*, institution from invoicing.invoice_line as line join invoicing.invoice using (number)
    where (number, line) in (select * from unnest($1::text[], $2::int[]))
), others as (
    select asked.number as of_number, asked.line as of_line, sum(line.exact) as exact,
           string_agg(distinct line.number, ', ') filter (where line.exact < 0) as adjusted_by
    from asked join invoicing.invoice_line as line
         on (line.month, line.award, line.item, line.tariff, line.department, line.pool)
          = (asked.month, asked.award, asked.item, asked.tariff, asked.department, asked.pool)
         join invoicing.invoice on invoice.number = line.number and invoice.institution = asked.institution
    group by 1, 2
), credits as materialized (
    select institution, posting.month, award, item, tariff, department, pool, sum(amount) as credited
    from invoicing.entry join invoicing.posting using (entry)
    where side = 'credited' and kind <> 'set_off' and borne_by in ('coordinator', 'supplier')
    group by 1, 2, 3, 4, 5, 6, 7
)
select asked.number, asked.line, others.exact, coalesce(credited, 0) as credited, adjusted_by
from asked join others on (of_number, of_line) = (asked.number, asked.line)
     left join credits on (credits.institution, credits.month, credits.award, credits.item, credits.tariff,
                           credits.department, credits.pool)
         = (asked.institution, asked.month, asked.award, asked.item, asked.tariff, asked.department, asked.pool)
"""


class CreditError(Exception):
    """It can't be credited, or not issued again; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be credited: some lines of a document, or all that are left where none is named."""

    number: str
    lines: tuple[int, ...]
    reason: str
    borne_by: BorneBy = BorneBy.COORDINATOR


@dataclass(frozen=True, slots=True)
class Then:
    """When something was done, and by whom: a recovery does it again so."""

    at: datetime
    by: str


async def credit(connection: Connection, asked: Asked) -> str:
    """Credit a document, and return the credit note's number; raises CreditError, and nothing has happened."""
    async with connection.transaction():
        return await credit_here(connection, asked)


async def credit_here(connection: Connection, asked: Asked) -> str:
    """Credit a document in the caller's transaction."""
    number = await enter_credit_note(connection, await _newest(connection), asked)
    await enter_document(connection, number)
    return number


async def reissue(connection: Connection, number: str, reason: str) -> tuple[str | None, str]:
    """Issue a document again under a new number, with who is who by the newest contract.

    Of an invoice, all that is left of it is taken back first; what a credit note took back is charged again. Returns
    the new credit note's number, if there is one, and the invoice's. Raises CreditError, and nothing has happened.
    """
    async with connection.transaction():
        stored, note = await _newest(connection), None
        document = await _document(connection, number)
        if not document.corrects:
            note = await enter_credit_note(connection, stored, Asked(number, (), reason, BorneBy.NOBODY))
        anew = await enter_reissue(connection, stored, note or number, reason)
        await enter_document(connection, note or anew)
        return note, anew


async def enter_credit_note(
    connection: Connection, stored: StoredContract, asked: Asked, then: Then | None = None
) -> str:
    """Enter a credit note in the caller's transaction, now or as it was once issued, and return its number."""
    await connection.execute(sql.TAKE_MONTHS)
    document = await _document(connection, asked.number)
    chosen = _chosen(document, asked.lines)
    if asked.borne_by is not BorneBy.NOBODY:
        await _refuse_twice(connection, document, chosen)
    lines = [turned(line.line) for _, line in chosen]
    whole = total(each.amount for each in lines)
    (number,) = await numbers(connection, [_series(stored.contract, document.month, whole, Document.CREDIT_NOTE)])
    await connection.execute(
        _ENTER, number, asked.number, document.institution, document.month, asked.reason, asked.borne_by,
        stored.version, total(each.exact for each in lines), whole, then and then.at, then and then.by,
    )  # fmt: skip
    places = [(index, place, line.invoice, line.invoice_line) for index, (place, line) in enumerate(chosen, start=1)]
    await connection.execute(_ENTER_LINES, number, asked.number, *map(list, zip(*places, strict=True)))
    entry = (EntryKind.CREDIT_NOTE, number, None, asked.borne_by)
    moved = [(each.key, Share(each.quantity, each.exact)) for each in lines]
    await post_credits(connection, stored.contract, entry, document.month, moved)
    return number


async def enter_reissue(
    connection: Connection, stored: StoredContract, note: str, reason: str, then: Then | None = None
) -> str:
    """Enter in the caller's transaction that a credit note's lines are issued again, and return the new number."""
    await connection.execute(sql.TAKE_MONTHS)
    document = await _document(connection, note)
    if document.issued_anew:
        raise CreditError(f"what {note} took back is issued again already, as {document.issued_anew}")
    lines = [turned(each.line) for each in document.lines]
    whole = total(each.amount for each in lines)
    (number,) = await numbers(connection, [_series(stored.contract, document.month, whole, Document.INVOICE)])
    at, by = (then.at, then.by) if then else (None, None)
    await connection.execute(_ENTER_REISSUE, number, note, reason, stored.version, at, by)
    entry = (EntryKind.REISSUE, number, None, BorneBy(document.borne_by or BorneBy.NOBODY))
    moved = [(each.key, Share(each.quantity, each.exact)) for each in lines]
    await post_credits(connection, stored.contract, entry, document.month, moved)
    return number


def refuse_reason(reason: str) -> None:
    """Raise CreditError where a reason can't stand on a document."""
    if not reason.strip() or not reason.isprintable() or len(reason) > REASON_LENGTH_MAX:
        raise CreditError(f"the reason must be a text of 1 to {REASON_LENGTH_MAX} printable characters, in one line")


async def _newest(connection: Connection) -> StoredContract:
    await connection.execute(sql.TAKE_MONTHS)
    stored = await contract_store.newest(connection)
    if stored is None:
        raise CreditError("no contract is applied yet, so there are no invoices")
    return stored


async def _document(connection: Connection, number: str) -> IssuedDocument:
    try:
        return await issued_document(connection, number)
    except LookupError as error:
        raise CreditError(str(error.args[0])) from error


def _series(contract: Contract, month: str, whole: Decimal, of_nothing: Document) -> str:
    """Return the series of what is issued over a total: lines below zero that are taken back make an invoice."""
    document = document_of(whole) if whole else of_nothing
    return series_of(contract, month, is_credit_note=document is Document.CREDIT_NOTE)


def _chosen(document: IssuedDocument, numbers: Sequence[int]) -> list[tuple[int, IssuedLine]]:
    """Return the lines to take back with their numbers on the document, in their order."""
    if document.corrects:
        raise CreditError(
            f"{document.number} takes lines of {document.corrects} back already; "
            f"`plafond invoice reissue {document.number}` charges them again"
        )
    places = dict(enumerate(document.lines, start=1))
    if wrong := sorted(set(numbers) - places.keys()):
        raise CreditError(f"{document.number} has no line {wrong[0]}: it has lines from 1 to {len(places)}")
    for number in sorted(numbers):
        if places[number].credited_by:
            raise CreditError(
                f"line {number} of {document.number} is credited already, by {places[number].credited_by}"
            )
    chosen = [each for each in places.items() if (each[0] in numbers if numbers else not each[1].credited_by)]
    if not chosen:
        notes = sorted({each.credited_by for each in document.lines if each.credited_by})
        raise CreditError(f"all lines of {document.number} are credited already, by {', '.join(notes)}")
    return chosen


async def _refuse_twice(
    connection: Connection, document: IssuedDocument, chosen: Sequence[tuple[int, IssuedLine]]
) -> None:
    """Refuse to take back more of a line than is left of it after what later invoices gave back."""
    places = {(line.invoice, line.invoice_line): (number, line.line) for number, line in chosen}
    for row in await connection.fetch(_CHARGED, *map(list, zip(*places, strict=True))):
        number, line = places[row["number"], row["line"]]
        left = row["exact"] + row["credited"]
        if line.exact > 0 and row["adjusted_by"] and subtract(left, line.exact) < 0:
            raise CreditError(
                f"line {number} of {document.number} is {plain(line.exact)}, of which {plain(left)} are left: "
                f"{row['adjusted_by']} gave back {plain(opposite(subtract(left, line.exact)))} of it; "
                "credit that adjustment first, then this line"
            )
