-- Where in the topics a batch and a rejection came from, by partition and the broker's append time: after a restore the
-- services go on from there. Offsets would not do, since a topic made anew begins at 0 again.
alter table rating.batch add column partition int, add column appended_at timestamptz;
alter table ingest.rejection add column appended_at timestamptz;

-- How a parked message was dealt with.
alter table rating.parked add column resolution text;
alter table invoicing.parked add column resolution text;
