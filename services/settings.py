"""Where a service finds its servers and where it listens, from the environment."""

import os
from dataclasses import dataclass

from services.kafka import bootstrap_servers
from services.kafka_security import own_security
from services.postgres import database_url


@dataclass(frozen=True, slots=True)
class Settings:
    """`host` and `port` are where /metrics, /healthz and /readyz listen; ports of 0 are not for services.

    Every `audit_seconds` one of the workers of invoicing audits the books; 0 is for never.
    """

    database_url: str
    kafka: str
    host: str
    port: int
    gateway_port: int
    instance: str
    audit_seconds: float
    events_per_second: float = 0.0


def from_environment(port: int) -> Settings:
    """Read PLAFOND_DATABASE_URL, PLAFOND_KAFKA, PLAFOND_HOST, PLAFOND_PORT, PLAFOND_GATEWAY_PORT, PLAFOND_INSTANCE,
    PLAFOND_AUDIT_SECONDS and PLAFOND_EVENTS_PER_SECOND.

    What is said of Kafka's security is checked, too: raises KafkaSettingsError, and SchemaError without a database.
    """
    own_security()
    return Settings(
        database_url=database_url(),
        kafka=bootstrap_servers(),
        host=os.environ.get("PLAFOND_HOST", "127.0.0.1"),
        port=int(os.environ.get("PLAFOND_PORT", str(port))),
        gateway_port=int(os.environ.get("PLAFOND_GATEWAY_PORT", "8080")),
        instance=os.environ.get("PLAFOND_INSTANCE", "1"),
        audit_seconds=float(os.environ.get("PLAFOND_AUDIT_SECONDS", "3600")),
        events_per_second=float(os.environ.get("PLAFOND_EVENTS_PER_SECOND", "0")),
    )
