-- The SHA-256 of every document as it was first exported: each later export must come to the same bytes. `name` is the
-- number of an invoice, or the award of a supplier's statement; `version`, the contract that said who is who.
create table invoicing.document (
    month    text not null references invoicing.month,
    name     text not null,
    form     text not null check (form in ('xml', 'pdf', 'csv', 'xlsx', 'json')),
    sha256   bytea not null check (octet_length(sha256) = 32),
    version  int not null references contract.version,
    made_at  timestamptz not null default now(),
    primary key (month, name, form)
);
create trigger append_only before update or delete or truncate on invoicing.document
    for each statement execute function public.plafond_refuse();
