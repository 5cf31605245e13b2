"""Reading the books: invoices as they were issued, statements of open months as they stand, what is spent."""

from services.contract.model import Contract
from services.invoicing import sql
from services.invoicing.ceilings import CeilingKey, Level, Standing, standings
from services.invoicing.close import Invoice
from services.invoicing.rows import posting_key
from services.invoicing.statement import Conversion, Line, Statement
from services.invoicing.true_ups import preview
from services.postgres import Connection

_INVOICES = "select number, institution from invoicing.invoice where month = $1 order by number"
_LINES = """
select number, institution, department, pool, award, item, line.month, tariff, quantity, line.exact, amount,
       price_currency, rate, price_amount, rate_month
from invoicing.invoice join invoicing.invoice_line as line using (number)
where invoice.month = $1 order by number, line
"""


async def invoices_of(connection: Connection, month: str) -> list[Invoice]:
    """Return the invoices of a closed month, in the order of their numbers."""
    lines: dict[str, list[Line]] = {}
    institutions = {row["number"]: row["institution"] for row in await connection.fetch(_INVOICES, month)}
    for row in await connection.fetch(_LINES, month):
        priced_in = row["price_currency"]
        rated = (row["rate"], row["price_amount"], row["rate_month"])
        conversion = Conversion(priced_in, *rated) if priced_in else None
        line = Line(posting_key(row), row["quantity"], row["exact"], row["amount"], conversion)
        lines.setdefault(row["number"], []).append(line)
    return [
        Invoice(number, Statement(institution, month, tuple(lines[number])))
        for number, institution in institutions.items()
    ]


async def is_closed(connection: Connection, month: str) -> bool:
    """Tell whether a month is closed."""
    return bool(await connection.fetchval("select closed_at is not null from invoicing.month where month = $1", month))


async def statements_of(connection: Connection, contract: Contract, month: str) -> list[Invoice]:
    """Return a month's statements: the invoices once it is closed, else what they would be now, without a number."""
    if await is_closed(connection, month):
        return await invoices_of(connection, month)
    return [Invoice("", each) for each in await preview(connection, contract, month)]


async def ceilings_of(connection: Connection, contract: Contract) -> list[Standing]:
    """Return every ceiling and what is spent of it."""
    rows = await connection.fetch(sql.SPENT)
    return standings(contract, {CeilingKey(Level(row["level"]), row["code"]): row["amount"] for row in rows})
