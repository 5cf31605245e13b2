-- Documents on their way to institutions. What is delivered is what `invoicing.issued` has; nothing of it is copied here.
create schema delivery;

-- Since when documents go by a channel ('email', 'store'): what was issued before is not sent by itself.
create table delivery.channel (
    channel  text primary key check (channel in ('email', 'store')),
    since    timestamptz not null default now()
);

-- Which documents have been given to a channel, whether or not anybody was to have them by it.
create table delivery.given (
    number    text not null,
    channel   text not null references delivery.channel,
    given_at  timestamptz not null default now(),
    primary key (number, channel)
);
create trigger append_only before update or delete or truncate on delivery.given
    for each statement execute function public.plafond_refuse();

-- The outbox: a document for one address, or for a store. It waits until it is sent, or ends otherwise: 'refused' by the
-- receiver for good, 'doubtful' where nobody can say whether it arrived (never sent again by itself), 'dismissed' by a
-- person. Sending again is a `round` of its own, with who asked for it and why; its number is the second in which that was,
-- so that a database that was set back gives none a second time.
create table delivery.outbox (
    delivery      bigint primary key generated always as identity,
    number        text not null,
    institution   text not null,
    channel       text not null check (channel in ('email', 'store')),
    address       text not null,
    round         bigint not null default 1 check (round > 0),
    state         text not null default 'queued' check (state in ('queued', 'sent', 'refused', 'doubtful', 'dismissed')),
    tries         int not null default 0,
    answer        text not null default '',
    queued_at     timestamptz not null default now(),
    due_at        timestamptz not null default now(),
    ended_at      timestamptz,
    asked_by      text not null default current_user,
    reason        text,
    unique (number, channel, address, round),
    check ((state = 'queued') = (ended_at is null)),
    check ((round = 1) = (reason is null))
);
create index outbox_queued on delivery.outbox (due_at) where state = 'queued';
create unique index outbox_open on delivery.outbox (number, channel, address) where state = 'queued';
create trigger kept before delete or truncate on delivery.outbox
    for each statement execute function public.plafond_refuse();

-- Every try, as it ended: what was sent (the SHA-256 of each file, by its name), when, and what the receiver said.
create table delivery.attempt (
    attempt     uuid primary key,
    delivery    bigint not null references delivery.outbox,
    outcome     text not null check (outcome in ('sent', 'later', 'refused', 'doubtful', 'dismissed')),
    answer      text not null,
    files       jsonb not null default '{}',
    ended_at    timestamptz not null default now(),
    by          text not null default current_user
);
create index attempt_delivery on delivery.attempt (delivery);
create trigger append_only before update or delete or truncate on delivery.attempt
    for each statement execute function public.plafond_refuse();

-- Keys of institutions, as `ingest.api_key` has those of providers; what was fetched with them, and when.
create table delivery.api_key (
    key_id       uuid primary key default gen_random_uuid(),
    institution  text not null,
    sha256       bytea not null unique check (length(sha256) = 32),
    created_at   timestamptz not null default now(),
    revoked_at   timestamptz
);
create table delivery.download (
    download     bigint primary key generated always as identity,
    institution  text not null,
    number       text not null,
    form         text not null,
    sha256       bytea not null check (length(sha256) = 32),
    at           timestamptz not null default now()
);
create index download_number on delivery.download (number);
create trigger append_only before update or delete or truncate on delivery.download
    for each statement execute function public.plafond_refuse();
