"""Rows of earlier usage in every table, so that the pipeline is measured on tables that are not empty.

What was stored are the hours before, of the very machines that report next: an event's key then goes among the keys of
its machine, as it would in a year's books, and not on one page at the end of the index. Machines that are gone by now
make up what these have not reported in a year.
"""

from collections.abc import Callable
from datetime import timedelta

from services.bench.usage import FIRST_HOUR, machines
from services.contract.model import Contract
from services.contract.months import first_day, month_of, next_month
from services.postgres import Connection, connect

CHUNK = 1_000_000
MONTHS_MAX = 12
EVENTS_A_BATCH = 10_000
LINES_A_BATCH = 1_000
"""What half load comes to with the benchmark's machines: ten events a charge line."""

# The key's index is made afterwards, as for any bulk load, and what is loaded needs no checks.
_BEFORE = """
set session_replication_role = replica;
alter table rating.event drop constraint event_pkey;
create temporary table machine (number int, name text, provider text);
insert into invoicing.month (month) values ('2016-02')
"""
_PARTITION = "create table if not exists rating.usage_{} partition of rating.usage for values in ('{}')"
# Hours $1 to $2, counted back from $3; event number $5 is the first that is too many, batches have $6 events.
_USAGE = """
with old as (
    select hour * $4::bigint + number as n, name, provider, at,
           name || to_char(at at time zone 'UTC', '-YYYYMMDDHH24') as id
    from (select hour, $3::timestamptz - (hour + 1) * interval '1 hour' as at
          from generate_series($1::int, $2::int) as made(hour)) as hours cross join machine
    where hour * $4::bigint + number < $5::bigint
), known as (
    insert into rating.event (provider, id, digest, batch_no, position)
    select provider, id, n, 1 + n / $6::int, n % $6 from old
)
insert into rating.usage (month, batch_no, position, use_no, id, time, quantity, resource, raw_partition, raw_offset,
                          received_at)
select to_char(at at time zone 'Europe/Brussels', 'YYYY-MM'), 1 + n / $6, n % $6, 0, id, at, n % 1000, name, 0, n, now()
from old
"""
_BATCHES = """
with made as (
    insert into rating.batch (batch_no, batch, version, accepted_at, events, rated, partition, appended_at)
    overriding system value
    select 1 + n, gen_random_uuid(), 1, timestamptz '2016-02-01', $3, $3, n % 4, timestamptz '2016-02-01'
    from generate_series($1::int, $2::int) as made(n) returning batch_no, batch
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


async def store(database_url: str, contract: Contract, events: int, rows: int, report: Callable[[int], None]) -> None:
    """Put so many rows before the usage of so many events: with their batches, charges and postings."""
    tariff = contract.tariff_at("2/CTA", FIRST_HOUR)
    assert tariff is not None, "the sample has one"
    items = sorted(tariff.metered)
    connection = await connect(database_url)
    try:
        await connection.execute(_BEFORE)
        await _store_usage(connection, contract, max(events, rows // MONTHS_MAX), rows, report)
        for first in range(0, -(-rows // EVENTS_A_BATCH), CHUNK // EVENTS_A_BATCH):
            last = min(first + CHUNK // EVENTS_A_BATCH, -(-rows // EVENTS_A_BATCH)) - 1
            await connection.execute(_BATCHES, first, last, EVENTS_A_BATCH, LINES_A_BATCH, items)
        await connection.execute(_TOTALS, LINES_A_BATCH, items)
        await connection.execute(_AFTER)
        for table in _GROWN:
            await connection.execute(f"vacuum analyze {table}")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


async def _store_usage(
    connection: Connection, contract: Contract, month_of_events: int, rows: int, report: Callable[[int], None]
) -> None:
    """Store the hours before, back from the first, of the machines whose month has so many events."""
    fleet = machines(contract, month_of_events)
    await connection.copy_records_to_table(
        "machine", records=[(number, each.name, each.provider) for number, each in enumerate(fleet)]
    )
    hours, at_once = -(-rows // len(fleet)), max(1, CHUNK // len(fleet))
    month = month_of((FIRST_HOUR - timedelta(hours=hours)).date())
    while month <= month_of(FIRST_HOUR.date()):
        await connection.execute(_PARTITION.format(month.replace("-", "_"), month))
        month = month_of(first_day(next_month(month)))
    for first in range(0, hours, at_once):
        last = min(first + at_once, hours) - 1
        await connection.execute(_USAGE, first, last, FIRST_HOUR, len(fleet), rows, EVENTS_A_BATCH)
        report(min(rows, (last + 1) * len(fleet)) - first * len(fleet))
