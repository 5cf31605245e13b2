-- A re-rating may also say under which tariff usage falls by its time, and what an event is billed for. Events stay as they
-- were decided on; what counts since the last re-rating of their month stands here, by stretches of time.
create table rating.rebilled (
    rerating   int not null,
    award      text not null,
    item       text not null,
    month      text not null,
    decided    date not null,
    begins     timestamptz not null,
    ends       timestamptz not null,
    tariff     date not null,
    minimum    numeric not null,
    increment  numeric not null,
    primary key (award, item, month, decided, rerating, begins)
);
create trigger append_only before update or delete or truncate on rating.rebilled
    for each statement execute function public.plafond_refuse();

-- Each use as it is billed now: an event counts under the row whose stretch its time lies in.
create view rating.billing as
select use.use_no, use.provider, use.award, use.subject, use.item, use.region, use.month,
       coalesce(last.tariff, use.tariff) as tariff,
       coalesce(last.minimum, use.minimum) as minimum,
       coalesce(last.increment, use.increment) as increment,
       coalesce(last.begins, '-infinity') as begins,
       coalesce(last.ends, 'infinity') as ends
from rating.use left join (
    select * from rating.rebilled
    where not exists (
        select from rating.rebilled as later
        where (later.award, later.item, later.month, later.decided)
            = (rebilled.award, rebilled.item, rebilled.month, rebilled.decided)
              and later.rerating > rebilled.rerating)
) as last on (last.award, last.item, last.month, last.decided) = (use.award, use.item, use.month, use.tariff);
