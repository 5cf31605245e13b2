-- Months whose prices were wrong: from a re-rating on, an award's month is priced as its file says, and so on again.
create table contract.rerating (
    rerating    int primary key generated always as identity,
    sha256      bytea not null,
    file        text not null,
    batch       uuid not null unique,
    applied_at  timestamptz not null default now(),
    applied_by  text not null default current_user
);
create table contract.rerated (
    rerating  int not null references contract.rerating,
    award     text not null,
    month     text not null,
    primary key (award, month, rerating)
);
create trigger append_only before update or delete or truncate on contract.rerating
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on contract.rerated
    for each statement execute function public.plafond_refuse();
