-- Credit notes: each takes lines of an issued document back, whole, and never changes it. `corrects` is the number of an
-- invoice or of one that was issued anew. `borne_by` says who bears it: the coordinator, the lines' suppliers, or nobody,
-- since the same is issued anew under another number. `version` is the newest contract version then.
create table invoicing.credit_note (
    number       text primary key,
    corrects     text not null,
    institution  text not null,
    month        text not null references invoicing.month,
    reason       text not null check (reason <> ''),
    borne_by     text not null check (borne_by in ('coordinator', 'supplier', 'nobody')),
    version      int not null references contract.version,
    exact        numeric not null,
    total        numeric not null,
    issued_at    timestamptz not null default now(),
    issued_by    text not null default current_user
);
create index credit_note_month on invoicing.credit_note (month);

-- A line says what an invoice's line says, with its signs turned, so nothing is copied. A line of a document is credited once.
create table invoicing.credit_note_line (
    number          text not null references invoicing.credit_note,
    line            int not null,
    corrects        text not null,
    corrected_line  int not null,
    invoice         text not null,
    invoice_line    int not null,
    primary key (number, line),
    unique (corrects, corrected_line),
    foreign key (invoice, invoice_line) references invoicing.invoice_line (number, line)
);

-- What a credit note took back, issued anew with the same lines and numbers of lines; `version` says who is who.
create table invoicing.reissue (
    number       text primary key,
    credit_note  text not null unique references invoicing.credit_note,
    reason       text not null check (reason <> ''),
    version      int not null references contract.version,
    issued_at    timestamptz not null default now(),
    issued_by    text not null default current_user
);

create trigger append_only before update or delete or truncate on invoicing.credit_note
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on invoicing.credit_note_line
    for each statement execute function public.plafond_refuse();
create trigger append_only before update or delete or truncate on invoicing.reissue
    for each statement execute function public.plafond_refuse();

-- Every numbered document and its lines, each of which is a line of an invoice; `sign` is -1 where it takes that back.
-- `anew` is the credit note whose lines are issued anew.
create view invoicing.issued as
select number, institution, month, issued_at, total, null as corrects, null as anew from invoicing.invoice
union all
select number, institution, month, issued_at, total, corrects, null from invoicing.credit_note
union all
select reissue.number, institution, month, reissue.issued_at, -total, null, credit_note
from invoicing.reissue join invoicing.credit_note on credit_note.number = credit_note;

create view invoicing.issued_line as
select number, line, number as invoice, line as invoice_line, 1 as sign from invoicing.invoice_line
union all
select number, line, invoice, invoice_line, -1 from invoicing.credit_note_line
union all
select reissue.number, line, invoice, invoice_line, 1
from invoicing.reissue join invoicing.credit_note_line on credit_note_line.number = credit_note;

-- A journal entry is also what a credit note or its reissue posted, and what of a credit a close set off against adjustments.
alter table invoicing.entry
    add column document text,
    add column borne_by text,
    drop constraint entry_kind_check,
    drop constraint entry_check,
    add check (kind in ('charge', 'true_up', 'credit_note', 'reissue', 'set_off')),
    add check ((kind = 'charge') = (batch is not null)
               and (kind in ('true_up', 'set_off')) = (closing is not null)
               and (kind in ('credit_note', 'reissue')) = (document is not null)
               and (kind in ('credit_note', 'reissue', 'set_off')) = (borne_by is not null));
create index entry_borne on invoicing.entry (borne_by) where borne_by is not null;

-- side 'credited': what an institution does not owe any more, negative; 'coordinator': what that costs the coordinator;
-- 'reissue': what is to be issued anew, always nothing in the end. What a supplier bears is on its own account, 'award'.
-- What is charged and settled stands on 'institution' alone, as it was: a credit is no usage.
alter table invoicing.posting
    drop constraint posting_side_check,
    drop constraint posting_check,
    add check (side in ('institution', 'award', 'credited', 'coordinator', 'reissue')),
    add check ((side in ('institution', 'credited')) = (institution <> ''));

-- Disputes, step by step: each is opened, and ends at most once.
create table invoicing.dispute_step (
    step         bigint primary key,
    dispute      bigint not null,
    state        text not null check (state in ('open', 'accepted', 'rejected', 'withdrawn')),
    number       text,
    line         int,
    note         text not null check (note <> ''),
    credit_note  text,
    at           timestamptz not null default now(),
    by           text not null default current_user,
    check ((state = 'open') = (number is not null)),
    check (line is null or state = 'open'),
    check (credit_note is null or state = 'accepted')
);
create unique index dispute_once on invoicing.dispute_step (dispute, (state = 'open'));
create index dispute_number on invoicing.dispute_step (number) where number is not null;
create trigger append_only before update or delete or truncate on invoicing.dispute_step
    for each statement execute function public.plafond_refuse();

alter table decisions.decision
    add column document text unique,
    add column dispute_step bigint unique,
    drop constraint decision_check,
    add check (num_nonnulls(version, rerating, month, batch, document, dispute_step) = 1);
comment on column decisions.decision.document is 'a credit note that was issued, with what was issued anew with it; or that alone';
comment on column decisions.decision.dispute_step is 'a dispute that was opened, or has ended';
comment on column decisions.decision.rated_until is 'of all that moves the ledger: up to where each of `partitions` had been rated';
comment on column decisions.decision.waiting is 'of a close, a credit note or a reissue: batches that were rated and not yet posted';
