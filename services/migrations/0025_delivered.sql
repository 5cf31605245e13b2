-- When usage of each provider was last accepted, so that a provider that falls silent is noticed, restarts or not.
create table ingest.delivered (
    provider          text primary key,
    last_accepted_at  timestamptz not null
);
