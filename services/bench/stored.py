"""Rows of earlier usage in every table, so that the pipeline is measured on tables that are not empty."""

from collections.abc import Callable

from services.bench.usage import FIRST_HOUR
from services.contract.model import Contract
from services.postgres import connect

CHUNK = 1_000_000
EVENTS_A_BATCH = 10_000
LINES_A_BATCH = 1_000
"""What half load comes to with the benchmark's machines: ten events a charge line."""

# The key's index is made afterwards, as for any bulk load, and what is loaded needs no checks.
_BEFORE = """
set session_replication_role = replica;
alter table rating.event drop constraint event_pkey;
create table if not exists rating.usage_2016_02 partition of rating.usage for values in ('2016-02');
insert into invoicing.month (month) values ('2016-02')
"""
# Ids are like those of the usage to come: a machine, an hour.
_EVENTS = """
insert into rating.event (provider, id, digest, batch_no, position)
select (array['numergy', 'gigas', 'enter', 'portugal-telecom'])[1 + n % 4],
       format('old-%s-%s', lpad((n / 672)::text, 6, '0'), 2016020100 + n % 672), n, 1 + n / $3::int, n % $3
from generate_series($1::int, $2::int) as made(n)
"""
_USAGE = """
insert into rating.usage (month, batch_no, position, use_no, id, time, quantity, resource, raw_partition, raw_offset,
                          received_at)
select '2016-02', 1 + n / $3::int, n % $3, 0, format('old-%s-%s', lpad((n / 672)::text, 6, '0'), 2016020100 + n % 672),
       timestamptz '2016-02-01' + (n % 672) * interval '1 hour', n % 1000,
       format('old-%s', lpad((n / 672)::text, 6, '0')), 0, n, now()
from generate_series($1::int, $2::int) as made(n)
"""
_BATCHES = """
with made as (
    insert into rating.batch (batch_no, batch, version, accepted_at, events, rated, partition, appended_at)
    overriding system value
    select 1 + n, gen_random_uuid(), 1, timestamptz '2016-02-01', $3, $3, n % 4, timestamptz '2016-02-01'
    from generate_series($1::int / $3::int, $2::int / $3) as made(n) returning batch_no, batch
), posted as (
    insert into invoicing.batch (batch, version, accepted_at) select batch, 1, timestamptz '2016-02-01' from made
), entered as (
    insert into invoicing.entry (kind, batch) select 'charge', batch from made returning entry
), charged as (
    insert into rating.charge (batch_no, version, award, item, month, tariff, subject, scope, before, quantity, amount,
                               is_fee)
    select batch_no, 1, '2/CTA', ($5::text[])[1 + n % cardinality($5)], '2016-02', date '2016-01-01',
           format('EC/%s', n / cardinality($5)), 'EC', n, 10, 0.444, false
    from made, generate_series(1, $4::int) as line(n)
)
insert into invoicing.posting (entry, side, invoice_month, month, award, institution, department, pool, item, tariff,
                               quantity, amount)
select entry, 'institution', '2016-02', '2016-02', '2/CTA', 'EC', (n / cardinality($5))::text, '',
       ($5)[1 + n % cardinality($5)], date '2016-01-01', 10, 0.444
from entered, generate_series(1, $4) as line(n)
union all
select entry, 'award', '2016-02', '2016-02', '2/CTA', '', '', '', '', null, 0, -0.444 * $4 from entered
"""
_TOTALS = """
with lines as (select ($2::text[])[1 + n % cardinality($2)] as item, format('EC/%s', n / cardinality($2)) as subject
               from generate_series(1, $1::int) as line(n)),
     metered as (
    insert into rating.meter (award, item, month, tariff, scope, quantity, amount)
    select '2/CTA', item, '2016-02', date '2016-01-01', subject, 10, 0.444 from lines
)
insert into invoicing.charged (month, award, item, tariff, subject, quantity, amount)
select '2016-02', '2/CTA', item, date '2016-01-01', subject, 10, 0.444 from lines
"""
_AFTER = """
alter table rating.event add primary key (id, provider);
select setval(pg_get_serial_sequence('rating.batch', 'batch_no'), (select max(batch_no) from rating.batch))
"""
_GROWN = (
    "rating.event", "rating.usage", "rating.batch", "rating.charge", "rating.meter", "invoicing.batch",
    "invoicing.entry", "invoicing.posting", "invoicing.charged",
)  # fmt: skip


async def store(database_url: str, contract: Contract, rows: int, report: Callable[[int], None]) -> None:
    """Put so many events into the tables, with their usage, batches, charges and postings."""
    tariff = contract.tariff_at("2/CTA", FIRST_HOUR)
    assert tariff is not None, "the sample has one"
    items = sorted(tariff.metered)
    connection = await connect(database_url)
    try:
        await connection.execute(_BEFORE)
        for first in range(0, rows, CHUNK):
            last = min(first + CHUNK, rows) - 1
            await connection.execute(_EVENTS, first, last, EVENTS_A_BATCH)
            await connection.execute(_USAGE, first, last, EVENTS_A_BATCH)
            await connection.execute(_BATCHES, first, last, EVENTS_A_BATCH, LINES_A_BATCH, items)
            report(last - first + 1)
        await connection.execute(_TOTALS, LINES_A_BATCH, items)
        await connection.execute(_AFTER)
        for table in _GROWN:
            await connection.execute(f"vacuum analyze {table}")
        await connection.execute("checkpoint")
    finally:
        await connection.close()
