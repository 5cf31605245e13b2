-- A month that was closed although its checklist was not clean: why, by whom, and what stood on the list, each item with its
-- check, what it is about, what was found and what was wanted.
create table invoicing.override (
    month          text primary key references invoicing.month,
    reason         text not null check (reason <> ''),
    items          jsonb not null,
    overridden_at  timestamptz not null default now(),
    overridden_by  text not null default current_user
);
create trigger append_only before update or delete or truncate on invoicing.override
    for each statement execute function public.plafond_refuse();

-- Numbers whose documents can't be made, and what they lack; resolved once they are exported. What is lacking by then may be
-- something else: that is an entry of its own.
create table invoicing.parked_document (
    parked       bigint primary key generated always as identity,
    month        text not null references invoicing.month,
    number       text not null,
    institution  text not null,
    problems     text[] not null check (cardinality(problems) > 0),
    parked_at    timestamptz not null default now(),
    resolved_at  timestamptz
);
create unique index parked_document_open on invoicing.parked_document (number) where resolved_at is null;
create trigger kept before delete or truncate on invoicing.parked_document
    for each statement execute function public.plafond_refuse();
