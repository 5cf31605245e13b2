-- The contract as applied: one immutable row a version. The file is kept as it was given.
create schema contract;

create table contract.version (
    version     int primary key generated always as identity,
    code        text not null,
    sha256      bytea not null,
    file        text not null,
    applied_at  timestamptz not null default now(),
    applied_by  text not null default current_user
);

create function public.plafond_refuse() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_schema || '.' || tg_table_name, tg_op
        using errcode = 'restrict_violation';
end $$;

create trigger append_only before update or delete or truncate on contract.version
    for each statement execute function public.plafond_refuse();
