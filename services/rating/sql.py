"""The SQL of rating, whole: every statement works on a batch, none on an event."""

# A batch's rows as they come; each connection has a table of its own, empty after every transaction.
STAGING = """
create temporary table incoming (
    position       int not null,
    use            int not null,
    id             text not null,
    time           bigint not null,
    quantity       numeric not null,
    resource       text not null,
    raw_partition  int not null,
    raw_offset     bigint not null,
    received_at    bigint not null,
    corrects       text
) on commit delete rows
"""

# $2: the numbers of the batch's uses. What a use says of its events goes into their digests: award, subject, item and
# region, but not the tariff, which the contract decides.
_USES = """
uses as materialized (
    select given.use, use_no, provider, month, minimum, increment,
           hashtextextended(concat_ws('|', award, subject, item, region), 0) as said
    from unnest($2::int[]) with ordinality as given(use_no, use) join rating.use using (use_no)
)
"""
_USES_ALONE = _USES.replace("$2", "$1")
_DIGEST = "hashtextextended(concat_ws('|', time, quantity, resource, chr(10) || corrects), said)"

STAGED_COLUMNS = (
    "position", "use", "id", "time", "quantity", "resource", "raw_partition", "raw_offset", "received_at",
)  # fmt: skip
STAGE_CORRECTIONS = """
update incoming set corrects = given.corrects
from unnest($1::int[], $2::text[]) as given(position, corrects) where incoming.position = given.position
"""

# The reasons for which rating rejects, as the index on rejections has them.
_IN_RATING = "reason in ('conflict', 'corrected_already', 'correction_circle', 'too_late')"

# What is rejected here already, although what it contradicts may not have come yet: after a restore.
OUTVOTED = f"""
with {_USES_ALONE}
select position, rejected.reason, id as found
from incoming join uses using (use) cross join lateral (
    select reason from ingest.rejection
    where topic = 'usage.raw.' || provider and partition = raw_partition and "offset" = raw_offset
          and rejection.received_at = timestamptz 'epoch' + incoming.received_at * interval '1 millisecond'
          and {_IN_RATING}
    order by rejection limit 1
) as rejected
"""

# New events that may be corrections, in their order; events of one id stay together.
CORRECTING = f"""
with {_USES_ALONE}, sent as (
    select position, provider, id, coalesce(corrects, '') as corrects, received_at from incoming join uses using (use)
)
select position, provider, id, corrects, received_at from sent
where (provider, id) in (select provider, id from sent where corrects <> '')
      and not exists (select from rating.event where event.provider = sent.provider and event.id = sent.id)
order by position
"""

# The corrections that count of what this batch corrects, and from its own corrections up to what counts in their stead.
# One that came too late is refused: what corrects it corrects nothing that is taken.
CHAINS = f"""
with recursive {_USES_ALONE}, given as (
    select provider, id from incoming join uses using (use) where corrects is not null
    union select provider, corrects from incoming join uses using (use) where corrects is not null
), chain as (
    select correction.provider, correction.id, corrected
    from given join rating.correction on correction.provider = given.provider and corrected = given.id
    where not too_late
    union
    select above.provider, above.id, above.corrected
    from chain join rating.correction as above on above.provider = chain.provider and above.corrected = chain.id
    where not too_late
)
select provider, id, corrected from chain
"""

# When the usage began that this batch corrects, as far as it has come: in microseconds.
CORRECTED_TIMES = f"""
with {_USES_ALONE}, sent as materialized (
    select provider, id, incoming.time, corrects from incoming join uses using (use)
)
select provider, corrects, (extract(epoch from usage.time) * 1000000)::bigint as time
from sent join rating.event using (provider) join rating.usage using (batch_no, position)
where event.id = corrects
union all
select sent.provider, sent.corrects, corrected.time
from sent join sent as corrected on corrected.provider = sent.provider and corrected.id = sent.corrects
"""

# What is in the way is a correction that came too late and is replaced: it has nothing left to be taken back.
KEEP_CORRECTIONS = f"""
with {_USES_ALONE}
insert into rating.correction (provider, corrected, id, is_open)
select provider, corrects, id, true from incoming join uses using (use) where corrects is not null
on conflict (provider, corrected) do nothing
"""

