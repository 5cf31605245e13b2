"""What every service measures in the same way. Names follow Prometheus' rules: base units, `_total` on counters."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
EVENTS = (1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000)

EVENTS_TOTAL = Counter("plafond_events_total", "Events by what became of them.", ["service", "provider", "outcome"])
BATCH_EVENTS = Histogram("plafond_batch_events", "Events in a batch.", ["service"], buckets=EVENTS)
BATCH_SECONDS = Histogram(
    "plafond_batch_duration_seconds", "Time from taking a batch to having passed it on.", ["service"], buckets=SECONDS
)
LAG_MESSAGES = Gauge(
    "plafond_lag_messages", "Messages between the last one committed and the end of the topic.", ["service", "topic"]
)
RETRIES_TOTAL = Counter("plafond_retries_total", "Work tried again because a server was away.", ["service", "server"])
PARKED_TOTAL = Counter("plafond_parked_total", "Internal messages that could not be read and were parked.", ["service"])
CONTRACT_VERSION = Gauge(
    "plafond_contract_version", "Newest contract version that the service works with.", ["service"]
)


def begin_at_zero(service: str, providers: Iterable[str], outcomes: Iterable[str]) -> None:
    """Let a service's counts of events be there from the start: Prometheus can't see the first rise of what is new."""
    known = list(outcomes)
    for provider in providers:
        for outcome in known:
            EVENTS_TOTAL.labels(service, provider, outcome)
