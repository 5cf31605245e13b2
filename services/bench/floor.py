"""The floor: the same events priced by plain SQL, in three statements, with nothing streamed.

The rows are those that measuring the limit has copied in; the time of that copy counts.
"""

import time

from services.bench.booked import NotBookedError
from services.postgres import connect

_PRICES = """
create table bench.price as
select provider, lot, item, 0.0125::numeric as price from bench.usage group by provider, lot, item
"""
_CHARGE = """
create table bench.charge as
select provider, id, subject, lot, item, time, quantity * price as amount
from bench.usage join bench.price using (provider, lot, item)
"""
_SUM = """
select subject, lot, item, date_trunc('month', time) as month, sum(amount) as amount
from bench.charge group by subject, lot, item, date_trunc('month', time)
"""


async def measure(database_url: str, events: int, copy_seconds: float) -> float:
    """Return the events per second of copying, pricing and adding up; raises NotBookedError when some are missing."""
    connection = await connect(database_url)
    try:
        await connection.execute("drop table if exists bench.price; drop table if exists bench.charge")
        await connection.execute(_PRICES)
        began = time.perf_counter()
        await connection.execute(_CHARGE)
        await connection.fetch(_SUM)
        seconds = time.perf_counter() - began
        charged = await connection.fetchval("select count(*) from bench.charge")
        if charged != events:
            raise NotBookedError(f"{events:,} events copied in, {charged:,} of them there and priced")
        await connection.execute("drop table bench.usage, bench.price, bench.charge")
        return events / (copy_seconds + seconds)
    finally:
        await connection.close()
