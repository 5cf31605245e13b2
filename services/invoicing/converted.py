"""The amounts in other currencies on the lines of a statement.

Law: over all invoices, they add up to what is settled in the currency: a line for a month that was invoiced before has
the difference, as its amount is one.
"""

from collections.abc import Iterable

from services.contract.model import Contract
from services.contract.money import ZERO, subtract
from services.invoicing import sql
from services.invoicing.rows import charge_key, posting_key
from services.invoicing.settle import PostingKey, settle_in_currency
from services.invoicing.statement import Conversion, conversions
from services.postgres import Connection


async def converted(
    connection: Connection, contract: Contract, lines: Iterable[PostingKey]
) -> dict[PostingKey, Conversion]:
    """Return the conversions of lines, of those whose price is in another currency."""
    found: dict[PostingKey, Conversion] = {}
    for month in sorted({line.month for line in lines}):
        rows = await connection.fetch(sql.CHARGED_QUANTITIES, month)
        quantities = {charge_key(row): row["quantity"] for row in rows}
        made = conversions(contract, settle_in_currency(contract, month, quantities))
        invoiced = await connection.fetch(sql.INVOICED_IN_CURRENCY, month)
        for row in invoiced:
            line = posting_key(row)
            now = made.get(line) or Conversion(row["price_currency"], row["rate"], ZERO, row["rate_month"])
            if now.currency == row["price_currency"]:
                made[line] = now._replace(amount=subtract(now.amount, row["price_amount"]))
        found |= made
    return found
