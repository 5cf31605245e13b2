-- A foreign key asks its question once a row: for a batch's charges and postings, which all name the same batch, entry and
-- month, that was half of what writing them took. The same is asked here once a statement; and what they name can't go.
alter table rating.charge drop constraint charge_batch_no_fkey;
create function rating.charges_have_a_batch() returns trigger language plpgsql as $$
begin
    if exists (select from (select distinct batch_no from charged) as named
               where not exists (select from rating.batch where batch.batch_no = named.batch_no)) then
        raise exception 'charges of a batch that there is not' using errcode = 'foreign_key_violation';
    end if;
    -- A batch's charges are copied in by one statement. A re-rating may take a key from one meter to another, or from one
    -- currency to another.
    if exists (select from charged group by batch_no, award, item, month, tariff, subject, scope, currency
               having count(*) > 1) then
        raise exception 'a key is charged twice in a batch' using errcode = 'unique_violation';
    end if;
    return null;
end $$;
create trigger has_batch after insert on rating.charge
    referencing new table as charged for each statement execute function rating.charges_have_a_batch();
create trigger kept before delete or truncate on rating.batch
    for each statement execute function public.plafond_refuse();

alter table invoicing.posting drop constraint posting_entry_fkey, drop constraint posting_invoice_month_fkey;
create or replace function invoicing.entry_is_balanced() returns trigger language plpgsql as $$
begin
    if exists (select from posted group by entry having sum(amount) <> 0) then
        raise exception 'postings of an entry do not add up to zero' using errcode = 'check_violation';
    end if;
    if exists (select from (select distinct entry, invoice_month from posted) as named
               where not exists (select from invoicing.entry where entry.entry = named.entry)
                     or not exists (select from invoicing.month where month.month = named.invoice_month)) then
        raise exception 'postings of an entry or a month that there is not' using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;
create trigger kept before delete or truncate on invoicing.month
    for each statement execute function public.plafond_refuse();
create trigger named before update of month on invoicing.month
    for each statement execute function public.plafond_refuse();

-- Charges and postings come in the order of their batches and entries, and a month's stand together: a few pages of block
-- ranges find them, and cost next to nothing for each row. That a key is charged once in a batch is asked above.
alter table rating.charge drop constraint charge_pkey;
create index charge_batch on rating.charge using brin (batch_no) with (pages_per_range = 16, autosummarize = on);
drop index invoicing.posting_invoice_month, invoicing.posting_month, invoicing.posting_entry;
create index posting_place on invoicing.posting using brin (entry, invoice_month, month) with (pages_per_range = 16, autosummarize = on);
