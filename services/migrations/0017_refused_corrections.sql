-- Why an event that was seen again, or corrects what it may not, is shown as a rejection, and what was found; null for repeats.
alter table rating.seen_again add column reason text, add column found text;
alter table rating.seen_again disable trigger append_only;
update rating.seen_again as seen set (reason, found) = (
    select case when correction.id is null then 'conflict' else 'corrected_already' end, coalesce(correction.id, seen.id)
    from rating.use left join rating.correction
         on correction.provider = use.provider and corrected = seen.corrects and not exists (
             select from rating.event where event.provider = use.provider and event.id = seen.id)
    where use.use_no = seen.use_no)
where conflict;
alter table rating.seen_again enable trigger append_only;
alter table rating.seen_again drop column conflict;

-- What rating refuses is found by its place.
drop index ingest.rejection_conflict;
create index rejection_conflict on ingest.rejection (topic, partition, "offset")
    where reason in ('conflict', 'corrected_already', 'correction_circle', 'too_late');
