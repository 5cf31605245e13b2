"""The dashboard of who answers for the ceilings: what is spent and left, what is to be closed, what ends."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import CALM, GREEN, ORANGE, RED, bars, board, lines, number, rows

DAY = 86_400
EURO = "currencyEUR"


def coordinator() -> Dashboard:
    """Make it."""
    description = (
        "Spending, ceilings, closes, and what comes to an end. Amounts are rounded: invoices have the exact ones."
    )
    made = board("Plafond: finance coordinator", "plafond-coordinator", description, "now-30d")
    for part in (_contract, _ceilings, _spending, _months, _endings):
        part(made)
    return made


def _contract(made: Dashboard) -> None:
    made.with_panel(
        number("Spent", "Under the whole contract.", EURO, ('max(plafond_spent_euros{level="contract"})', ""))
    ).with_panel(
        number(
            "Left",
            "Of the contract's ceiling; below zero, it is passed.",
            EURO,
            ('max(plafond_ceiling_euros{level="contract"}) - max(plafond_spent_euros{level="contract"})', ""),
            (None, RED),
            (0, GREEN),
        )
    ).with_panel(
        number(
            "Spent of the ceiling",
            "Under the whole contract.",
            "percentunit",
            ('max(level_code:plafond_spent_ratio:max{level="contract"})', ""),
            (None, GREEN),
            (0.75, ORANGE),
            (1, RED),
        )
    ).with_panel(
        number(
            "Ceilings reached",
            "Of the contract, lots, awards and institutions.",
            "short",
            ("count(level_code:plafond_spent_ratio:max >= 1) or vector(0)", ""),
            *CALM,
        )
    ).with_panel(
        number(
            "Spent in the last day",
            "Under the whole contract.",
            EURO,
            ('max(delta(plafond_spent_euros{level="contract"}[1d]))', ""),
        )
    ).with_panel(
        number(
            "Spent in the last 30 days",
            "Under the whole contract.",
            EURO,
            ('max(delta(plafond_spent_euros{level="contract"}[30d]))', ""),
        )
    )


def _ceilings(made: Dashboard) -> None:
    made.with_row(Row("Ceilings")).with_panel(
        bars(
            "Lots",
            "Spent as a part of the ceiling.",
            ('sort_desc(level_code:plafond_spent_ratio:max{level="lot"})', "lot {{code}}"),
        )
    ).with_panel(
        bars(
            "Awards",
            "Spent as a part of the ceiling, where the award has one.",
            ('sort_desc(level_code:plafond_spent_ratio:max{level="award"})', "{{code}}"),
        )
    ).with_panel(
        bars(
            "Institutions",
            "The twelve that have spent most of their budgets, as a part of it.",
            ('topk(12, level_code:plafond_spent_ratio:max{level="institution"})', "{{code}}"),
        )
    ).with_panel(
        rows(
            "Thresholds",
            "The highest that is reached of each ceiling.",
            "percent",
            ("sort_desc(level_code:plafond_threshold_reached_percent:max > 0)", "reached"),
            span=12,
        )
    ).with_panel(
        lines(
            "Part of the ceiling that is spent",
            "Of the contract and its lots.",
            "percentunit",
            ('level_code:plafond_spent_ratio:max{level=~"contract|lot"}', "{{level}} {{code}}"),
            span=12,
        )
    )


def _spending(made: Dashboard) -> None:
    made.with_row(Row("Spending")).with_panel(
        lines(
            "Spent by lot",
            "Since the contract began.",
            EURO,
            ('max by (code) (plafond_spent_euros{level="lot"})', "lot {{code}}"),
            stacked=True,
        )
    ).with_panel(
        lines(
            "Spent in a day, by lot",
            "In the 24 hours up to each moment.",
            EURO,
            ('max by (code) (delta(plafond_spent_euros{level="lot"}[1d]))', "lot {{code}}"),
        )
    ).with_panel(
        lines(
            "Spent in a day, by institution",
            "The eight that spent most, in the 24 hours up to each moment.",
            EURO,
            ('topk(8, max by (code) (delta(plafond_spent_euros{level="institution"}[1d])))', "{{code}}"),
        )
    )


def _months(made: Dashboard) -> None:
    made.with_row(Row("Months and documents")).with_panel(
        number(
            "Months due",
            "Their grace is over, and they are not closed.",
            "short",
            ("max(plafond_months_due)", ""),
            (None, GREEN),
            (1, ORANGE),
        )
    ).with_panel(
        number(
            "Months held",
            "They were to be closed without anyone, and could not be.",
            "short",
            ("max(plafond_months_held)", ""),
            *CALM,
        )
    ).with_panel(
        number(
            "Grace ends in",
            "Of the oldest month that is not closed; below zero, it is over.",
            "s",
            ("max(plafond_grace_end_timestamp_seconds > 0) - time()", ""),
            (None, RED),
            (0, ORANGE),
            (2 * DAY, GREEN),
            empty="all closed",
        )
    ).with_panel(
        number(
            "Last close",
            "How long ago.",
            "s",
            ("time() - max(plafond_last_close_timestamp_seconds > 0)", ""),
            empty="never",
        )
    ).with_panel(
        number(
            "Rates missing",
            "Months of awards charged at an earlier month's rate.",
            "short",
            ("max(plafond_rates_missing)", ""),
            (None, GREEN),
            (1, ORANGE),
        )
    ).with_panel(
        number(
            "Usage below zero",
            "Subjects' items of which more was taken back than used.",
            "short",
            ("max(plafond_usage_below_zero)", ""),
            *CALM,
        )
    ).with_panel(
        lines(
            "Deliveries",
            "Documents that wait, are doubtful, or were refused, by channel.",
            "short",
            ("max by (channel, state) (plafond_deliveries)", "{{channel}}: {{state}}"),
            span=24,
        )
    )


def _endings(made: Dashboard) -> None:
    made.with_row(Row("What ends")).with_panel(
        rows(
            "The contract's phase",
            "In how long it is over, and whether it is the last.",
            "s",
            ("min by (phase, last) (plafond_contract_phase_end_timestamp_seconds) - time()", "over in"),
            span=12,
        )
    ).with_panel(
        rows(
            "Exemption certificates",
            "In how long each is over; below zero, it is.",
            "s",
            ("sort(min by (institution) (plafond_exemption_certificate_end_timestamp_seconds) - time())", "over in"),
            span=12,
        )
    )
