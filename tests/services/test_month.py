"""A month's life on real servers: its checklist, an override on record, invoices that are parked, and closes when due."""

import json
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.pipeline import Pipeline, event

MARCH, APRIL, MAY = "2016-03", "2016-04", "2016-05"
EDA = 'name = "European Defence Agency"\n'
PARTY = """[institutions.party]
legal_name = "European Defence Agency"
address = { street = "Rue 17", postal_code = "1050", city = "Brussels", country = "BE" }
endpoint = { scheme = "0088", id = "9520000000028" }
buyer_reference = "EDA"
tax = { category = "S", percent = "21" }
"""
DUE = {"time": "2016-04-29T10:00:00Z"}


@pytest.fixture(scope="module")
def contract() -> str:
    return SMALL


def checks(pipeline: Pipeline, month: str, status: int) -> list[tuple[str, str, str]]:
    """Return check, what it is about, and weight of a month's checklist."""
    out = pipeline.command("close", month, "--check", "--json", status=status)
    return [(each["check"], each["about"], each["weight"]) for each in json.loads(out)]


async def test_a_checklist_names_what_is_in_the_way_and_closes_nothing(pipeline: Pipeline):
    await pipeline.push("alpha", [
        event("alpha", "used", subject="EP", quantity="100"), event("alpha", "eda", subject="EDA", quantity="7"),
        event("alpha", "odd", item="nothing"),
    ])  # fmt: skip
    await pipeline.through()
    found = checks(pipeline, MARCH, status=1)
    assert ("provider silent", "alpha", "holds") in found, "nothing after 2 March"
    assert ("rejections", "alpha: unknown_item", "holds") in found
    assert {about.partition(":")[0] for check, about, weight in found if weight == "noted"} == {"EP", "EDA", "EC"} & {
        about.partition(":")[0] for check, about, _ in found if check == "document"
    }
    assert "its checklist is not clean" in pipeline.command("close", MARCH, status=1)
    assert not await pipeline.fetch("select from invoicing.month where closed_at is not null")
    [march] = pipeline.json("months")
    assert (march["state"], march["can_be_closed"]) == ("due", False)


async def test_an_override_stays_on_record_with_its_items(pipeline: Pipeline):
    assert "1 to 500 characters" in pipeline.command("close", MARCH, "--override", " ", status=2)
    before = checks(pipeline, MARCH, status=1)
    pipeline.json("close", MARCH, "--override", "alpha ended on 2 March, the odd event is a test")
    [march] = [each for each in pipeline.json("months") if each["month"] == MARCH]
    assert march["override"]["reason"] == "alpha ended on 2 March, the odd event is a test"
    kept = [(each["check"], each["about"], each["weight"]) for each in march["override"]["items"]]
    assert kept == [each for each in before if each[2] == "holds"]
    assert "was overridden by" in pipeline.command("months")
    with pytest.raises(Exception, match="append-only"):
        await pipeline.fetch("update invoicing.override set reason = 'other'")


async def test_who_lacks_something_is_parked_and_the_others_are_exported(pipeline: Pipeline, tmp_path: Path):
    out = tmp_path / "out"
    words = ["invoices", "export", "--month", MARCH, "--out", str(out)]
    [march] = [each for each in pipeline.json("months") if each["month"] == MARCH]
    [parked] = march["parked"]
    assert parked["institution"] == "EDA"
    assert any("institutions[EDA].party" in each for each in parked["problems"])
    assert "EDA" in pipeline.command(*words, status=1)
    assert {path.parent.name for path in out.rglob("*.pdf")} == {"EP"}
    assert [each for each in pipeline.json("months") if each["month"] == MARCH] == [march], "it is parked once"
    half = tmp_path / "half.toml"
    half.write_text(SMALL.replace(EDA, EDA + PARTY.replace('buyer_reference = "EDA"\n', "")), "utf-8")
    pipeline.command("contract", "apply", str(half))
    assert "buyer_reference" in pipeline.command(*words, status=1)
    [entry] = pipeline.json("months")[0]["parked"]
    assert (entry["number"], len(entry["problems"])) == (parked["number"], 1), "what is lacking now"
    mended = tmp_path / "mended.toml"
    mended.write_text(SMALL.replace(EDA, EDA + PARTY), "utf-8")
    pipeline.command("contract", "apply", str(mended))
    pipeline.command(*words)
    assert (out / "EDA" / f"{parked['number']}.xml").exists()
    assert pipeline.json("months")[0]["parked"] == []
    kept = await pipeline.fetch("select problems, resolved_at from invoicing.parked_document order by parked")
    assert [each["resolved_at"] is not None for each in kept] == [True, True]
