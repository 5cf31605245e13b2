-- When what was refused had been used, where the message says so: then it belongs to that month's checklist.
alter table ingest.rejection add column used_at timestamptz;
