-- What an event is billed for, as its tariff says: at least so much, and in started increments; zero where it says nothing.
alter table rating.use
    add column minimum numeric not null default 0,
    add column increment numeric not null default 0,
    drop constraint use_provider_award_subject_item_region_month_tariff_key,
    add unique (provider, award, subject, item, region, month, tariff, minimum, increment);

create function rating.billed(quantity numeric, minimum numeric, increment numeric) returns numeric
    language sql immutable parallel safe
return case
    when minimum = 0 and increment = 0 then quantity
    else sign(quantity) * greatest(minimum, case
        when increment = 0 then abs(quantity)
        when mod(abs(quantity), increment) = 0 then abs(quantity)
        else (div(abs(quantity), increment) + 1) * increment
    end)
end;
