"""Settling months while they are open: what is shared is put right by what has come so far.

Law: afterwards the postings of usage are what a close would make of the usage until now, in whatever order it came; so
an institution's budget is watched by its right share, and a restored ledger ends where the lost one did.
"""

import asyncpg
import structlog

from services import contract_store
from services.contract.model import Contract
from services.invoicing import sql
from services.invoicing.ledger import post
from services.invoicing.true_ups import closed_months, of_usage
from services.postgres import Connection

log = structlog.get_logger()
_OPEN = "select distinct invoice_month from invoicing.posting where invoice_month <> all($1::text[]) order by 1"


async def settle_open_months(pool: asyncpg.Pool) -> None:
    """Post by how much shares in open months differ from what is due by now; nothing where they are right."""
    async with pool.acquire() as connection, connection.transaction():
        stored = await contract_store.newest(connection)
        if stored is None:
            return
        await connection.execute(sql.TAKE_MONTHS)
        closed = await closed_months(connection)
        for row in await connection.fetch(_OPEN, sorted(closed)):
            try:
                await _settle(connection, stored.contract, row["invoice_month"], closed)
            except LookupError as error:  # the audit says what of it the newest contract has no price for
                log.warning("month.not_settled", month=row["invoice_month"], error=repr(error))


async def _settle(connection: Connection, contract: Contract, month: str, closed: set[str]) -> None:
    moved = await of_usage(connection, contract, month, closed)
    if moved:
        entry = await connection.fetchval(sql.ENTER_ENTRY, "true_up", None, month)
        await post(connection, contract, entry, moved, {key.month: month for key in moved})
