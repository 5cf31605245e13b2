"""What the dashboards are made of: panels that look alike; a query is an expression and its legend."""

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    MatcherConfig,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Query = tuple[str, str]
Step = tuple[float | None, str]
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
GREEN, ORANGE, RED = "green", "orange", "red"
CALM: tuple[Step, ...] = ((None, GREEN), (1, RED))
"""Colours of a number that should be 0."""


def board(title: str, uid: str, description: str, since: str) -> dashboard.Dashboard:
    """Begin a dashboard of a person's, over a time up to now."""
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    made = dashboard.Dashboard(title).uid(uid).description(description).tags(["plafond"]).with_variable(source)
    return made.time(since, "now").refresh("1m").timezone("browser").readonly()


def lines(
    title: str, description: str, unit: str, *queries: Query, span: int = 8, stacked: bool = False
) -> timeseries.Panel:
    """Draw values over time."""
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(options.LegendDisplayMode.LIST)
        .placement(options.LegendPlacement.BOTTOM)
    )
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)
    panel = timeseries.Panel().title(title).description(description).datasource(SOURCE).unit(unit).axis_soft_min(0)
    panel = panel.span(span).height(HEIGHT).legend(legend).tooltip(tooltip).line_width(1)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL)).fill_opacity(20)
    return panel.targets([_over_time(number, query) for number, query in enumerate(queries)])


def number(
    title: str, description: str, unit: str, query: Query, *steps: Step, span: int = 4, empty: str = "none"
) -> stat.Panel:
    """Show the newest value, in the colour of the highest step that it reaches."""
    panel = stat.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(span).height(4)
    panel = (
        panel.thresholds(_thresholds(steps or ((None, GREEN),)))
        .no_value(empty)
        .color_mode(options.BigValueColorMode.VALUE)
    )
    return panel.graph_mode(options.BigValueGraphMode.NONE).reduce_options(_newest()).with_target(_now(query))


def bars(title: str, description: str, query: Query, *, span: int = 8, height: int = HEIGHT) -> bargauge.Panel:
    """Show parts of a whole, 0 to 1, as bars: orange from three quarters on, red where all is reached."""
    panel = bargauge.Panel().title(title).description(description).datasource(SOURCE).unit("percentunit").min(0).max(1)
    panel = panel.thresholds(_thresholds(((None, GREEN), (0.75, ORANGE), (1, RED)))).span(span).height(height)
    panel = panel.orientation(options.VizOrientation.HORIZONTAL).display_mode(options.BarGaugeDisplayMode.BASIC)
    return panel.reduce_options(_newest()).with_target(_now(query))


def rows(title: str, description: str, unit: str, query: Query, *, span: int = 8) -> table.Panel:
    """Show labels and the newest value as a table; `query` names the value's column in place of a legend."""
    expression, column = query
    panel = table.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(span).height(HEIGHT)
    target = _now((expression, "")).format(PromQueryFormat.TABLE)
    hide = [DynamicConfigValue(id_val="custom.hidden", value=True)]
    name = [DynamicConfigValue(id_val="displayName", value=column)]
    panel = panel.with_override(MatcherConfig(id_val="byName", options="Time"), hide)
    return panel.with_override(MatcherConfig(id_val="byName", options="Value"), name).with_target(target)


def _over_time(position: int, query: Query) -> prometheus.Dataquery:
    expression, legend = query
    return prometheus.Dataquery().expr(expression).legend_format(legend).range().ref_id(chr(ord("A") + position))


def _now(query: Query) -> prometheus.Dataquery:
    expression, legend = query
    return prometheus.Dataquery().expr(expression).legend_format(legend).instant().ref_id("A")


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().values(False).calcs(["lastNotNull"])


def _thresholds(steps: tuple[Step, ...]) -> dashboard.ThresholdsConfig:
    made = [Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)
