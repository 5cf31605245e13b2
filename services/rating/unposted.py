"""Batches that are charged and that invoicing has not posted, each as the message of `charges` that it waits for."""

import asyncpg

from services.kafka import Message
from services.postgres import Connection
from services.rating.message import charge_message
from services.rating.store import stored_charges

_UNPOSTED = """
select batch, batch.version, encode(sha256, 'hex') as contract, accepted_at, partition, appended_at
from rating.batch join contract.version using (version)
where exists (select from rating.charge where charge.batch_no = batch.batch_no)
      and not exists (select from invoicing.batch as posted where posted.batch = batch.batch)
      and (not $1 or batch in (select batch from contract.rerating))
order by batch_no
"""


async def unposted(connection: Connection, *, only_reratings: bool = False) -> list[asyncpg.Record]:
    """Return the batches, in their order, for `message_of`."""
    return await connection.fetch(_UNPOSTED, only_reratings)


async def message_of(connection: Connection, row: asyncpg.Record) -> Message:
    """Return a batch's message, under the batch's id: sending it again costs nothing."""
    charges = await stored_charges(connection, row["batch"])
    accepted_at = int(row["accepted_at"].timestamp() * 1_000_000)
    return charge_message(str(row["batch"]), row["version"], row["contract"], accepted_at, charges)
