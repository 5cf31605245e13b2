"""Sizing: the table in docs/sizing.md is what is reckoned, and so are the figures that are told of it."""

from decimal import Decimal
from pathlib import Path

import pytest

from services.bench.sizing import KEYS, PARTITIONS, Load, tables
from tests.kustomize import Document, containers, render

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sizing.md").read_text("utf-8")


def test_the_page_has_the_table():
    assert tables() in PAGE


def test_small_loads_have_a_batch_and_a_line_an_event():
    load = Load(10_000_000)
    assert load.batches == load.lines == load.events


@pytest.mark.parametrize("events", [10**7, 10**9, 10**11])
def test_more_events_never_take_more_each(events: int):
    less, more = Load(events), Load(10 * events)
    for name in ("core_seconds", "database_bytes", "kafka_bytes", "wal_bytes"):
        assert getattr(more, name) / more.events <= getattr(less, name) / less.events * (1 + 1e-12), name


def test_lines_are_no_more_than_events_or_keys():
    for exponent in range(6, 14):
        load = Load(10**exponent)
        assert load.lines_a_batch <= load.events_a_batch * (1 + 1e-9)
        assert load.lines_a_batch <= KEYS / PARTITIONS


def test_a_hundred_draws_of_two_thousand_keys_hit_as_many_as_the_textbook_says():
    load = Load(round(100 / 0.45 * 8 / 4 * 30 * 86_400))
    assert load.events_a_batch == pytest.approx(100, rel=1e-6)
    assert load.lines_a_batch == pytest.approx(2000 * (1 - (1999 / 2000) ** 100), rel=1e-6)


@pytest.mark.parametrize(("overlay", "cores"), [("10-million", "3.25"), ("1-billion", "8.5")])
def test_the_page_tells_what_an_overlay_reserves(overlay: str, cores: str):
    reserved = sum(map(_cores, render(ROOT / "deploy" / "kubernetes" / "overlays" / overlay)))
    assert reserved == Decimal(cores)
    assert f" {cores}: {reserved * 720:,.0f} core hours a month" in PAGE


def _cores(document: Document) -> Decimal:
    """Return what a deployment, the database or Kafka's nodes ask for; two of each worker that is scaled."""
    spec = document.get("spec", {})
    if document["kind"] == "Deployment":
        return spec.get("replicas", 2) * sum(_cpu(each["resources"]) for each in containers(document))
    if document["kind"] in {"Cluster", "KafkaNodePool"}:
        return spec.get("instances", spec.get("replicas")) * _cpu(spec["resources"])
    return Decimal(0)


def _cpu(resources: Document) -> Decimal:
    asked = resources["requests"]["cpu"]
    return Decimal(asked[:-1]) / 1000 if asked.endswith("m") else Decimal(asked)
