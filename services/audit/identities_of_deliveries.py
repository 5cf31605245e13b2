"""The identities of what was delivered; as in `identities.py`."""

DELIVERIES: dict[str, str] = {
    "sent = issued, each document once": """
        select format('%s went to %s as what was never issued', number, address)
        from delivery.outbox
        where not exists (select from invoicing.issued
                          where (issued.number, issued.institution) = (outbox.number, outbox.institution))
        union all
        select format('%s was sent to %s %s times for one time asked', number, address, count(*))
        from delivery.attempt join delivery.outbox using (delivery)
        where outcome = 'sent' and files <> '{}' group by delivery, number, address having count(*) > 1
        union all
        select format('%s went to %s with other bytes than the ledger has, SHA-256 %s', file.key, address, file.value)
        from delivery.attempt join delivery.outbox using (delivery) cross join jsonb_each_text(files) as file
        where outcome = 'sent' and not exists (
            select from invoicing.document as made
            where made.name = number and made.name || '.' || form = file.key and encode(sha256, 'hex') = file.value)
    """,
}
