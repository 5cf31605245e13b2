"""The SQL of invoicing, whole: every statement works on a batch or a month."""

ENTER_BATCH = """
insert into invoicing.batch (batch, version, accepted_at) values ($1, $2, $3) on conflict do nothing
returning coalesce((select max(month) from invoicing.month where closed_at is not null), '') as closed_until
"""

ENTER_MONTHS = "insert into invoicing.month (month) select unnest($1::text[]) order by 1 on conflict do nothing"

# Whoever posts holds all months as they are until the posting is in; who closes waits for that, and posts alone: each
# posting is before or after a close as a whole.
HOLD_MONTHS = "select pg_advisory_xact_lock_shared(hashtext('months'))"
TAKE_MONTHS = "select pg_advisory_xact_lock(hashtext('months'))"
CLOSED_OF = "select month from invoicing.month where month = any($1::text[]) and closed_at is not null"

# What pools were charged in all comes back: their shares are reckoned from that.
ADD_CHARGED = """
with running as (
    insert into invoicing.charged as charged (month, award, item, tariff, subject, quantity, amount)
    select month, award, item, tariff, subject, quantity::numeric, amount::numeric
    from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::text[], $6::text[], $7::text[])
         as added(award, item, month, tariff, subject, quantity, amount)
    order by award, item, month, tariff, subject
    on conflict (month, award, item, tariff, subject)
        do update set quantity = charged.quantity + excluded.quantity, amount = charged.amount + excluded.amount
    returning award, item, month, tariff, subject, quantity, amount
)
select * from running where subject like 'pool/%'
"""

DIRECT_AMOUNTS = """
select subject, sum(amount) as amount from invoicing.charged
where month = $1 and subject not like 'pool/%' group by subject
"""

ENTER_ENTRY = "insert into invoicing.entry (kind, batch, closing) values ($1, $2, $3) returning entry"

POSTING_COLUMNS = (
    "entry", "side", "invoice_month", "month", "award", "institution", "department", "pool", "item", "tariff",
    "quantity", "amount",
)  # fmt: skip

ADD_SPENT = """
insert into invoicing.spent as spent (level, code, amount)
select level, code, amount::numeric from unnest($1::text[], $2::text[], $3::text[]) as added(level, code, amount)
order by level, code
on conflict (level, code) do update set amount = spent.amount + excluded.amount
returning level, code, amount
"""

SPENT = "select level, code, amount from invoicing.spent"
RAISED = "select level, code, threshold, ceiling from invoicing.alert"

RAISE_ALERTS = """
insert into invoicing.alert (level, code, threshold, ceiling, spent, currency)
select level, code, threshold, ceiling::numeric, spent::numeric, $6
from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[]) as raised(level, code, threshold, ceiling, spent)
on conflict (level, code, threshold, ceiling) do nothing
"""

PARK = """
insert into invoicing.parked (topic, partition, "offset", received_at, error, payload)
values ($1, $2, $3, timestamptz 'epoch' + $4 * interval '1 millisecond', $5, $6)
on conflict do nothing
"""

CLOSED_AT = "select closed_at from invoicing.month where month = $1"

EARLIER_OPEN = """
select month from invoicing.month
where month < $1 and closed_at is null and exists (select from invoicing.posting where invoice_month = month.month)
order by month
"""

USAGE_MONTHS = """
select distinct month from invoicing.posting where invoice_month = $1 and side = 'institution' order by month
"""

# What a re-rating took back altogether has no price any more.
CHARGED_QUANTITIES = """
select award, item, month, tariff, subject, quantity from invoicing.charged
where month = $1 and (quantity <> 0 or amount <> 0)
"""

# More was taken back than ever used: no usage can be like that, so something is missing or wrong.
BELOW_ZERO = """
select award, item, month, subject, quantity from invoicing.charged
where quantity < 0 and month <= $1 order by month, award, item, subject
"""

POSTED = """
select institution, department, pool, award, item, month, tariff, sum(quantity) as quantity, sum(amount) as amount
from invoicing.posting where side = 'institution' and month = $1
group by institution, department, pool, award, item, month, tariff
"""

CLOSED = "select month from invoicing.month where closed_at is not null"

# All that is on the invoices of closed months, without what they set off of credits, and what is posted on those that
# are open until the one in question.
INVOICED_SO_FAR = """
select institution, department, pool, award, item, month, tariff, sum(quantity) as quantity, sum(amount) as amount
from (
    select institution, department, pool, award, item, line.month, tariff, quantity, line.exact as amount
    from invoicing.invoice_line as line join invoicing.invoice using (number)
    where award = any($2::text[]) and invoice.month < $1
    union all
    select institution, department, pool, award, item, posting.month, tariff, quantity, amount
    from invoicing.posting join invoicing.month on month.month = invoice_month
    where side = 'institution' and invoice_month <= $1 and closed_at is null and award = any($2::text[])
    union all
    select institution, department, pool, award, item, posting.month, tariff, 0, -amount
    from invoicing.entry join invoicing.posting using (entry)
    where kind = 'set_off' and borne_by is not null and side = 'credited' and invoice_month < $1
          and award = any($2::text[])
) as every
group by institution, department, pool, award, item, month, tariff
"""

POSTED_ON_INVOICE = """
select institution, department, pool, award, item, month, tariff, sum(quantity) as quantity, sum(amount) as amount
from invoicing.posting where side = 'institution' and invoice_month = $1
group by institution, department, pool, award, item, month, tariff
"""

# What was invoiced of a month in other currencies, and the last rate of each.
INVOICED_IN_CURRENCY = """
select institution, department, pool, award, item, line.month, tariff, price_currency,
       sum(price_amount) as price_amount, (array_agg(rate order by issued_at desc))[1] as rate,
       (array_agg(rate_month order by issued_at desc))[1] as rate_month
from invoicing.invoice_line as line join invoicing.invoice using (number)
where line.month = $1 and price_currency is not null
group by institution, department, pool, award, item, line.month, tariff, price_currency
"""

ENTER_INVOICES = """
insert into invoicing.invoice (number, institution, month, version, currency, exact, total, issued_at)
select number, institution, $1, $2, $3, exact::numeric, total::numeric, coalesce($8, now())
from unnest($4::text[], $5::text[], $6::text[], $7::text[]) as made(number, institution, exact, total)
"""

ENTER_LINES = """
insert into invoicing.invoice_line
    (number, line, department, pool, award, item, month, tariff, quantity, exact, amount, price_currency, rate,
     price_amount, rate_month)
select number, line, department, pool, award, item, month, tariff, quantity::numeric, exact::numeric, amount::numeric,
       price_currency, rate::numeric, price_amount::numeric, rate_month
from unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::date[], $9::text[],
            $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
     as made(number, line, department, pool, award, item, month, tariff, quantity, exact, amount, price_currency, rate,
             price_amount, rate_month)
"""

CLOSE_MONTH = """
update invoicing.month set version = $2, closed_at = coalesce($3, now()), closed_by = coalesce($4, current_user)
where month = $1
"""