# What this batch brings and was corrected before it came: when its usage began, and when its correction was received.
CORRECTED_BEFORE = """
select correction.provider, corrected, correction.id, usage.time, correcting.received_at
from rating.correction
     join rating.event on event.provider = correction.provider and event.id = corrected
     join rating.usage on usage.batch_no = event.batch_no and usage.position = event.position
     join rating.event as known on known.provider = correction.provider and known.id = correction.id
     join rating.usage as correcting on correcting.batch_no = known.batch_no and correcting.position = known.position
where is_open and event.batch_no = $1
"""

# The event replaces its correction, unless another correction of that has done so already.
TURN_ROUND = """
with gone as (
    delete from rating.correction using unnest($1::text[], $2::text[]) as late(provider, corrected)
    where (correction.provider, correction.corrected) = (late.provider, late.corrected)
    returning correction.provider, correction.corrected, correction.id
)
insert into rating.correction (provider, corrected, id, is_open, too_late)
select provider, id, corrected, true, true from gone
on conflict (provider, corrected) do nothing
"""

# How much no longer counts: of what this batch corrects and is in, of this batch where its correction came before, and
# of corrections that came too late for an event of this batch.
CANCEL = f"""
with {_USES}, closed as (
    update rating.correction set is_open = false
    from rating.event
    where is_open and event.provider = correction.provider and event.id = correction.corrected
          and (event.batch_no = $1 or too_late or (correction.provider, correction.corrected) in (
              select provider, corrects from incoming join uses using (use) where corrects is not null))
    returning event.batch_no, event.position
)
select billing.award, billing.subject, billing.item, billing.month, billing.tariff,
       sum(rating.billed(quantity, minimum, increment)) as quantity
from closed join rating.usage using (batch_no, position)
     join rating.billing on billing.use_no = usage.use_no and usage.time >= begins and usage.time < ends
group by 1, 2, 3, 4, 5
"""

# The events' keys, in key order, so that two workers that hold the same events wait for each other instead of
# deadlocking. The first statement fails where an event is known already, and costs half of the second.
KEEP_NEW_KEYS = f"""
with {_USES}
insert into rating.event (provider, id, digest, batch_no, position)
select provider, id, {_DIGEST}, $1, position from incoming join uses using (use) order by id, provider, position
"""
KEEP_KEYS = f"""
with {_USES}, fresh as (
    insert into rating.event (provider, id, digest, batch_no, position)
    select provider, id, {_DIGEST}, $1, position from incoming join uses using (use) order by id, provider, position
    on conflict (id, provider) do nothing
    returning position
)
select array(select position from incoming except select position from fresh)
"""

# Takes events out of the batch. $4 says why, $5 what was found; without a reason they were known already: same digest,
# a repeat; another, a conflict.
KEEP_SEEN_AGAIN = f"""
with {_USES}, again as (
    delete from incoming using unnest($3::int[], $4::text[], $5::text[]) as given(place, reason, found)
    where position = place returning *
), told as (
    select again.*, use_no,
           coalesce(reason, case when event.digest is distinct from {_DIGEST} then 'conflict' end) as why
    from again join uses using (use)
         left join rating.event on event.provider = uses.provider and event.id = again.id
)
insert into rating.seen_again (batch_no, position, use_no, id, time, quantity, resource, raw_partition, raw_offset,
                               received_at, corrects, reason, found)
select $1, position, use_no, id, timestamptz 'epoch' + time * interval '1 microsecond', quantity, resource,
       raw_partition, raw_offset, timestamptz 'epoch' + received_at * interval '1 millisecond', corrects,
       why, case when why is not null then coalesce(found, id) end
from told
"""

