"""Closing months by itself, where the contract file says so."""

import asyncpg
import msgspec
import structlog
from prometheus_client import Gauge

from services import contract_store
from services.apart import run_apart
from services.closing.months import due_months, not_closed
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


async def close_what_is_due(database_url: str, pool: asyncpg.Pool) -> None:
    """Close the months that are due, if the contract says so and no other worker is at it.

    It is done by a process of its own. What can't be closed is told by a metric and in the log, with what is in its
    way.
    """
    async with pool.acquire() as connection:  # that it is let go gives the lock back
        stored = await contract_store.newest(connection)
        if stored is None:
            return
        due = await due_months(connection, stored)
        if stored.contract.closes_itself and await connection.fetchval(_ONE_WORKER):
            done = await run_apart(database_url, "close", "--due", "--json") if due else None
            for each in msgspec.json.decode(done.answer) if done and done.answer else []:
                log.info("month.closed", month=each["month"], invoices=len(each["invoices"]))
            if done and done.status:
                log.warning("month.not_closed", error=done.said)
            MONTHS_HELD.set(1 if done and done.status else 0)
        months = await not_closed(connection, stored)
        MONTHS_DUE.set(sum(at.stage is Stage.DUE for _, at in months))
        GRACE_ENDS.set(months[0][1].grace_ends.timestamp() if months else 0)
