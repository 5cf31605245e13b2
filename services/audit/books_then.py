"""The books as they were when an invoice was made, or as they are for a month that is open.

What came later is told by its place: a charge goes on the first invoice that is open, so whatever stands on one that
was closed later, or is open yet, had not come.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from services import contract_store
from services.contract.charges import ChargeKey
from services.contract.model import Contract
from services.contract.money import subtract
from services.contract.months import month_of, months_between
from services.invoicing.committed import Owed, committed_lines, owed_by_institution
from services.invoicing.credits import sets_off
from services.invoicing.rows import charge_key, posting_key
from services.invoicing.settle import PostingKey
from services.invoicing.true_ups import owed_until, true_ups
from services.postgres import Connection

_CLOSE = "select version, closed_at from invoicing.month where month = $1 and closed_at is not null"
_OTHERS = "select month, closed_at from invoicing.month where month <> $1 order by closed_at, month"
_CHARGED = "select award, item, month, tariff, subject, quantity, amount from invoicing.charged where month = $1"
# What later invoices have of a month's charges: few of them, beside all that there are.
LATER_BATCHES = """
select batch from invoicing.entry where batch is not null and entry in (
    select entry from invoicing.posting where month = $1 and invoice_month = any($2::text[]))
"""
_CHARGED_LATER = f"""
select award, item, month, tariff, subject, sum(charge.quantity) as quantity, sum(charge.amount) as amount
from rating.charge join rating.batch using (batch_no)
where month = $1 and batch in ({LATER_BATCHES}) group by 1, 2, 3, 4, 5
"""
OF_KEY = """
side = 'institution' and posting.institution = $1 and posting.department = $2 and posting.pool = $3
and posting.award = $4 and posting.item = $5 and posting.month = $6 and posting.tariff = $7::text::date
"""
_BEFORE = f"""
select posting.invoice_month, number, sum(quantity) as quantity, sum(amount) as amount, min(invoice.total) as total
from invoicing.posting left join invoicing.invoice
     on invoice.institution = posting.institution and invoice.month = posting.invoice_month
where {OF_KEY} and invoice_month = any($8::text[])
group by 1, 2 having sum(amount) <> 0 order by 1
"""
# Without what was set off of credits, which is no usage.
_INVOICED = """
select institution, department, pool, award, item, month, tariff, sum(amount) as amount
from (
    select institution, department, pool, award, item, line.month, tariff, line.exact as amount
    from invoicing.invoice_line as line join invoicing.invoice using (number)
    where award = any($1::text[]) and invoice.month = any($2::text[])
    union all
    select institution, department, pool, award, item, posting.month, tariff, -amount
    from invoicing.entry join invoicing.posting using (entry)
    where kind = 'set_off' and borne_by is not null and side = 'credited' and award = any($1::text[])
          and invoice_month = any($2::text[])
) as every
group by 1, 2, 3, 4, 5, 6, 7
"""
_SET_OFF = """
select borne_by, sum(amount) as amount, max(posted_at) as posted_at
from invoicing.entry join invoicing.posting using (entry)
where kind = 'set_off' and borne_by is not null and side = 'credited' and posting.institution = $1
      and posting.department = $2 and posting.pool = $3 and posting.award = $4 and posting.item = $5
      and posting.month = $6 and posting.tariff = $7::text::date and invoice_month = $8
group by borne_by order by borne_by
"""
_RERATED = """
select rerating, applied_at, applied_by from contract.rerated join contract.rerating using (rerating)
where award = $1 and month = $2 and rerating <= $3 order by rerating
"""


@dataclass(frozen=True, slots=True)
class Books:
    """The contract that an invoice month was closed under, and which other invoice months were before and after.

    While the month is open, that is the newest contract, and all other months count as before.
    """

    month: str
    contract: Contract
    version: int
    closed_at: datetime | None
    before: tuple[str, ...]
    later: tuple[str, ...]


async def books_of(connection: Connection, month: str) -> Books:
    """Return the books of an invoice month; raises LookupError while no contract is applied."""
    others = await connection.fetch(_OTHERS, month)
    closed = await connection.fetchrow(_CLOSE, month)
    if closed is None:
        stored = await contract_store.newest(connection)
        if stored is None:
            raise LookupError("no contract is applied yet: run `plafond contract apply FILE`")
        return Books(month, stored.contract, stored.version, None, tuple(row["month"] for row in others), ())
    closed_at = closed["closed_at"]
    contract = await contract_store.load_version(connection, closed["version"], as_of=closed_at)
    before = tuple(row["month"] for row in others if row["closed_at"] is not None and row["closed_at"] < closed_at)
    later = tuple(row["month"] for row in others if row["month"] not in before)
    return Books(month, contract, closed["version"], closed_at, before, later)


async def quantities(connection: Connection, books: Books, month: str) -> dict[ChargeKey, Decimal]:
    """Return what was charged for a month of use by then; what a re-rating took back altogether is left out."""
    found = {charge_key(row): row for row in await connection.fetch(_CHARGED, month)}
    later = {}
    if books.later:
        rows = await connection.fetch(_CHARGED_LATER, month, list(books.later))
        later = {charge_key(row): row for row in rows}
    made = {}
    for key, row in found.items():
        quantity, amount = row["quantity"], row["amount"]
        if key in later:
            quantity = subtract(quantity, later[key]["quantity"])
            amount = subtract(amount, later[key]["amount"])
        if quantity or amount:
            made[key] = quantity
    return made


async def invoiced_before(connection: Connection, books: Books, key: PostingKey) -> list[dict[str, Any]]:
    """Return what earlier invoices had of a line, by invoice."""
    months = list(books.before)
    if (key.award, key.item) in committed_lines(books.contract):
        months = [each for each in months if each < books.month]
    return [dict(row) for row in await connection.fetch(_BEFORE, *key, months)]


async def set_off_then(connection: Connection, books: Books, key: PostingKey) -> list[dict[str, Any]]:
    """Return what an invoice sets off of credits on a line, by who bore them; of an open month, what it would."""
    if books.closed_at is not None:
        return [dict(row) for row in await connection.fetch(_SET_OFF, *key, books.month)]
    moved = await true_ups(connection, books.contract, books.month)
    made = await sets_off(connection, books.month, moved)
    return [
        {"borne_by": borne_by.value, "amount": amounts[key], "posted_at": None}
        for borne_by, amounts in made.items()
        if key in amounts
    ]


async def owed_then(connection: Connection, books: Books) -> tuple[list[str], Owed]:
    """Return the months that promises are reckoned from, and what was owed for usage in them."""
    months = months_between(month_of(books.contract.starts), books.month)
    if books.closed_at is None:
        return months, await owed_until(connection, books.contract, books.month)
    lines = committed_lines(books.contract)
    awards = sorted({award for award, _ in lines})
    invoices = [each for each in (*books.before, books.month) if each <= books.month]
    rows = await connection.fetch(_INVOICED, awards, invoices)
    return months, owed_by_institution(
        {posting_key(row): row["amount"] for row in rows if (row["award"], row["item"]) not in lines}
    )


async def reratings(connection: Connection, books: Books, key: PostingKey) -> list[dict[str, Any]]:
    """Return the re-ratings of a line's month of use that counted by then."""
    rows = await connection.fetch(_RERATED, key.award, key.month, books.contract.rerating)
    return [dict(row) for row in rows]
