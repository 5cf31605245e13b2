"""The SQL of rating, whole: every statement works on a batch, none on an event."""

# The events' keys: the positions that were known already come back, since they are few. Keys are inserted in key order,
# so that two workers that hold the same events wait for each other instead of deadlocking.
KEEP_KEYS = """
with fresh as (
    insert into rating.event (provider, id, digest, batch_no, position)
    select provider, id, digest, $1, position
    from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality as incoming(provider, id, digest, position)
    order by provider, id, position
    on conflict (provider, id) do nothing
    returning position
)
select case when count(*) = $5 then '{}' else array(select generate_series(1, $5) except select position from fresh) end
from fresh
"""

# What the new events said, and their sums. No join but the one with the few uses: the planner takes an array for a
# handful of rows, and a nested loop over two of them would cost the square of the batch.
KEEP_USAGE = """
with incoming as materialized (
    select position, use_no, id, quantity::numeric as quantity, resource, raw_partition, raw_offset,
           to_timestamp(time / 1000000) + (time % 1000000) * interval '1 microsecond' as time,
           to_timestamp(received_at / 1000) + (received_at % 1000) * interval '1 millisecond' as received_at
    from unnest($2::int[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::int[], $9::bigint[],
                $10::bigint[])
         as column_(position, use_no, id, time, quantity, resource, raw_partition, raw_offset, received_at)
), kept as (
    insert into rating.usage (month, batch_no, position, use_no, id, time, quantity, resource, raw_partition,
                              raw_offset, received_at)
    select use.month, $1, position, use_no, id, time, quantity, resource, raw_partition, raw_offset, received_at
    from incoming join rating.use using (use_no)
)
select use_no, sum(quantity) as quantity from incoming group by use_no
"""

# The events that were known already: same digest, a repeat; another, a conflict.
KEEP_SEEN_AGAIN = """
insert into rating.seen_again (batch_no, position, use_no, id, time, quantity, resource, raw_partition, raw_offset,
                               received_at, conflict)
select $1, incoming.position, incoming.use_no, incoming.id,
       to_timestamp(incoming.time / 1000000) + (incoming.time % 1000000) * interval '1 microsecond',
       incoming.quantity::numeric, incoming.resource, incoming.raw_partition, incoming.raw_offset,
       to_timestamp(incoming.received_at / 1000) + (incoming.received_at % 1000) * interval '1 millisecond',
       event.digest <> incoming.digest
from unnest($2::int[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::int[], $9::bigint[],
            $10::bigint[], $11::text[], $12::bigint[])
     as incoming(position, use_no, id, time, quantity, resource, raw_partition, raw_offset, received_at, provider,
                 digest)
     join rating.event on event.provider = incoming.provider and event.id = incoming.id
returning position, conflict
"""

# Meters are touched in the order of their keys, the order in which every worker takes these locks.
MOVE_METERS = """
insert into rating.meter as meter (award, item, month, tariff, scope, quantity, amount)
select award, item, month, tariff, scope, quantity::numeric, 0
from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::text[], $6::text[])
     as moved(award, item, month, tariff, scope, quantity)
order by award, item, month, tariff, scope
on conflict (award, item, month, tariff, scope) do update set quantity = meter.quantity + excluded.quantity
returning award, item, month, tariff, scope, quantity
"""

PRICE_METERS = """
update rating.meter
set amount = meter.amount + priced.amount::numeric
from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::text[], $6::text[])
     as priced(award, item, month, tariff, scope, amount)
where (meter.award, meter.item, meter.month, meter.tariff, meter.scope)
    = (priced.award, priced.item, priced.month, priced.tariff, priced.scope)
"""

KEEP_CHARGES = """
insert into rating.charge (batch_no, version, award, item, month, tariff, subject, scope, before, quantity, amount)
select $1, $2, award, item, month, tariff, subject, scope, before::numeric, quantity::numeric, amount::numeric
from unnest($3::text[], $4::text[], $5::text[], $6::date[], $7::text[], $8::text[], $9::text[], $10::text[],
            $11::text[]) as made(award, item, month, tariff, subject, scope, before, quantity, amount)
"""

# Two workers that hold the same batch meet here: the second waits for the first, then finds the row.
ENTER_BATCH = """
insert into rating.batch (batch, version, accepted_at, events) values ($1, $2, $3, $4)
on conflict (batch) do nothing
returning batch_no
"""

COUNT_BATCH = "update rating.batch set rated = $2, repeats = $3, conflicts = $4 where batch_no = $1"

STORED_CHARGES = """
select award, item, month, tariff, subject, quantity, amount
from rating.charge join rating.batch using (batch_no)
where batch = $1
order by award, item, month, tariff, subject
"""

STORED_CONFLICTS = """
select position, true as conflict from rating.seen_again join rating.batch using (batch_no)
where batch = $1 and conflict
"""

ENTER_USES = """
insert into rating.use (provider, award, subject, item, region, month, tariff)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::date[])
on conflict do nothing
"""

FIND_USES = """
select use_no, provider, award, subject, item, region, month, tariff
from rating.use join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::date[])
     as wanted(provider, award, subject, item, region, month, tariff)
     using (provider, award, subject, item, region, month, tariff)
"""

PARK = """
insert into rating.parked (topic, partition, "offset", received_at, error, payload) values ($1, $2, $3, $4, $5, $6)
on conflict do nothing
"""
