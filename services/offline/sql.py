"""The statements of `plafond bill`, in the order in which they run.

`usage` has every row as it was sent, its place in all files being its rowid. A row is `plain` when SQL reads it
exactly as the core would: its id and resource are printable ASCII, its time and quantity have the common form.
Every other row goes to the core one by one.
"""

USAGE = """
create table usage (
    file integer, line bigint,
    id varchar, source varchar, "time" varchar, subject varchar, lot varchar, item varchar, quantity varchar,
    region varchar, resource varchar, corrects varchar, reason varchar, found varchar,
    provider varchar, instant bigint, amount decimal(38, 15), plain boolean
)
"""

# Where a file's rows begin, and on which line: the rows of a table stand in order, so their lines need not be stored.
FILE = "create table file (file integer primary key, first_row bigint, first_line bigint)"
BEGIN_FILE = "insert into file select $1, coalesce(max(rowid) + 1, 0), $2 from usage"

# A source that names a provider is not stored beside it. `instant` is the time in microseconds since 1970 UTC, `amount`
# the quantity; null where its form is uncommon. Bytes written as text are the text itself where it is printable ASCII
# without quotes and backslashes (those go to the core): a third of the time of a regular expression.
ENTER = r"""
insert into usage
with sent as (
    select *,
        case when starts_with(source, '/providers/') then substr(source, 12) end as provider,
        case when regexp_full_match("time", '[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)')
             then epoch_us(try_cast("time" as timestamptz)) end as instant,
        case when regexp_full_match(quantity, '-?[0-9]{1,12}(\.[0-9]{1,15})?') and (quantity[1] <> '-' or not regexp_full_match(quantity, '-[0.]+'))
             then cast(quantity as decimal(38, 15)) end as amount
    from incoming
)
select $1, line, id, case when provider is null then source end, "time", subject, lot, item, quantity, region, resource,
       corrects, reason, found,
       coalesce(provider, ''), instant, amount,
       reason is null and corrects = '' and provider is not null and instant is not null and amount is not null
           and strlen(id) between 1 and 128 and strlen(resource) <= 256
           and encode(id)::varchar = id and encode(resource)::varchar = resource
from sent
"""  # noqa: E501

COUNT_LINES = """
update usage set line = usage.rowid - first_row + first_line from file where file.file = usage.file and file.file = $1
"""

# Rows are counted as they are read; those that could not be read stand between them and have a line, too.
COUNT_BAD_ROWS = """
update usage set line = line + passed.bad
from (
    select usage.rowid as position, bad
    from usage asof join (
        select reach, max(bad) as bad
        from (select line - rank + 1 as reach, rank as bad
              from (select line, row_number() over (order by line) as rank from (select distinct line from bad_row)))
        group by reach
    ) as passed on usage.line >= reach
    where file = $1
) as passed
where usage.rowid = passed.position
"""

CHUNK = """
create or replace table chunk (
    line bigint, id varchar, source varchar, "time" varchar, subject varchar, lot varchar, item varchar,
    quantity varchar, region varchar, resource varchar, corrects varchar, reason varchar, found varchar
)
"""

# A period is a stretch of time within which month and tariffs are the same: from `starts` until before `ends`.
# Two comparisons join faster than `asof`, which sorts; with the few periods that there is usage in, twice as fast.
PERIOD = """
create or replace table period as
from (
    select starts, lead(starts, 1, 9223372036854775807) over (order by starts) as ends, period
    from (select unnest($1::bigint[]) as starts, unnest($2::bigint[]) as period)
)
where starts <= (select max(instant) from usage) and ends > (select min(instant) from usage)
"""

COMBINATIONS = """
create or replace table combination as
select row_number() over () as use, *
from (select provider, lot, item, subject, region, period, min(instant) as instant
      from usage join period on instant >= starts and instant < ends
      where plain and instant between $1 and $2
      group by all)
"""

# A use is a row of `combination` that the core took, or one that the core made of rows it decided one by one.
USE = """
create or replace table use (
    use bigint, award varchar, item varchar, month varchar, tariff varchar, subject varchar,
    minimum decimal(38, 15), increment decimal(38, 15)
)
"""

