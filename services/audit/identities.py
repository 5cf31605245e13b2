"""The identities that the database can check by itself: each statement returns one text for every breach.

Law: a clean book answers every statement with no rows. $1 is the instant the audit began, where a statement has one:
what is younger may still be on its way.
"""

from services.audit.identities_of_credits import CREDITS
from services.audit.identities_of_deliveries import DELIVERIES

IDENTITIES: dict[str, str] = {
    "accepted = rated + repeats + conflicts": """
        select format('batch %s: %s events accepted, but %s rated + %s repeats + %s conflicts', batch, events, rated,
                      repeats, conflicts)
        from rating.batch where events <> rated + repeats + conflicts
        union all
        select format('batch %s: %s events counted as rated, %s stored', batch, rated, coalesce(stored, 0))
        from rating.batch left join (select batch_no, count(*) as stored from rating.usage group by 1) as kept
             using (batch_no)
        where rated <> coalesce(stored, 0)
        union all
        select format('batch %s: %s events counted as seen again, %s stored', batch, repeats + conflicts,
                      coalesce(stored, 0))
        from rating.batch left join (select batch_no, count(*) as stored from rating.seen_again group by 1) as kept
             using (batch_no)
        where repeats + conflicts <> coalesce(stored, 0)
    """,
    "every rated event has its key, once": """
        select format('batch %s: %s keys of events, %s events rated', batch, coalesce(keys, 0), rated)
        from rating.batch left join (select batch_no, count(*) as keys from rating.event group by 1) as known
             using (batch_no)
        where rated <> coalesce(keys, 0)
    """,
    "conflicts are shown as rejections": """
        select format('event %s of %s: conflict at offset %s is not among the rejections', seen.id, use.provider,
                      seen.raw_offset)
        from rating.seen_again as seen join rating.use using (use_no) join rating.batch using (batch_no)
        where seen.reason is not null and batch.rated_at < $1 and not exists (
            select from ingest.rejection as shown
            where shown.topic = 'usage.raw.' || use.provider and shown.partition = seen.raw_partition
                  and shown."offset" = seen.raw_offset and shown.reason = seen.reason)
    """,
    "no corrections go round in a circle": """
        with recursive chain as (
            select provider, id, corrected from rating.correction as last
            where not exists (select from rating.correction as next
                              where next.provider = last.provider and next.id = last.corrected)
            union all
            select above.provider, above.id, above.corrected
            from chain join rating.correction as above on above.provider = chain.provider and above.corrected = chain.id
        )
        select format('event %s of %s corrects %s, which comes back to it: nothing of this usage counts', id, provider,
                      corrected)
        from rating.correction where (provider, corrected) not in (select provider, corrected from chain)
    """,
    "charges = usage": """
        select format('%s %s %s %s: %s used, %s charged', award, item, month, subject, coalesce(used.quantity, 0),
                      coalesce(charged.quantity, 0))
        from (select use.award, use.item, use.month, use.tariff, use.subject,
                     sum(rating.billed(quantity, minimum, increment)) as quantity
              from rating.usage join rating.billing as use
                   on use.use_no = usage.use_no and time >= begins and time < ends
              where not exists (select from rating.correction
                                where correction.provider = use.provider and corrected = usage.id)
              group by 1, 2, 3, 4, 5) as used
             full join (select award, item, month, tariff, subject, sum(quantity) as quantity
                        from rating.charge where not is_fee group by 1, 2, 3, 4, 5) as charged
             using (award, item, month, tariff, subject)
        where coalesce(used.quantity, 0) <> coalesce(charged.quantity, 0)
    """,
    "no usage is below zero": """
        select format('%s %s %s %s: more was taken back than used, by %s', award, item, month, subject, -sum(quantity))
        from rating.charge group by award, item, month, subject having sum(quantity) < 0
    """,
    "charges = meters": """
        select format('meter %s %s %s of %s: stands at %s for %s, its charges at %s for %s', award, item, month, scope,
                      meter.quantity, meter.amount, made.quantity, made.amount)
        from rating.meter full join (
            select award, item, month, tariff, scope, sum(quantity) as quantity, sum(amount) as amount
            from rating.charge group by 1, 2, 3, 4, 5) as made
            using (award, item, month, tariff, scope)
        where (meter.quantity, meter.amount) is distinct from (made.quantity, made.amount)
    """,
    "postings = charges": """
        select format('batch %s: charged %s, posted %s', batch, charged, posted)
        from (select batch, rated_at, sum(amount) as charged
              from rating.charge join rating.batch using (batch_no) group by batch, rated_at) as made
             full join (select batch, sum(amount) filter (where side = 'institution') as posted
                        from invoicing.entry join invoicing.posting using (entry)
                        where batch is not null group by batch) as booked
             using (batch)
        where coalesce(charged, 0) <> coalesce(posted, 0) and (rated_at < $1 or rated_at is null)
        union all
        select format('batch %s is rated and not posted', batch)
        from rating.batch
        where rated_at < $1 and rated > 0 and not exists (
            select from invoicing.batch as posted where posted.batch = batch.batch)
        union all
        select format('%s %s %s %s: charged %s for %s, invoicing has %s for %s', award, item, month, subject,
                      made.quantity, made.amount, charged.quantity, charged.amount)
        from (select award, item, month, tariff, subject, sum(quantity) as quantity, sum(amount) as amount
              from rating.charge join rating.batch using (batch_no)
              where exists (select from invoicing.batch as posted where posted.batch = batch.batch)
              group by 1, 2, 3, 4, 5) as made
             full join invoicing.charged using (award, item, month, tariff, subject)
        where (made.quantity, made.amount) is distinct from (charged.quantity, charged.amount)
    """,
    "postings sum to zero": """
        select format('entry %s: its postings add up to %s', entry, sum(amount))
        from invoicing.posting group by entry having sum(amount) <> 0
    """,
    "invoices + open = postings": """
        select format('invoice %s of %s for %s: %s invoiced, %s posted', number, institution, invoice_month, exact,
                      posted)
        from (select invoice_month, institution, sum(amount) as posted
              from invoicing.posting join invoicing.entry using (entry)
                   join invoicing.month on month.month = invoice_month
              where (side = 'institution' or (side = 'credited' and kind = 'set_off')) and closed_at is not null
              group by 1, 2) as booked
             full join (select number, month as invoice_month, institution, exact from invoicing.invoice) as issued
             using (invoice_month, institution)
        where coalesce(exact, 0) <> coalesce(posted, 0)
        union all
        select format('invoice %s: total %s for %s exact, its lines %s for %s', number, total, invoice.exact, amount,
                      made.exact)
        from invoicing.invoice left join (
            select number, sum(amount) as amount, sum(exact) as exact from invoicing.invoice_line group by 1) as made
            using (number)
        where (total, invoice.exact) is distinct from (amount, made.exact)
        union all
        select format('series %s: %s numbers given, the last %s; %s documents', coalesce(series, counted.series),
                      last, highest, documents)
        from invoicing.series full join (
            select regexp_replace(number, '-[0-9]+$', '') as series, count(*) as documents,
                   max(substring(number from '[0-9]+$')::int) as highest
            from invoicing.issued group by 1) as counted using (series)
        where (last, last) is distinct from (documents, highest)
    """,
    **CREDITS,
    **DELIVERIES,
    "ceilings = postings: contract, award, institution": """
        select format('%s %s: %s spent, %s posted', level, code, coalesce(spent.amount, 0), coalesce(booked.amount, 0))
        from (select 'award' as level, award as code, -sum(amount) as amount
              from invoicing.posting where side = 'award' group by 2
              union all
              select 'institution', institution, sum(amount)
              from invoicing.posting where side in ('institution', 'credited') group by 2
              union all
              select 'contract', (select code from contract.version order by version desc limit 1), -sum(amount)
              from invoicing.posting where side = 'award' having count(*) > 0) as booked
             full join (select * from invoicing.spent where level <> 'lot') as spent using (level, code)
        where coalesce(spent.amount, 0) <> coalesce(booked.amount, 0)
    """,
    "every alert is published": """
        select format('%s %s: %s per cent reached, alert not published', level, code, threshold)
        from invoicing.alert where published_at is null and raised_at < $1
    """,
    "every decision is published": """
        select format('decision %s, %s: not published', number, case
            when version is not null then 'contract version ' || version
            when rerating is not null then 're-rating ' || rerating
            when month is not null then 'the close of ' || month
            when document is not null then 'the issue of ' || document
            when dispute_step is not null then 'step ' || dispute_step || ' of a dispute'
            else 'charges that came late, batch ' || batch end)
        from decisions.decision where published_at is null and decided_at < $1
    """,
    "every decision is entered": """
        select 'contract version ' || version from contract.version
        where not exists (select from decisions.decision where decision.version = version.version)
        union all
        select 're-rating ' || rerating from contract.rerating
        where not exists (select from decisions.decision where decision.rerating = rerating.rerating)
        union all
        select 'the close of ' || month from invoicing.month
        where closed_at is not null and not exists (select from decisions.decision where decision.month = month.month)
        union all
        select 'the issue of ' || number from invoicing.credit_note
        where not exists (select from decisions.decision where document = credit_note.number)
        union all
        select 'the issue of ' || reissue.number
        from invoicing.reissue join invoicing.credit_note as note on note.number = credit_note
        where not exists (select from decisions.decision
                          where document = case borne_by when 'nobody' then note.number else reissue.number end)
        union all
        select 'step ' || step || ' of a dispute' from invoicing.dispute_step as taken
        where not exists (select from decisions.decision where decision.dispute_step = taken.step)
        union all
        select 'charges that came late, batch ' || batch
        from invoicing.entry join invoicing.posting using (entry)
        where batch is not null and invoice_month > month and not exists (
            select from decisions.decision where decision.batch = entry.batch)
        group by batch
    """,
    "no message is parked": """
        select format('%s partition %s offset %s: %s', topic, partition, "offset", left(error, 200))
        from (select * from rating.parked union all select * from invoicing.parked) as parked
        where resolved_at is null
    """,
}
