"""The dashboard of who runs the system: flow, lag, errors, and whether the books are right."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import CALM, GREEN, ORANGE, RED, board, lines, number, rows

PER_SECOND = "rate({}[$__rate_interval])"
ANSWERS = PER_SECOND.format("plafond_gateway_request_duration_seconds_bucket")


def operations() -> Dashboard:
    """Make it."""
    made = board("Plafond: operations", "plafond-operations", "Flow, lag and errors of the pipeline.", "now-6h")
    for part in (_now, _flow, _lag, _errors, _books):
        part(made)
    return made


def _now(made: Dashboard) -> None:
    made.with_panel(
        number(
            "Alerts",
            "Alerts of Plafond's that fire.",
            "short",
            ('count(ALERTS{alertname=~"Plafond.+", alertstate="firing"}) or vector(0)', ""),
            *CALM,
        )
    ).with_panel(
        number(
            "Workers",
            "Workers that answer, by service.",
            "short",
            ('sum by (job) (up{job=~"plafond-.+"})', "{{job}}"),
            (None, RED),
            (1, GREEN),
        )
    ).with_panel(
        number(
            "Freshness, p99",
            "From an event's being accepted to the ceilings' being updated.",
            "s",
            ("plafond:plafond_freshness_seconds:p99_rate5m", ""),
            (None, GREEN),
            (5, ORANGE),
            (60, RED),
            empty="no usage",
        )
    ).with_panel(
        number(
            "Messages that wait",
            "On all topics together, for whoever reads them.",
            "short",
            ("sum(service_topic:plafond_lag_messages:max)", ""),
        )
    ).with_panel(
        number(
            "Breaches",
            "Of all identities, in the last audit.",
            "short",
            ("sum(max by (identity) (plafond_audit_breaches))", ""),
            *CALM,
            empty="no audit yet",
        )
    ).with_panel(
        number(
            "Last audit",
            "How long ago an audit came to its end.",
            "s",
            ("time() - max(plafond_audit_last_timestamp_seconds > 0)", ""),
            (None, GREEN),
            (7200, RED),
            empty="no audit yet",
        )
    )


def _flow(made: Dashboard) -> None:
    made.with_row(Row("Flow")).with_panel(
        lines(
            "Events accepted",
            "By provider, in a second.",
            "ops",
            ("provider:plafond_events_accepted:rate5m", "{{provider}}"),
            stacked=True,
        )
    ).with_panel(
        lines(
            "Events rated",
            "New ones, repeats and conflicts, in a second.",
            "ops",
            ('sum(rate(plafond_events_total{service="rating", outcome="taken"}[$__rate_interval]))', "new"),
            ('sum(rate(plafond_events_total{service="rating", outcome="repeat"}[$__rate_interval]))', "repeats"),
            ('sum(rate(plafond_events_total{service="rating", outcome="conflict"}[$__rate_interval]))', "conflicts"),
        )
    ).with_panel(
        lines(
            "Batches",
            "That each service passed on, in a second.",
            "ops",
            ("service:plafond_batches:rate5m", "{{service}}"),
        )
    ).with_panel(
        lines(
            "Events in a batch",
            "On average, by service.",
            "short",
            (
                (
                    f"sum by (service) ({PER_SECOND.format('plafond_batch_events_sum')}) / "
                    f"sum by (service) ({PER_SECOND.format('plafond_batch_events_count')})"
                ),
                "{{service}}",
            ),
        )
    ).with_panel(
        lines(
            "Requests to the gateway",
            "By the status of the answer, in a second.",
            "reqps",
            ("sum by (status) (rate(plafond_gateway_requests_total[$__rate_interval]))", "{{status}}"),
            stacked=True,
        )
    ).with_panel(
        lines(
            "Time to the gateway's answer",
            "The median, and one in a hundred.",
            "s",
            (f"histogram_quantile(0.5, sum by (le) ({ANSWERS}))", "p50"),
            (f"histogram_quantile(0.99, sum by (le) ({ANSWERS}))", "p99"),
        )
    )


def _lag(made: Dashboard) -> None:
    made.with_row(Row("Lag")).with_panel(
        lines(
            "Messages that wait",
            "By topic. Raw topics hold an event a message, the others a batch.",
            "short",
            ("service_topic:plafond_lag_messages:max", "{{service}}: {{topic}}"),
        )
    ).with_panel(
        lines(
            "Freshness",
            "From an event's being accepted to the ceilings' being updated; waiting in a raw topic is not in it.",
            "s",
            ("plafond:plafond_freshness_seconds:p50_rate5m", "p50"),
            ("plafond:plafond_freshness_seconds:p99_rate5m", "p99"),
        )
    ).with_panel(
        lines(
            "Time for a batch, p99",
            "From taking it to having passed it on, by service.",
            "s",
            ("service:plafond_batch_duration_seconds:p99_rate5m", "{{service}}"),
        )
    )


def _errors(made: Dashboard) -> None:
    made.with_row(Row("Errors")).with_panel(
        lines(
            "Events refused",
            "By reason, in a second; `refused` is at the gateway's door.",
            "ops",
            ("sum by (outcome) (provider_outcome:plafond_events_rejected:rate30m) > 0", "{{outcome}}"),
            stacked=True,
        )
    ).with_panel(
        lines(
            "Work tried again",
            "Because a server was away, in a second.",
            "ops",
            ("sum by (service, server) (rate(plafond_retries_total[$__rate_interval]))", "{{service}}: {{server}}"),
        )
    ).with_panel(
        lines(
            "Messages parked",
            "Since the services were started: they could not be read.",
            "short",
            ("sum by (service) (plafond_parked_total)", "{{service}}"),
        )
    ).with_panel(
        lines(
            "Outboxes",
            "How long the oldest alert and decision wait to be published.",
            "s",
            ("max by (outbox) (plafond_outbox_oldest_seconds)", "{{outbox}}"),
        )
    ).with_panel(
        lines(
            "Deliveries that wait",
            "How long the oldest has waited, by channel.",
            "s",
            ("max by (channel) (plafond_delivery_oldest_seconds)", "{{channel}}"),
        )
    ).with_panel(
        lines(
            "Deliveries tried",
            "In an hour, by channel and outcome.",
            "short",
            ("sum by (channel, outcome) (increase(plafond_delivery_attempts_total[1h]))", "{{channel}}: {{outcome}}"),
        )
    )


def _books(made: Dashboard) -> None:
    made.with_row(Row("Books")).with_panel(
        rows(
            "Audit",
            "Breaches by identity; 0 is right.",
            "short",
            ("max by (identity) (plafond_audit_breaches)", "breaches"),
        )
    ).with_panel(
        lines(
            "Time for an audit",
            "While it lasts it keeps one core of the database busy.",
            "s",
            ("max(plafond_audit_duration_seconds)", "audit"),
        )
    ).with_panel(
        lines(
            "Contract version",
            "Newest that each service works with; they are to agree.",
            "short",
            ("max by (service) (plafond_contract_version)", "{{service}}"),
        )
    )
