-- Until when a key is valid, where that is said: a key that is replaced goes on for some days beside the new one.
alter table ingest.api_key add column expires_at timestamptz;
alter table delivery.api_key add column expires_at timestamptz;
