"""Entering a decision, in the transaction that brings it about.

Law: a decision commits together with what it tells of, and numbers have no gaps and follow the order of commits.
"""

import uuid
from collections.abc import Sequence

import asyncpg

from services.postgres import Connection

# Held until the transaction ends, and taken after all other locks: numbers follow the order of commits.
_TAKE = "select pg_advisory_xact_lock(hashtext('decision'))"
_ENTER = """
insert into decisions.decision
    (number, version, rerating, month, batch, after, partitions, rated_until, waiting, document, dispute_step)
select coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 from decisions.decision
"""
_RATED_UNTIL = """
select partition, max(appended_at) as until from rating.batch where partition is not null group by partition
order by partition
"""
_WAITING = """
select batch from rating.batch
where exists (select from rating.charge where charge.batch_no = batch.batch_no)
      and not exists (select from invoicing.batch as posted where posted.batch = batch.batch)
order by batch_no
"""
_RECOVERING = "select exists (select from decisions.recovery)"
_LAST_CLOSE = """
select max(number) from decisions.decision join invoicing.month using (month) where closed_at is not null
"""


class RecoveringError(Exception):
    """The recovery of the database was not ended, so nothing may be decided on it."""


async def enter_version(connection: Connection, version: int) -> None:
    """Enter that a contract version is applied, in the transaction that stores it; raises RecoveringError."""
    await _refuse_recovering(connection)
    await _enter(connection, version=version)


async def enter_rerating(connection: Connection, rerating: int) -> None:
    """Enter that a re-rating is posted, in its transaction; raises RecoveringError."""
    await _refuse_recovering(connection)
    await _enter(connection, rerating=rerating, rated=await connection.fetch(_RATED_UNTIL))


async def enter_close(connection: Connection, month: str) -> None:
    """Enter that a month is closed, in the transaction that does it, while nobody can post; raises RecoveringError."""
    await _refuse_recovering(connection)
    rated = await connection.fetch(_RATED_UNTIL)  # before what waits: a batch that is rated in between came after
    waiting = [row["batch"] for row in await connection.fetch(_WAITING)]
    await _enter(connection, month=month, rated=rated, waiting=waiting)


async def enter_document(connection: Connection, number: str) -> None:
    """Enter that a credit note is issued, or an invoice anew, as `enter_close` does it; raises RecoveringError."""
    await _refuse_recovering(connection)
    rated = await connection.fetch(_RATED_UNTIL)  # before what waits, as above
    waiting = [row["batch"] for row in await connection.fetch(_WAITING)]
    await _enter(connection, document=number, rated=rated, waiting=waiting)


async def enter_dispute_step(connection: Connection, step: int) -> None:
    """Enter that a dispute was opened or has ended, in the transaction that does it; raises RecoveringError."""
    await _refuse_recovering(connection)
    await _enter(connection, dispute_step=step)


async def enter_late(connection: Connection, batch: uuid.UUID) -> None:
    """Enter that a batch is posted after a close of its months or later ones, unless that is known already."""
    if not await connection.fetchval("select exists (select from decisions.decision where batch = $1)", batch):
        await _enter(connection, batch=batch, after=await connection.fetchval(_LAST_CLOSE))


async def _refuse_recovering(connection: Connection) -> None:
    if await connection.fetchval(_RECOVERING):
        raise RecoveringError("the recovery of the database was not ended: run `plafond recover` again")


async def _enter(
    connection: Connection,
    *,
    version: int | None = None,
    rerating: int | None = None,
    month: str | None = None,
    batch: uuid.UUID | None = None,
    after: int | None = None,
    rated: Sequence[asyncpg.Record] | None = None,
    waiting: Sequence[uuid.UUID] = (),
    document: str | None = None,
    dispute_step: int | None = None,
) -> None:
    await connection.execute(_TAKE)
    partitions = None if rated is None else [row["partition"] for row in rated]
    until = None if rated is None else [row["until"] for row in rated]
    await connection.execute(
        _ENTER, version, rerating, month, batch, after, partitions, until, list(waiting), document, dispute_step
    )