ACCEPTED = """
create or replace table accepted as
select usage.rowid as position, use, usage.instant, amount
from usage join period on usage.instant >= starts and usage.instant < ends
     join combination using (provider, lot, item, subject, region, period)
     join use using (use)
where plain and usage.instant between $1 and $2
"""
ANY_ODD = """
select (select count(*) from accepted) < (select count(*) from usage where reason is null)
"""
ODD = """
create or replace table odd as
select row_number() over (order by rowid) as number, rowid as position,
       provider, id, coalesce(source, '/providers/' || provider) as source, "time", subject, lot, item, quantity,
       region, resource, corrects
from usage where reason is null and not exists (from accepted where position = usage.rowid)
"""
ODD_BATCH = "select * exclude (number) from odd where number > $1 and number <= $1 + 10000 order by number"
REFUSED = """
create or replace table refused as select rowid as position, reason, found from usage where reason is not null
"""

# Corrections, in their order, with all rows that share an id with one.
CORRECTING = """
create or replace table correcting as
with wanted as (
    select distinct provider, id from accepted join usage on usage.rowid = position where corrects <> ''
)
select row_number() over (order by position) as number, position, usage.provider, usage.id, corrects
from accepted join usage on usage.rowid = position semi join wanted using (provider, id)
"""
CORRECTING_BATCH = """
select * exclude (number) from correcting where number > $1 and number <= $1 + 10000 order by number
"""
LEAVE_REFUSED_OUT = "delete from accepted where position in (select position from refused)"

# Of accepted rows with the same provider and id the first counts; the others are repeats of it, or conflict with it.
# A hash finds the few rows that may share a key; the window then goes by the key itself.
AGAIN = """
create or replace table again as
with shared as (
    select hash(provider, id) as key from usage group by all having count(*) > 1
), candidate as (
    select position, usage.provider, usage.id,
           row(accepted.instant, subject, lot, item, accepted.amount, region, resource, corrects) as said
    from usage join shared on hash(usage.provider, usage.id) = key join accepted on position = usage.rowid
)
select position, id, said is distinct from first_value(said) over same as conflict
from candidate
window same as (partition by provider, id order by position)
qualify row_number() over same > 1
"""
ENTER_CONFLICTS = "insert into refused select position, $1, id from again where conflict"

# The corrections that count, each the only one of what it corrects; that counts nothing.
CORRECTION = """
create or replace table correction as
select provider, corrects
from correcting semi join accepted using (position) anti join again using (position) where corrects <> ''
"""
CANCELLED = """
create or replace table cancelled as
select accepted.position
from accepted join usage on usage.rowid = accepted.position
     join correction on correction.provider = usage.provider and correction.corrects = usage.id
"""

# Plain amounts are below 10^12, any other below 10^15: of those, 10^8 fit into a sum, and more would raise.
STARTED = """
create or replace macro started(size, increment) as
    case when increment = 0 then size else size + (increment - size % increment) % increment end
"""
# What is billed with a minimum or in increments is as `Price.billed` has it.
QUANTITIES = """
select award, item, month, tariff, subject, sum(case
    when minimum = 0 and increment = 0 or amount = 0 then amount
    when amount > 0 then greatest(minimum, started(amount, increment))
    else -greatest(minimum, started(-amount, increment))
end) as quantity
from accepted join use using (use)
where not exists (from again where again.position = accepted.position)
      and not exists (from cancelled where cancelled.position = accepted.position)
group by award, item, month, tariff, subject
"""
COUNTS = """
select (select count(*) from usage), (select count(*) from accepted), (select count(*) from again),
       (select count(*) from again where conflict)
"""
REASONS = "select reason, count(*) from refused group by reason order by reason"
REJECTIONS = """
select usage.file, coalesce(line, position - first_row + first_line) as line, provider, refused.reason, refused.found,
       id, coalesce(source, '/providers/' || usage.provider), "time", subject, lot, item, quantity, region, resource,
       corrects
from refused join usage on usage.rowid = position left join file using (file)
order by 1, 2
"""