# What the new events said, and the sums by use.
_KEEP_USAGE = f"""
with {_USES}, kept as (
    insert into rating.usage (month, batch_no, position, use_no, id, time, quantity, resource, raw_partition,
                              raw_offset, received_at)
    select month, $1, position, use_no, id, timestamptz 'epoch' + time * interval '1 microsecond', quantity, resource,
           raw_partition, raw_offset, timestamptz 'epoch' + received_at * interval '1 millisecond'
    from incoming join uses using (use)
)
"""
KEEP_USAGE = f"""{_KEEP_USAGE}
select use, count(*) as events, sum(quantity) as quantity from incoming group by use
"""
# The same where months were re-rated: an event's time says under which tariff it falls, and what it is billed for.
KEEP_REBILLED_USAGE = f"""{_KEEP_USAGE}
select use, billing.tariff, count(*) as events,
       sum(rating.billed(quantity, billing.minimum, billing.increment)) as quantity
from incoming join uses using (use) join rating.billing
     on billing.use_no = uses.use_no and timestamptz 'epoch' + time * interval '1 microsecond' >= begins
        and timestamptz 'epoch' + time * interval '1 microsecond' < ends
group by use, billing.tariff
"""
# The same where a tariff rounds what an event is billed for.
KEEP_ROUNDED_USAGE = f"""{_KEEP_USAGE}
select use, count(*) as events, sum(rating.billed(quantity, minimum, increment)) as quantity
from incoming join uses using (use) group by use
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

CHARGE_COLUMNS = (
    "batch_no", "version", "award", "item", "month", "tariff", "subject", "scope", "before", "quantity", "amount",
    "is_fee", "currency", "rate", "currency_amount",
)  # fmt: skip

# Two workers that hold the same batch meet here: the second waits for the first, then finds the row.
ENTER_BATCH = """
insert into rating.batch (batch, version, accepted_at, events, partition, appended_at, rated_at)
values ($1, $2, $3, $4, $5, timestamptz 'epoch' + $6 * interval '1 millisecond', coalesce($7, now()))
on conflict (batch) do nothing
returning batch_no, (select coalesce(max(rerating), 0) from contract.rerating) as rerating,
          exists (select from rating.correction where is_open) as any_open
"""

# Nobody rates while a month is re-rated: the number in `ENTER_BATCH`, read after this, is true until the end.
HOLD_RERATING = "select pg_advisory_xact_lock_shared(hashtext('rerating'))"

# A correction is rated alone, so that either it or what it replaces comes first, and the second finds the other.
TAKE_RERATING = "select pg_advisory_xact_lock(hashtext('rerating'))"

COUNT_BATCH = "update rating.batch set rated = $2, repeats = $3, conflicts = $4 where batch_no = $1"

# A re-rating may have charged a key twice: what was taken back from one meter and put on another.
STORED_CHARGES = """
select award, item, month, tariff, subject, sum(quantity) as quantity, sum(amount) as amount
from rating.charge join rating.batch using (batch_no)
where batch = $1
group by award, item, month, tariff, subject
order by award, item, month, tariff, subject
"""

# `is_shown` tells that what was refused is among the rejections.
SEEN_AGAIN = f"""
select position, use.provider, id, raw_partition, raw_offset,
       (extract(epoch from received_at) * 1000)::bigint as received_at, reason, found,
       reason is not null and exists (
           select from ingest.rejection as shown
           where shown.topic = 'usage.raw.' || use.provider and shown.partition = raw_partition
                 and shown."offset" = raw_offset and shown.received_at = seen_again.received_at
                 and {_IN_RATING.replace("reason", "shown.reason")}) as is_shown
from rating.seen_again join rating.use using (use_no) join rating.batch using (batch_no)
where batch = $1 order by position
"""

ENTER_USES = """
insert into rating.use (provider, award, subject, item, region, month, tariff, minimum, increment)
select provider, award, subject, item, region, month, tariff, minimum::numeric, increment::numeric
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::date[], $8::text[], $9::text[])
     as wanted(provider, award, subject, item, region, month, tariff, minimum, increment)
on conflict do nothing
"""

FIND_USES = """
select use_no, provider, award, subject, item, region, month, tariff, wanted.minimum, wanted.increment
from rating.use join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::date[],
                            $8::text[], $9::text[])
     as wanted(provider, award, subject, item, region, month, tariff, minimum, increment)
     using (provider, award, subject, item, region, month, tariff)
where use.minimum = wanted.minimum::numeric and use.increment = wanted.increment::numeric
"""

PARK = """
insert into rating.parked (topic, partition, "offset", received_at, error, payload)
values ($1, $2, $3, timestamptz 'epoch' + $4 * interval '1 millisecond', $5, $6)
on conflict do nothing
"""
