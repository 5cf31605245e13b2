"""The dashboard of a provider, and of who talks to it: what was accepted, what was refused and why, how fresh it is."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable, Row
from grafana_foundation_sdk.models.dashboard import VariableRefresh, VariableSort

from deploy.grafana.panels import GREEN, ORANGE, RED, SOURCE, board, lines, number

MINE = 'provider="$provider"'
ACCEPTED = f'plafond_events_total{{service="ingest", outcome="accepted", {MINE}}}'
REFUSED = f'plafond_events_total{{service="ingest", outcome!="accepted", {MINE}}}'
CONFLICTS = f'plafond_events_total{{service="rating", outcome="conflict", {MINE}}}'
AT_THE_DOOR = f'plafond_gateway_events_total{{outcome="refused", {MINE}}}'


def provider() -> Dashboard:
    """Make it."""
    description = "What one provider sent: accepted, refused and why, how fresh. Every provider can be chosen."
    made = board("Plafond: provider", "plafond-provider", description, "now-24h")
    names = (
        QueryVariable("provider").label("Provider").datasource(SOURCE).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    made.with_variable(
        names.query("label_values(plafond_provider_last_accepted_timestamp_seconds, provider)").sort(
            VariableSort.ALPHABETICAL_ASC
        )
    )
    for part in (_now, _over_time):
        part(made)
    return made


def _now(made: Dashboard) -> None:
    made.with_panel(
        number(
            "Last accepted",
            "How long ago usage was last accepted.",
            "s",
            (f"provider:plafond_provider_silent_seconds:min{{{MINE}}}", ""),
            (None, GREEN),
            (7200, ORANGE),
            (86_400, RED),
            empty="never",
        )
    ).with_panel(
        number("Accepted in the last day", "Events.", "short", (f"sum(increase({ACCEPTED}[1d]))", ""))
    ).with_panel(
        number(
            "Refused in the last day",
            "Events: by what the contract says, as conflicts, or at the gateway's door.",
            "short",
            (f"sum(increase({REFUSED}[1d]) or increase({CONFLICTS}[1d]) or increase({AT_THE_DOOR}[1d]))", ""),
            (None, GREEN),
            (1, ORANGE),
        )
    ).with_panel(
        number(
            "Refused of all",
            "In the last half-hour.",
            "percentunit",
            (f"provider:plafond_events_rejected:ratio_rate30m{{{MINE}}}", ""),
            (None, GREEN),
            (0.01, ORANGE),
            (0.05, RED),
            empty="no usage",
        )
    ).with_panel(
        number(
            "Waiting",
            "Events in the provider's topic that are not yet read.",
            "short",
            ('sum(service_topic:plafond_lag_messages:max{topic="usage.raw.$provider"})', ""),
        )
    ).with_panel(
        number(
            "Freshness, p99",
            "From an event's being accepted to the ceilings' being updated, of all providers.",
            "s",
            ("plafond:plafond_freshness_seconds:p99_rate5m", ""),
            (None, GREEN),
            (5, ORANGE),
            (60, RED),
            empty="no usage",
        )
    )


def _over_time(made: Dashboard) -> None:
    made.with_row(Row("Over time")).with_panel(
        lines(
            "Accepted", "Events in a second.", "ops", (f"sum(rate({ACCEPTED}[$__rate_interval]))", "accepted"), span=12
        )
    ).with_panel(
        lines(
            "Refused",
            "Events in a second, by reason; `refused` is at the gateway's door.",
            "ops",
            (f"provider_outcome:plafond_events_rejected:rate30m{{{MINE}}} > 0", "{{outcome}}"),
            span=12,
            stacked=True,
        )
    ).with_panel(
        lines(
            "Silence",
            "How long ago usage was last accepted.",
            "s",
            (f"provider:plafond_provider_silent_seconds:min{{{MINE}}}", "silent for"),
            span=12,
        )
    ).with_panel(
        lines(
            "Over HTTP",
            "Events in a second that the gateway took, refused, or could not store.",
            "ops",
            (f"sum by (outcome) (rate(plafond_gateway_events_total{{{MINE}}}[$__rate_interval]))", "{{outcome}}"),
            span=12,
        )
    )
