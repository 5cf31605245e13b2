-- Ingest: who may speak for a provider, and what was not taken.
create schema ingest;

create table ingest.api_key (
    key_id      uuid primary key default gen_random_uuid(),
    provider    text not null,
    sha256      bytea not null unique check (length(sha256) = 32),
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz
);

create table ingest.rejection (
    rejection        uuid primary key,
    provider         text not null,
    event_id         text,
    reason           text not null,
    explanation      text not null,
    topic            text not null,
    partition        int not null,
    "offset"         bigint not null,
    received_at      timestamptz not null,
    rejected_at      timestamptz not null,
    version          int not null,
    key              bytea,
    payload          bytea
);
create index rejection_place on ingest.rejection (topic, partition, "offset");
create index rejection_event on ingest.rejection (provider, event_id);

create trigger append_only before update or delete or truncate on ingest.rejection
    for each statement execute function public.plafond_refuse();

-- Which rejections were sent through again, and when; a row is written once the broker has the message.
create table ingest.replay (
    rejection    uuid not null references ingest.rejection,
    replayed_at  timestamptz not null default now(),
    primary key (rejection, replayed_at)
);
