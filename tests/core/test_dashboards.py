"""Dashboards: made from code, of queries that Prometheus understands, over metrics that there are."""

import json
from collections.abc import Iterator

import pytest
import yaml

from deploy.grafana.build import FOLDER, dashboards
from tests.prometheus import ROOT, run, unknown

MADE = {path.stem: (path, text) for path, text in dashboards().items()}
VARIABLES = {"$__rate_interval": "5m", "$provider": "numergy"}


def queries(name: str) -> Iterator[tuple[str, str]]:
    """Return the title and each query of a dashboard's panels, with variables replaced."""
    for panel in json.loads(MADE[name][1])["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield panel["title"], expression


def test_there_is_one_for_each_person():
    assert set(MADE) == {"operations", "finance-coordinator", "provider"}
    assert {path.stem for path in FOLDER.glob("*.json")} == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_the_file_is_what_the_code_makes(name: str):
    path, text = MADE[name]
    assert path.read_text("utf-8") == text, "run `.venv/bin/python -m deploy.grafana.build`"


@pytest.mark.parametrize("name", MADE)
def test_each_query_names_metrics_and_labels_that_exist(name: str):
    assert [(title, unknown(query)) for title, query in queries(name) if unknown(query)] == []
    assert len(list(queries(name))) >= 10


@pytest.mark.parametrize("name", MADE)
def test_each_query_is_one_that_prometheus_understands(name: str, tmp_path):
    named = enumerate(queries(name))
    recorded = [{"record": f"panel:number{number}:query", "expr": query} for number, (_, query) in named]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": recorded}]}), "utf-8")
    assert f"{len(recorded)} rules found" in run("promtool", "check", "rules", path)


@pytest.mark.parametrize("name", MADE)
def test_each_panel_can_be_read(name: str):
    made = json.loads(MADE[name][1])
    variables = {each["name"] for each in made["templating"]["list"]}
    panels = [each for each in made["panels"] if each["type"] != "row"]
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert "$provider" not in json.dumps(panel["targets"]) or "provider" in variables
    places = [
        (column, row)
        for panel in made["panels"]
        for box in [panel["gridPos"]]
        for column in range(box["x"], box["x"] + box["w"])
        for row in range(box["y"], box["y"] + box["h"])
    ]
    assert len(places) == len(set(places)), "panels lie over each other"
    assert max(column for column, _ in places) < 24


def test_what_is_provisioned_is_readable():
    [source] = yaml.safe_load((FOLDER.parent / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    [folder] = yaml.safe_load((FOLDER.parent / "provisioning/dashboards/plafond.yml").read_text())["providers"]
    assert folder["options"]["path"].endswith(FOLDER.name)
    assert (ROOT / "deploy/grafana/dashboards") == FOLDER
