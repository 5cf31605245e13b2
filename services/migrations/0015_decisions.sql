-- Decisions: what people decided and the ledger follows, numbered without gaps in the order in which it was committed. Each row
-- commits with what it tells of, and is published to the topic `decisions`, from which a restored database gets them again.
create schema decisions;

create table decisions.decision (
    number        bigint primary key,
    version       int unique,
    rerating      int unique,
    month         text unique,
    batch         uuid unique,
    after         bigint,
    partitions    int[],
    rated_until   timestamptz[],
    waiting       uuid[] not null default '{}',
    decided_at    timestamptz not null default now(),
    decided_by    text not null default current_user,
    published_at  timestamptz,
    check (num_nonnulls(version, rerating, month, batch) = 1),
    check ((batch is null) = (after is null))
);
comment on column decisions.decision.version is 'a contract version that was applied';
comment on column decisions.decision.rerating is 'a re-rating that was posted';
comment on column decisions.decision.month is 'a month that was closed';
comment on column decisions.decision.batch is 'charges posted late: for months up to one that was closed by then';
comment on column decisions.decision.after is 'of late charges: the number of the last close before them';
comment on column decisions.decision.rated_until is 'of a re-rating or a close: up to where each of `partitions` had been rated';
comment on column decisions.decision.waiting is 'of a close: batches that were rated and not yet posted';
create index decision_unpublished on decisions.decision (number) where published_at is null;
create trigger kept before delete or truncate on decisions.decision
    for each statement execute function public.plafond_refuse();

-- From where on each partition of usage.accepted is read again, until a recovery has come to its end.
create table decisions.recovery (
    partition  int primary key,
    since      timestamptz
);

-- A provider's conflict is found by its place: of two events under one id, the same one counts after a recovery.
create index rejection_conflict on ingest.rejection (topic, partition, "offset")
    where reason in ('conflict', 'corrected_already');

-- What was decided before there were decisions.
with closed as (
    select month, closed_at, closed_by, row_number() over (order by closed_at, month) as turn
    from invoicing.month where closed_at is not null
), late as (
    select entry.batch, entry.posted_at, max(turn) as turn
    from invoicing.posting join invoicing.entry using (entry)
         join closed on posting.month <= closed.month and (
             entry.posted_at > closed.closed_at or (posting.month = closed.month and invoice_month > posting.month))
    where entry.batch is not null group by entry.batch, entry.posted_at
), every as (
    select version, null::int as rerating, null as month, null::uuid as batch, null::bigint as turn,
           applied_at as at, applied_by as by, 1 as kind from contract.version
    union all
    select null, rerating, null, null, null, applied_at, applied_by, 2 from contract.rerating
    union all
    select null, null, month, null, turn, closed_at, closed_by, 3 from closed
    union all
    select null, null, null, batch, turn, posted_at, current_user, 4 from late
), numbered as (
    select *, row_number() over (order by at, kind, version, rerating, turn, batch) as number from every
)
insert into decisions.decision (number, version, rerating, month, batch, after, decided_at, decided_by)
select number, version, rerating, month, batch,
       case kind when 4 then (select number from numbered as close where kind = 3 and close.turn = numbered.turn) end,
       at, by
from numbered;
