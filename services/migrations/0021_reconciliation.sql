-- What was compared with what others say: suppliers' invoices, and providers' own monthly totals.
create schema reconciliation;

-- An invoice or credit note as it was reconciled; of those of one number, the last one counts.
create table reconciliation.document (
    document       bigint primary key generated always as identity,
    supplier       text not null,
    number         text not null,
    month          text not null check (month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
    currency       text not null,
    issued         date,
    net            numeric not null,
    sha256         bytea not null check (octet_length(sha256) = 32),
    agrees         boolean not null,
    reconciled_at  timestamptz not null default now(),
    reconciled_by  text not null default current_user
);
create index document_number on reconciliation.document (supplier, number, document desc);

-- Its lines as they were identified: item '' is one that the contract does not know, quantity is in the item's own unit.
create table reconciliation.line (
    document     bigint not null references reconciliation.document,
    line         int not null,
    place        text not null,
    award        text not null,
    item         text not null,
    name         text not null,
    month        text not null,
    institution  text,
    department   text,
    quantity     numeric,
    net          numeric not null,
    is_whole     boolean not null,
    primary key (document, line)
);

-- A provider's own totals of a month, as it sent them; the last ones count.
create table reconciliation.usage (
    usage              bigint primary key generated always as identity,
    provider           text not null,
    month              text not null check (month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
    sha256             bytea not null check (octet_length(sha256) = 32),
    tolerance          numeric not null,
    tolerance_percent  numeric not null,
    agrees             boolean not null,
    compared_at        timestamptz not null default now(),
    compared_by        text not null default current_user
);
create index usage_last on reconciliation.usage (month, provider, usage desc);

-- Its rows: quantity is in the item's own unit, ours what was taken by then; subject '' stands for all.
create table reconciliation.usage_total (
    usage     bigint not null references reconciliation.usage,
    lot       text not null,
    item      text not null,
    subject   text not null,
    quantity  numeric not null,
    ours      numeric not null,
    primary key (usage, lot, item, subject)
);

create trigger append_only before update or delete or truncate on reconciliation.document
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on reconciliation.line
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on reconciliation.usage
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on reconciliation.usage_total
    for each statement execute function public.plafond_refuse();
