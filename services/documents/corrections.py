"""Credit notes and invoices that were issued anew, as they stand in the books, ready to be made documents of.

Law: what is taken back of a document in parts comes to no more than it was, its VAT included.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from services.contract.model import Contract
from services.contract.money import ONE, ZERO, add, opposite
from services.documents.make import Correcting, Issued
from services.documents.model import Preceding
from services.invoicing.issued import IssuedDocument
from services.invoicing.rows import posting_key
from services.invoicing.settle import PostingKey
from services.invoicing.statement import Conversion, Line, Statement
from services.postgres import Connection

_SET_OFF = """
select institution, department, pool, award, item, posting.month, tariff, sum(amount) as amount,
       coalesce(sum(amount) filter (where borne_by = 'coordinator'), 0) as of_coordinator, (
           select max(price_currency) from invoicing.invoice_line as line
           where (line.award, line.item, line.month, line.tariff)
               = (posting.award, posting.item, posting.month, posting.tariff)) as currency
from invoicing.entry join invoicing.posting using (entry)
where kind = 'set_off' and borne_by is not null and side = 'credited' and invoice_month = $1
group by institution, department, pool, award, item, posting.month, tariff order by 1, 2, 3, 4, 5, 6, 7
"""


def corrections(contract: Contract, own: Mapping[str, Preceding], since: Sequence[IssuedDocument]) -> list[Issued]:
    """Return what was issued since a month's close, in its order, with what it corrects; `own` are its invoices."""
    numbered = dict(own) | {
        each.number: Preceding(each.number, each.issued_at.astimezone(contract.zone).date(), each.statement.total)
        for each in since
    }
    corrected = {each.number: each.corrects for each in since}
    left: dict[str, Decimal] = {number: each.total for number, each in numbered.items()}
    made = []
    for each in since:
        before = [corrected[each.anew], each.anew] if each.anew else [each.corrects]
        preceding = tuple(numbered[number] for number in before if number)
        of_it = left[each.corrects] if each.corrects else None
        correcting = Correcting(preceding, each.reason or "", each.anew is not None, of_it)
        if each.corrects:
            left[each.corrects] = add(left[each.corrects], each.statement.total)
        day = numbered[each.number].issued
        made.append(Issued(each.number, day, each.statement, {}, ZERO, correcting=correcting))
    return made


async def set_off_on(connection: Connection, month: str) -> tuple[dict[PostingKey, Decimal], Statement]:
    """Return what a month's invoices set off of credits, and lines that undo what of that the coordinator had borne.

    That is between it and the institutions: suppliers are expected to invoice as if it were not.
    """
    amounts, lines = {}, []
    for row in await connection.fetch(_SET_OFF, month):
        key, currency = posting_key(row), row["currency"]
        amounts[key] = row["amount"]
        if exact := opposite(row["of_coordinator"]):
            conversion = Conversion(currency, ONE, ZERO, None) if currency else None
            lines.append(Line(key, ZERO, exact, exact, conversion))
    return amounts, Statement("", month, tuple(lines))
