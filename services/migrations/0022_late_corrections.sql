-- A correction that came too late for what it corrects may be rated before that. Then the event replaces the correction:
-- such a row has the two the other way round.
alter table rating.correction add column too_late boolean not null default false;
