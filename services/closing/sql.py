"""The SQL of a month's life, whole."""

MONTHS = """
select month.month, closed_at, closed_by, override.reason, overridden_by,
       coalesce((select sum(total) from invoicing.invoice where invoice.month = month.month), 0) as invoiced
from invoicing.month left join invoicing.override using (month) order by month
"""

KEEP_OVERRIDE = "insert into invoicing.override (month, reason, items) values ($1, $2, $3)"
OVERRIDDEN = "select items from invoicing.override where month = $1"

# A key tells that a provider was let in, before the month was over.
WITH_A_KEY = "select distinct provider from ingest.api_key where revoked_at is null and created_at < $1"
# Whoever delivered usage of these months.
DELIVERED = "select distinct provider from rating.use where month = any($1::text[])"
LAST_USAGE = """
select provider, max(time) as last from rating.usage join rating.use using (use_no)
where usage.month = $1 group by provider
"""

# Of one place a rejection may be recorded twice. What was taken since under the same id, or sent through again, is no
# longer there to be resolved. It belongs to the month that it was used in, here from $3 up to $4; what came since the
# last close and belongs to an earlier one, does not say when, or is of no month of the contract (from $5 on), is asked
# now.
UNRESOLVED = """
select provider, reason, count(distinct (topic, partition, "offset")) as events, min(received_at) as first
from ingest.rejection
where (used_at is null or used_at < $4 or used_at >= $5)
      and (received_at > coalesce($1, timestamptz '-infinity') or (used_at >= $3 and used_at < $4))
      and not exists (select from ingest.replay where replay.rejection = rejection.rejection)
      and (reason = any($2::text[]) or not exists (
          select from rating.event where event.id = event_id and event.provider = rejection.provider))
group by provider, reason order by provider, reason
"""
LAST_CLOSE = "select max(closed_at) from invoicing.month"

INVOICED = """
select institution, award, sum(line.amount) as amount
from invoicing.invoice join invoicing.invoice_line as line using (number) where invoice.month = $1
group by institution, award
"""

# A batch that is rated and not yet posted is on its way.
UNDER_WAY = """
select exists (select from rating.batch where rated > 0 and not exists (
    select from invoicing.batch as posted where posted.batch = batch.batch))
"""
