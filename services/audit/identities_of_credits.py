"""The identities of credit notes, of what is issued anew, and of disputes; as in `identities.py`."""

CREDITS: dict[str, str] = {
    "credit notes = what they take back": """
        select format('credit note %s: total %s for %s exact, the lines that it takes back %s for %s', number,
                      note.total, note.exact, amount, made.exact)
        from invoicing.credit_note as note left join (
            select taken.number, -sum(line.amount) as amount, -sum(line.exact) as exact
            from invoicing.credit_note_line as taken
                 join invoicing.invoice_line as line on line.number = invoice and line.line = invoice_line
            group by 1) as made using (number)
        where (note.total, note.exact) is distinct from (amount, made.exact)
        union all
        select format('credit note %s: its line %s is line %s of %s, which is not what line %s of %s is', taken.number,
                      taken.line, invoice_line, invoice, corrected_line, taken.corrects)
        from invoicing.credit_note_line as taken join invoicing.credit_note as note using (number)
        where note.corrects <> taken.corrects or not exists (
            select from invoicing.issued_line as was
            where was.number = taken.corrects and was.line = corrected_line and was.sign = 1
                  and (was.invoice, was.invoice_line) = (taken.invoice, taken.invoice_line))
        union all
        select format('line %s of %s is charged %s times', invoice_line, invoice, sum(sign))
        from invoicing.issued_line group by invoice, invoice_line having sum(sign) not in (0, 1)
        union all
        select format('%s takes back from %s or has lines of it again, and is of another institution or month',
                      issued.number, was.number)
        from invoicing.issued join invoicing.issued as was on was.number = coalesce(issued.corrects, issued.anew)
        where (issued.institution, issued.month) <> (was.institution, was.month)
        union all
        select format('credit note %s of nobody is not issued anew', number)
        from invoicing.credit_note where borne_by = 'nobody' and not exists (
            select from invoicing.reissue where credit_note = credit_note.number)
    """,
    "credits = postings": """
        select format('%s: %s taken back, %s posted', coalesce(made.number, document), made.exact, booked.amount)
        from (select number, exact, borne_by from invoicing.credit_note
              union all
              select reissue.number, -exact, borne_by
              from invoicing.reissue join invoicing.credit_note as note on note.number = credit_note) as made
             full join (select document, borne_by, sum(amount) filter (where side = 'credited') as amount
                        from invoicing.entry join invoicing.posting using (entry)
                        where document is not null group by entry.entry, 1, 2) as booked
             on document = made.number and booked.borne_by = made.borne_by
        where made.exact is distinct from booked.amount
        union all
        select format('entry %s: side %s is not of what %s bears', entry, side, borne_by)
        from invoicing.entry join invoicing.posting using (entry)
        where case borne_by when 'coordinator' then side not in ('credited', 'coordinator')
                            when 'supplier' then side not in ('credited', 'award')
                            when 'nobody' then side not in ('credited', 'reissue')
                            else side not in ('institution', 'award') end
        union all
        select format('what is to be issued anew: %s are left', sum(amount))
        from invoicing.posting where side = 'reissue' having sum(amount) <> 0
        union all
        select format('%s %s %s of %s under %s: %s set off of %s credited by the %s', institution, item, month, tariff,
                      award, set_off, -credited, borne_by)
        from (select institution, department, pool, item, posting.month, tariff, award, borne_by,
                     coalesce(sum(amount) filter (where kind = 'set_off'), 0) as set_off,
                     coalesce(sum(amount) filter (where kind <> 'set_off'), 0) as credited
              from invoicing.entry join invoicing.posting using (entry)
              where side = 'credited' and borne_by <> 'nobody'
              group by institution, department, pool, item, posting.month, tariff, award, borne_by) as used
        where set_off < 0
    """,
    "disputes are about lines that there are": """
        select format('dispute %s: there is no line %s of %s', dispute, coalesce(line::text, 'at all'), number)
        from invoicing.dispute_step as step
        where state = 'open' and not exists (
            select from invoicing.issued_line where issued_line.number = step.number
                   and (step.line is null or issued_line.line = step.line))
        union all
        select format('dispute %s is %s, and was not opened', dispute, state) from invoicing.dispute_step as step
        where state <> 'open' and not exists (
            select from invoicing.dispute_step as opened where opened.dispute = step.dispute and opened.state = 'open')
        union all
        select format('dispute %s: there is no credit note %s', dispute, credit_note) from invoicing.dispute_step
        where credit_note is not null and credit_note not in (select number from invoicing.credit_note)
    """,
}
