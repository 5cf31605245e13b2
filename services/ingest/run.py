"""How the ingest service starts: gateway, consumer and recorder in one process."""
