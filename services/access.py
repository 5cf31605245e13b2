"""Who may do what in Kafka: a provider writes to its own topic and does nothing else, a service does what it needs.

Law: what nobody is named for nobody may do; the broker refuses it (`allow.everyone.if.no.acl.found` is off by default).
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from services.kafka import (
    ACCEPTED,
    ALERTS,
    CHARGES,
    DECISIONS,
    DELIVERIES,
    INGEST_GROUP,
    INVOICING_GROUP,
    RATING_GROUP,
    RAW_PREFIX,
    RECORD_GROUP,
    REJECTED,
    Topic,
    raw_topic,
    topics,
)

OPERATOR = "plafond-operator"
"""Whoever runs commands: makes topics and grants, recovers, audits."""


SERVICES = ("ingest", "rating", "invoicing", "delivery")


class Kind(IntEnum):
    """What a grant is on, by Kafka's own number (KIP-140)."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4


class Operation(IntEnum):
    """What may be done there, by Kafka's own number; whoever may read or write may also ask for it to be described."""

    ALL = 2
    READ = 3
    WRITE = 4


class Grant(NamedTuple):
    """A principal (a user's name) may do something with what has this name, or, `by_prefix`, what begins with it."""

    principal: str
    kind: Kind
    name: str
    operation: Operation
    by_prefix: bool = False


def provider_principal(provider: str) -> str:
    """Return the name under which a provider writes into its topic."""
    return f"provider-{provider}"


def service_principal(service: str) -> str:
    """Return the name under which a service works."""
    return f"plafond-{service}"


def is_ours(principal: str) -> bool:
    """Tell whether a principal is a provider, a service, or the operator; others' rights are none of our business."""
    known = {OPERATOR, *map(service_principal, SERVICES)}
    return principal in known or principal.startswith(provider_principal(""))


def grants(providers: Iterable[str]) -> list[Grant]:
    """Return all that is granted."""
    return [
        *_of_service(
            "ingest", reads=[REJECTED, DECISIONS], writes=[ACCEPTED, REJECTED], groups=[INGEST_GROUP, RECORD_GROUP]
        ),
        *(Grant(service_principal("ingest"), Kind.TOPIC, RAW_PREFIX, each, by_prefix=True)
          for each in (Operation.READ, Operation.WRITE)),  # the gateway writes for those that push over HTTP
        # A conflict is told with both messages, and the earlier one stands in the provider's topic.
        Grant(service_principal("rating"), Kind.TOPIC, RAW_PREFIX, Operation.READ, by_prefix=True),
        *_of_service("rating", reads=[ACCEPTED, DECISIONS], writes=[CHARGES, REJECTED], groups=[RATING_GROUP]),
        *_of_service("invoicing", reads=[CHARGES, DECISIONS], writes=[ALERTS, DECISIONS], groups=[INVOICING_GROUP]),
        *_of_service("delivery", reads=[DELIVERIES, DECISIONS], writes=[DELIVERIES], groups=[]),
        Grant(OPERATOR, Kind.CLUSTER, "kafka-cluster", Operation.ALL),
        Grant(OPERATOR, Kind.TOPIC, "*", Operation.ALL),
        Grant(OPERATOR, Kind.GROUP, "*", Operation.ALL),
        *(Grant(provider_principal(each), Kind.TOPIC, raw_topic(each), Operation.WRITE) for each in sorted(providers)),
    ]  # fmt: skip


def topics_of(service: str, providers: Iterable[str]) -> list[Topic]:
    """Return the topics that a service waits for: those that it works with all the time."""
    providers = list(providers)
    mine = [each for each in grants(providers) if each.principal == service_principal(service)]
    return [
        topic
        for topic in topics(providers)
        if any(topic.name == each.name or _writes_all(each, topic) for each in mine)
    ]


def _writes_all(grant: Grant, topic: Topic) -> bool:
    return grant.by_prefix and grant.operation is Operation.WRITE and topic.name.startswith(grant.name)


def _of_service(service: str, reads: Sequence[str], writes: Sequence[str], groups: Sequence[str]) -> list[Grant]:
    principal = service_principal(service)
    return [
        *(Grant(principal, Kind.TOPIC, each, Operation.READ) for each in reads),
        *(Grant(principal, Kind.TOPIC, each, Operation.WRITE) for each in writes),
        *(Grant(principal, Kind.GROUP, each, Operation.READ) for each in groups),
    ]
