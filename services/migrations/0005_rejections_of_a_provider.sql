-- A provider pages through its own rejections, newest first.
create index rejection_provider on ingest.rejection (provider, received_at desc, partition desc, "offset" desc, rejection desc);
