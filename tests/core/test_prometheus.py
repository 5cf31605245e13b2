"""Prometheus' rules: each alert fires when it should and not when not, names what there is, and has a page that tells more."""

import re
from functools import cache

import pytest
import yaml

from services.commands.service import PORTS
from tests.prometheus import ROOT, RULES, alerts, known, rules, run, selectors, unknown

SERVICES = yaml.safe_load((RULES / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
SUITES = sorted((RULES / "tests").glob("*.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = ["What it means", "What to look at", "What to do", "When it is over"]
TEAMS = {"operations", "coordinator", "provider-relations"}
SERIES = re.compile(r"^\w+")


def test_the_configuration_and_the_rules_are_valid():
    assert "SUCCESS" in run("promtool", "check", "config", "--lint=all", RULES / "prometheus.yml")
    assert "SUCCESS" in run("promtool", "check", "rules", "--lint=all", *sorted((RULES / "rules").glob("*.yml")))


def test_each_service_is_scraped_where_it_listens_and_keeps_its_own_labels():
    found = {each["job_name"]: each["static_configs"][0]["targets"] for each in SERVICES}
    assert {f"plafond-{name}": [f"{name}:{port}"] for name, port in PORTS.items()}.items() <= found.items()
    assert all(each["honor_labels"] for each in SERVICES)
    jobs = set(re.findall(r"plafond-[a-z]+", alerts()["PlafondServiceDown"]["expr"])) - {"plafond-"}
    assert jobs <= set(found)


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_when_not(suite):
    assert "SUCCESS" in run("promtool", "test", "rules", suite)


@cache
def cases() -> list[tuple[str, bool, frozenset[str]]]:
    """Return every unit test of an alert: which one, whether it is to fire, and the metrics that it is given."""
    groups = [group for path in SUITES for group in yaml.safe_load(path.read_text("utf-8"))["tests"]]
    return [
        (
            case["alertname"],
            bool(case["exp_alerts"]),
            frozenset(SERIES.match(each["series"])[0] for each in group["input_series"]),
        )
        for group in groups
        for case in group["alert_rule_test"]
    ]


@pytest.mark.parametrize("name", alerts())
def test_each_alert_is_tested_both_ways_on_its_own_metrics(name: str):
    mine = {metric for metric, _ in behind(alerts()[name]["expr"])}
    fires = [given for alert, fires, given in cases() if alert == name and fires]
    quiet = [given for alert, fires, given in cases() if alert == name and not fires]
    assert fires, "no test in which it fires"
    assert quiet, "no test in which it does not"
    assert all(given & mine for given in fires + quiet), "a test gives it none of the metrics that it is about"


def behind(expression: str) -> list[tuple[str, set[str]]]:
    """Return the metrics that an expression comes from, through recording rules."""
    recorded = {each["record"]: each["expr"] for each in rules() if "record" in each}
    found = []
    for name, labels in selectors(expression):
        found += behind(recorded[name]) if name in recorded else [(name, labels)]
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_each_rule_names_metrics_and_labels_that_exist(rule: dict):
    assert unknown(rule["expr"]) == []


def test_what_does_not_exist_is_found():
    assert unknown("sum(rate(plafond_event_total[5m]))") == ["plafond_event_total"]
    assert unknown('sum by (reason) (plafond_events_total{outcom="accepted"})') == [
        "plafond_events_total{outcom}",
        "reason",
    ]
    assert unknown("max by (service) (service_topic:plafond_lag_messages:max) > 5 and on (topic) up == bool 1") == []


@pytest.mark.parametrize("rule", [each for each in rules() if "record" in each], ids=lambda rule: rule["record"])
def test_recording_rules_are_named_level_metric_operations(rule: dict):
    level, metric, operations = rule["record"].split(":")
    assert metric.startswith("plafond_")
    assert operations
    labels = {label for name, _ in behind(rule["expr"]) for label in known()[name]}
    assert level == "plafond" or set(level.split("_")) <= labels


@pytest.mark.parametrize("name", alerts())
def test_each_alert_says_what_is_wrong_who_is_to_look_and_where_to_read_on(name: str):
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["labels"]["team"] in TEAMS
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
    assert rule["annotations"]["description"].rstrip("}").endswith((".", "?", "{{ end "))
    page = (RUNBOOKS / f"{name}.md").read_text("utf-8")
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == HEADINGS
    assert "`plafond " in page or "\n    plafond " in page, "it names no command"


def test_each_runbook_is_of_an_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*alerts(), "README"}


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_queries_in_runbooks_name_what_exists(path):
    named = re.findall(r"`([^`\n]*plafond_[^`\n]*)`", path.read_text("utf-8"))
    assert [(query, unknown(query)) for query in named if unknown(query)] == []


@pytest.mark.parametrize("team", sorted(TEAMS))
@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_whoever_is_to_look_is_told(team: str, severity: str):
    path = RULES / "alertmanager.yml"
    run("amtool", "check-config", path)
    said = run("amtool", "config", "routes", "test", f"--config.file={path}", f"team={team}", f"severity={severity}")
    wanted = f"{team}-ticket" if team == "provider-relations" else f"{team}-{severity}"
    assert wanted in said.split()


def test_inhibitions_name_alerts_that_there_are():
    text = (RULES / "alertmanager.yml").read_text("utf-8")
    assert set(re.findall(r"Plafond\w+", text)) <= set(alerts())
