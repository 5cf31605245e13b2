"""What Prometheus' rules and Grafana's dashboards are checked with: promtool, and the metrics that the code defines."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus"
TOOLS = ROOT / ".cache" / "prometheus"
_KINDS = {"Counter", "Gauge", "Histogram"}
_OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity", "team"}}
_WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
    "inf",
}
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"(?<![\w:.$])([A-Za-z_:][\w:]*)(?![\w:])(?!\s*\()\s*(?:\{([^}]*)\})?")


def run(tool: str, *words: str | Path) -> str:
    """Return what promtool or amtool says; fails the test where it does not approve."""
    program = TOOLS / tool
    if not program.exists():
        pytest.fail(f"{program} is not there: run `make setup`, which fetches {tool} or says how to get it")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=300, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@cache
def rules() -> list[dict]:
    """Return every rule of every file."""
    files = [yaml.safe_load(path.read_text("utf-8")) for path in sorted((RULES / "rules").glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict]:
    """Return the alerting rules by name."""
    return {each["alert"]: each for each in rules() if "alert" in each}


@cache
def metrics() -> dict[str, set[str]]:
    """Return the labels of every metric that the services export, by the names that Prometheus has for them."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found |= _defined(node)
    assert len(found) > 20, "metrics are defined by calls of Counter, Gauge and Histogram with a literal name"
    return found | _OF_PROMETHEUS


def _defined(node: ast.AST) -> dict[str, set[str]]:
    match node:
        case ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=str(name)), _, *more]) if kind in _KINDS:
            labels = set(ast.literal_eval(more[0])) if more else set()
            if kind == "Histogram":
                return {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
            return {name: labels}
    return {}


def known() -> dict[str, set[str]]:
    """Return the labels of every metric, and of every recording rule: those that its name begins with."""
    recorded = [each["record"] for each in rules() if "record" in each]
    levels = {name: name.partition(":")[0] for name in recorded}
    return metrics() | {name: set() if level == "plafond" else set(level.split("_")) for name, level in levels.items()}


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Return each metric that an expression names, with the labels that it is chosen by."""
    bare = re.sub(r"\[[^\]]*\]", "", _GROUPED.sub("", re.sub(r'"[^"]*"', '""', expression)))
    found = [(name, set(re.findall(r"(\w+)\s*[=!]", chosen or ""))) for name, chosen in _SELECTOR.findall(bare)]
    return [(name, labels) for name, labels in found if name.lower() not in _WORDS]


def unknown(expression: str) -> list[str]:
    """Return what an expression names and nobody exports: metrics, and labels of metrics."""
    there, named = known(), selectors(expression)
    assert named, f"no metric in {expression}"
    lacking = [name for name, _ in named if name not in there]
    lacking += [f"{name}{{{label}}}" for name, labels in named if name in there for label in labels - there[name]]
    all_labels = {label for name, _ in named for label in there.get(name, set())} | {"job"}
    grouped = {label.strip() for labels in _GROUPED.findall(expression) for label in labels.split(",") if label.strip()}
    return lacking + sorted(grouped - all_labels)
