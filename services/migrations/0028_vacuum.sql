-- Tables in which rows are only ever added need no vacuum to find room, and one that goes through them while usage streams
-- in takes a core from it. 50 million rows apart it is rare, and they are frozen long before the server must.
alter table rating.event set (autovacuum_vacuum_insert_threshold = 50000000);
do $$
declare part regclass;
begin
    for part in select inhrelid::regclass from pg_inherits where inhparent = 'rating.usage'::regclass loop
        execute format('alter table %s set (autovacuum_vacuum_insert_threshold = 50000000)', part);
    end loop;
end $$;
