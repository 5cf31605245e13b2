"""Closing months by itself, where the contract file says so."""

import asyncpg
import structlog
from prometheus_client import Gauge

from services import contract_store
from services.closing.due import close_due
from services.closing.months import not_closed
from services.closing.stages import Stage

SECONDS = 600.0
"""How often it is looked whether a month is due."""
MONTHS_DUE = Gauge("plafond_months_due", "Months whose grace is over and that are not closed.")
MONTHS_HELD = Gauge("plafond_months_held", "Months that were to be closed without anyone and could not be; 0 is right.")
GRACE_ENDS = Gauge(
    "plafond_grace_end_timestamp_seconds",
    "When the grace of the oldest month that is not closed is over, in Unix time; 0 where every month is closed.",
)
_ONE_WORKER = "select pg_try_advisory_lock(hashtext('closing'))"

log = structlog.get_logger()


async def close_what_is_due(pool: asyncpg.Pool) -> None:
    """Close the months that are due, if the contract says so and no other worker is at it.

    What can't be closed is told by a metric and in the log, with what is in its way.
    """
    async with pool.acquire() as connection:  # that it is let go gives the lock back
        stored = await contract_store.newest(connection)
        if stored is None:
            return
        if stored.contract.closes_itself and await connection.fetchval(_ONE_WORKER):
            closed, held = await close_due(connection, stored)
            for month, invoices in closed:
                log.info("month.closed", month=month, invoices=len(invoices))
            if held:
                log.warning("month.not_closed", month=held[0], error=str(held[1]))
            MONTHS_HELD.set(1 if held else 0)
        months = await not_closed(connection, stored)
        MONTHS_DUE.set(sum(at.stage is Stage.DUE for _, at in months))
        GRACE_ENDS.set(months[0][1].grace_ends.timestamp() if months else 0)
