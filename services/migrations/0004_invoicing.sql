-- Invoicing: the ledger, what is spent, alerts, months and invoices.
create schema invoicing;

create table invoicing.batch (
    batch        uuid primary key,
    version      int not null,
    accepted_at  timestamptz not null,
    posted_at    timestamptz not null default now()
);

-- What was charged to each subject so far: settling a month starts from here.
create table invoicing.charged (
    month     text not null,
    award     text not null,
    item      text not null,
    tariff    date not null,
    subject   text not null,
    quantity  numeric not null,
    amount    numeric not null,
    primary key (month, award, item, tariff, subject)
);

create table invoicing.month (
    month      text primary key check (month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
    version    int,
    closed_at  timestamptz,
    closed_by  text
);

-- A journal entry is what one batch or one close posted; its postings add up to zero.
create table invoicing.entry (
    entry      bigint primary key generated always as identity,
    kind       text not null check (kind in ('charge', 'true_up')),
    batch      uuid unique references invoicing.batch,
    closing    text references invoicing.month,
    posted_at  timestamptz not null default now(),
    check ((kind = 'charge') = (batch is not null) and (kind = 'true_up') = (closing is not null))
);

-- side 'institution': what it owes; side 'award': what is owed to the supplier, negative.
create table invoicing.posting (
    entry          bigint not null references invoicing.entry,
    side           text not null check (side in ('institution', 'award')),
    invoice_month  text not null references invoicing.month,
    month          text not null,
    award          text not null,
    institution    text not null,
    department     text not null,
    pool           text not null,
    item           text not null,
    tariff         date,
    quantity       numeric not null,
    amount         numeric not null,
    check ((side = 'institution') = (institution <> ''))
);
create index posting_invoice_month on invoicing.posting (invoice_month, institution);
create index posting_month on invoicing.posting (month);
create index posting_entry on invoicing.posting (entry);

create function invoicing.entry_is_balanced() returns trigger language plpgsql as $$
begin
    if exists (select from posted group by entry having sum(amount) <> 0) then
        raise exception 'postings of an entry do not add up to zero' using errcode = 'check_violation';
    end if;
    return null;
end $$;
create trigger balanced after insert on invoicing.posting
    referencing new table as posted for each statement execute function invoicing.entry_is_balanced();

create table invoicing.spent (
    level   text not null,
    code    text not null,
    amount  numeric not null,
    primary key (level, code)
);

create table invoicing.alert (
    alert         uuid primary key default gen_random_uuid(),
    level         text not null,
    code          text not null,
    threshold     int not null,
    ceiling       numeric not null,
    spent         numeric not null,
    currency      text not null,
    raised_at     timestamptz not null default clock_timestamp(),
    published_at  timestamptz,
    unique (level, code, threshold, ceiling)
);

create table invoicing.series (
    series  text primary key,
    last    int not null
);

create table invoicing.invoice (
    number       text primary key,
    institution  text not null,
    month        text not null references invoicing.month,
    version      int not null,
    currency     text not null,
    exact        numeric not null,
    total        numeric not null,
    issued_at    timestamptz not null default now(),
    unique (institution, month)
);

create table invoicing.invoice_line (
    number      text not null references invoicing.invoice,
    line        int not null,
    department  text not null,
    pool        text not null,
    award       text not null,
    item        text not null,
    month       text not null,
    tariff      date not null,
    quantity    numeric not null,
    exact       numeric not null,
    amount      numeric not null,
    primary key (number, line)
);

create table invoicing.parked (
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

create trigger append_only before update or delete or truncate on invoicing.entry
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on invoicing.posting
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on invoicing.invoice
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on invoicing.invoice_line
    for each statement execute function public.plafond_refuse();
