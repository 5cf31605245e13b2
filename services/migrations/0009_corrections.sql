-- Events that replace another of the same provider, which then counts nothing; `is_open` while the other has not come.
create table rating.correction (
    provider   text not null,
    corrected  text not null,
    id         text not null,
    is_open    boolean not null,
    primary key (provider, corrected)
);
create index correction_open on rating.correction (provider, corrected) where is_open;

alter table rating.seen_again add column corrects text;
