"""Months of use whose rate is not published yet: what is charged in them is at the last known rate until it is.

Law: nothing is invoiced at a rate that the contract does not say is its month's.
"""

from services.contract.charges import ChargeKey, ProvisionalRate, promised_meters, provisional_rates
from services.contract.model import Contract
from services.invoicing import sql
from services.invoicing.rows import charge_key
from services.postgres import Connection

_OPEN_USE = """
select distinct award, item, month, tariff from invoicing.charged join invoicing.month using (month)
where closed_at is null and (quantity <> 0 or amount <> 0)
"""


async def provisional(connection: Connection, contract: Contract, invoice_month: str) -> list[ProvisionalRate]:
    """Return the provisional rates of what a month's invoices have on them: its own use, and late use of others."""
    used = {row["month"] for row in await connection.fetch(sql.USAGE_MONTHS, invoice_month)}
    keys = [
        charge_key(row)
        for month in sorted({invoice_month, *used})
        for row in await connection.fetch(sql.CHARGED_QUANTITIES, month)
    ]
    return provisional_rates(contract, [*keys, *promised_meters(contract, invoice_month)])


async def provisional_in_open_months(connection: Connection, contract: Contract) -> list[ProvisionalRate]:
    """Return the provisional rates of what was used in all months that are open."""
    rows = await connection.fetch(_OPEN_USE)
    keys = [ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), "") for row in rows]
    return provisional_rates(contract, keys)
