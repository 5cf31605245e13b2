"""Rows of earlier usage, so that the pipeline is measured on tables that are not empty."""

from collections.abc import Callable

from services.postgres import connect

CHUNK = 1_000_000

# The key's index is made afterwards, as for any bulk load. Ids are like those of the usage to come: a machine, an hour.
_BEFORE = """
alter table rating.event drop constraint event_pkey;
create table if not exists rating.usage_2016_02 partition of rating.usage for values in ('2016-02')
"""
_EVENTS = """
insert into rating.event (provider, id, digest, batch_no, position)
select (array['numergy', 'gigas', 'enter', 'portugal-telecom'])[1 + n % 4],
       format('old-%s-%s', lpad((n / 672)::text, 6, '0'), 2016020100 + n % 672), n, 0, n
from generate_series($1::int, $2::int) as made(n)
"""
_USAGE = """
insert into rating.usage (month, batch_no, position, use_no, id, time, quantity, resource, raw_partition, raw_offset,
                          received_at)
select '2016-02', 0, n, 0, format('old-%s-%s', lpad((n / 672)::text, 6, '0'), 2016020100 + n % 672),
       timestamptz '2016-02-01' + (n % 672) * interval '1 hour', n % 1000,
       format('old-%s', lpad((n / 672)::text, 6, '0')), 0, n, now()
from generate_series($1::int, $2::int) as made(n)
"""
_AFTER = "alter table rating.event add primary key (id, provider)"


async def store(database_url: str, rows: int, report: Callable[[int], None]) -> None:
    """Put so many events and their usage into the tables."""
    connection = await connect(database_url)
    try:
        await connection.execute(_BEFORE)
        for first in range(0, rows, CHUNK):
            last = min(first + CHUNK, rows) - 1
            await connection.execute(_EVENTS, first, last)
            await connection.execute(_USAGE, first, last)
            report(last - first + 1)
        await connection.execute(_AFTER)
        await connection.execute("vacuum analyze rating.event")
        await connection.execute("vacuum analyze rating.usage")
        await connection.execute("checkpoint")
    finally:
        await connection.close()
