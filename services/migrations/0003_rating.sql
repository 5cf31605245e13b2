-- Rating: each event once, each meter exact, each charge explained.
create schema rating;

create table rating.batch (
    batch_no     bigint primary key generated always as identity,
    batch        uuid not null unique,
    version      int not null,
    accepted_at  timestamptz not null,
    rated_at     timestamptz not null default now(),
    events       int not null,
    rated        int not null default 0,
    repeats      int not null default 0,
    conflicts    int not null default 0
);

-- The distinct decisions that events point to.
create table rating.use (
    use_no    int primary key generated always as identity,
    provider  text not null,
    award     text not null,
    subject   text not null,
    item      text not null,
    region    text not null,
    month     text not null,
    tariff    date not null,
    unique (provider, award, subject, item, region, month, tariff)
);

-- The same event is known for ever by this key, whatever its month.
create table rating.event (
    provider  text not null,
    id        text not null,
    digest    bigint not null,
    batch_no  bigint not null,
    position  int not null,
    primary key (provider, id)
);

-- What each rated event said, by month of use.
create table rating.usage (
    month          text not null,
    batch_no       bigint not null,
    position       int not null,
    use_no         int not null,
    id             text not null,
    time           timestamptz not null,
    quantity       numeric not null,
    resource       text not null,
    raw_partition  int not null,
    raw_offset     bigint not null,
    received_at    timestamptz not null
) partition by list (month);
create table rating.usage_other partition of rating.usage default;
-- Rows arrive in the order of batch_no, so a block range index of a few pages finds them.
create index usage_batch on rating.usage using brin (batch_no) with (pages_per_range = 16);

-- Events that came again: repeats, which cost nothing, and conflicts, which are shown.
create table rating.seen_again (
    batch_no       bigint not null references rating.batch,
    position       int not null,
    use_no         int not null references rating.use,
    id             text not null,
    time           timestamptz not null,
    quantity       numeric not null,
    resource       text not null,
    raw_partition  int not null,
    raw_offset     bigint not null,
    received_at    timestamptz not null,
    conflict       boolean not null,
    primary key (batch_no, position)
);
create index seen_again_id on rating.seen_again (id);

create table rating.meter (
    award     text not null,
    item      text not null,
    month     text not null,
    tariff    date not null,
    scope     text not null,
    quantity  numeric not null,
    amount    numeric not null,
    primary key (award, item, month, tariff, scope)
);

create table rating.charge (
    batch_no  bigint not null references rating.batch,
    award     text not null,
    item      text not null,
    month     text not null,
    tariff    date not null,
    subject   text not null,
    scope     text not null,
    before    numeric not null,
    quantity  numeric not null,
    amount    numeric not null,
    version   int not null,
    primary key (batch_no, award, item, month, tariff, subject)
);

-- Internal messages that could not be read, whole and with their place.
create table rating.parked (
    topic        text not null,
    partition    int not null,
    "offset"     bigint not null,
    received_at  timestamptz not null,
    error        text not null,
    payload      bytea,
    parked_at    timestamptz not null default now(),
    resolved_at  timestamptz,
    primary key (topic, partition, "offset", received_at)
);

create trigger append_only before update or delete or truncate on rating.charge
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on rating.event
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on rating.usage
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on rating.seen_again
    for each statement execute function public.plafond_refuse();
