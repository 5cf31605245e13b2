"""A wrong price is put right: the difference is posted once, and both prices stay to be explained."""

import asyncio
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest

from tests.conftest import SMALL
from tests.pipeline import Pipeline, event

MARCH, APRIL = "2016-03", "2016-04"
PRICES = """
[[items]]
code = "support"
name = "Support"
unit = "EUR"

[[tariffs]]
award = "2/BETA"
valid_from = 2016-03-01
[tariffs.prices.vm]
model = "graduated"
tiers = [{ up_to = "100", price = "0.06" }, { price = "0.05" }]
[tariffs.prices.traffic]
model = "per_unit"
price = "0.01"
increment = "10"
[tariffs.prices.support]
model = "percentage"
percent = "10"
of = ["vm"]
"""
FIXED = PRICES.replace("0.06", "0.03")
RERATE = ["rerate", "--month", MARCH, "--award", "2/BETA", "--contract"]


@pytest.fixture(scope="module")
def contract() -> str:
    return SMALL + PRICES


@pytest.fixture
def fixed(tmp_path) -> str:
    path = tmp_path / "fixed.toml"
    path.write_text(SMALL + FIXED)
    return str(path)


def by_item(answer) -> dict[tuple[str, str], tuple[str, str]]:
    return {(each["institution"], each["item"]): (each["now"], each["then"]) for each in answer["changes"]}


async def test_what_the_right_price_changes_is_shown_and_nothing_is_posted(pipeline: Pipeline, fixed: str):
    await pipeline.push("beta-north", [
        event("beta-north", "ep", quantity="300"),
        event("beta-north", "digit", subject="EC/DIGIT", quantity="100"),
        event("beta-north", "agri", subject="EC/AGRI", quantity="100"),
        event("beta-north", "traffic", item="traffic", quantity="12.5"),
        event("beta-north", "april", quantity="10", time="2016-04-02T10:00:00Z"),
    ])  # fmt: skip
    await pipeline.push("alpha", [event("alpha", "other", lot="1", quantity="10")])
    await pipeline.through()
    await pipeline.close(MARCH)
    found = pipeline.json(*RERATE, fixed)
    assert by_item(found) == {
        ("EP", "vm"): ("16", "13"),  # 100 x 0.06 or 0.03, and 200 x 0.05
        ("EP", "support"): ("1.6", "1.3"),
        ("EC", "vm"): ("11", "8"),
        ("EC", "support"): ("1.1", "0.8"),
    }
    assert found["posted_on"] == []
    assert "nothing is posted without --post" in pipeline.command(*RERATE, fixed)
    assert await pipeline.audit() == []
    assert (await pipeline.fetch("select count(*) from contract.rerating"))[0][0] == 0


async def test_the_difference_of_a_closed_month_goes_on_the_next_invoice_once(pipeline: Pipeline, fixed: str):
    before = await pipeline.spent()
    assert pipeline.json(*RERATE, fixed, "--post")["posted_on"] == [APRIL]
    await pipeline.through()
    again = pipeline.json(*RERATE, fixed, "--post")
    assert (again["changes"], again["charges"], again["posted_on"]) == ([], 0, [])
    assert (await pipeline.spent())["contract small"] == before["contract small"] - Decimal("6.6")
    lines = {
        (each.statement.institution, line.key.department, line.key.item, line.key.month): line.exact
        for each in await pipeline.statements(APRIL)
        for line in each.statement.lines
    }
    assert lines == {
        ("EP", "", "vm", MARCH): Decimal(-3),
        ("EP", "", "support", MARCH): Decimal("-0.3"),
        ("EP", "", "vm", APRIL): Decimal("0.6"),
        ("EP", "", "support", APRIL): Decimal("0.06"),
        ("EC", "DIGIT", "vm", MARCH): Decimal("-1.5"),
        ("EC", "DIGIT", "support", MARCH): Decimal("-0.15"),
        ("EC", "AGRI", "vm", MARCH): Decimal("-1.5"),
        ("EC", "AGRI", "support", MARCH): Decimal("-0.15"),
    }
    assert await pipeline.audit() == []


async def test_late_usage_of_the_month_is_priced_as_corrected(pipeline: Pipeline, fixed: str):
    await pipeline.push("beta-north", [event("beta-north", "late", subject="EDA", quantity="50")])
    await pipeline.through()
    [row] = await pipeline.fetch("select amount from rating.charge where subject = 'EDA' and item = 'vm'")
    assert row["amount"] == Decimal("1.5")
    assert pipeline.json(*RERATE, fixed)["changes"] == []
    assert await pipeline.audit() == []


async def test_what_is_added_after_a_rerating_is_priced_as_agreed(pipeline: Pipeline, tmp_path):
    (applied,) = await pipeline.fetch("select file from contract.version order by version desc limit 1")
    more = tmp_path / "more.toml"
    more.write_text(
        applied["file"].replace(
            'price = "0.01"\nincrement = "10"',
            'price = "0.01"\nincrement = "10"\n[tariffs.prices.disk]\nmodel = "per_unit"\nprice = "0.5"',
        )
    )
    pipeline.command("contract", "apply", str(more))
    taken_up = 'plafond_contract_version{service="ingest"} 2.0'
    async with httpx.AsyncClient(trust_env=False) as client:
        while taken_up not in (await client.get(f"{pipeline.probes['ingest']}/metrics")).text:
            await asyncio.sleep(0.1)
    await pipeline.push("beta-north", [event("beta-north", "disk", item="disk", subject="EDA", quantity="4")])
    await pipeline.through()
    [row] = await pipeline.fetch("select amount from rating.charge where item = 'disk'")
    assert row["amount"] == 2
    assert await pipeline.audit() == []


async def test_both_prices_stay_explained(pipeline: Pipeline):
    found = pipeline.json("explain", "--provider", "beta-north", "ep")
    assert found["price"]["amount"] == "16"
    assert found["rerated"]["amount"] == "13"
    assert "priced again" in pipeline.command("explain", "--provider", "beta-north", "ep")
    assert pipeline.json("explain", "--provider", "beta-north", "late")["rerated"] is None
    assert pipeline.json("explain", "--provider", "beta-north", "traffic")["event"]["billed"] == "20"


async def test_an_open_month_is_corrected_in_itself_and_the_close_agrees(pipeline: Pipeline, fixed: str):
    found = pipeline.json("rerate", "--month", APRIL, "--contract", fixed, "--post")
    assert by_item(found) == {("EP", "vm"): ("0.6", "0.3"), ("EP", "support"): ("0.06", "0.03")}
    assert found["posted_on"] == [APRIL]
    await pipeline.through()
    assert await pipeline.audit() == []
    invoices = await pipeline.close(APRIL)
    assert await pipeline.audit() == []
    [ep] = [each.statement for each in invoices if each.statement.institution == "EP"]
    assert ep.exact == Decimal("-3.3") + Decimal("0.33")
    assert {each.statement.institution: each.document for each in invoices} == {
        "EP": "credit note", "EC": "credit note", "EDA": "invoice",
    }  # fmt: skip
    shown = {each["institution"]: each["document"] for each in pipeline.json("statement", APRIL)}
    assert shown == {each.statement.institution: each.document for each in invoices}
    number = next(each.number for each in invoices if each.statement.institution == "EP")
    assert pipeline.json("statement", APRIL, "--institution", "EP")[0]["document"] == "credit note"
    assert f"Credit note {number}" in pipeline.command("statement", APRIL, "--institution", "EP")
    assert f"of credit note {number}" in pipeline.command("explain", number, "--line", "1")


async def test_a_month_in_which_the_contract_does_not_run_is_told(pipeline: Pipeline, fixed: str):
    for words in (
        ["statement", "2015-12"], ["statement", "2019-01"], ["simulate", "--contract", fixed, "--from", "2018-12", "--to", "2019-01"],
        ["compare", "--lot", "2", "--institution", "EP", "--month", "2015-12"],
    ):  # fmt: skip
        assert "the contract does not run in 201" in pipeline.command(*words, status=1), words
    assert pipeline.json("statement", "2018-12") == []
    assert "nothing came late" in pipeline.command("close", "2019-01", status=1)


async def test_an_item_that_was_used_must_have_a_price(pipeline: Pipeline, tmp_path):
    path = tmp_path / "other.toml"
    traffic = '[tariffs.prices.traffic]\nmodel = "per_unit"\nprice = "0.01"\nincrement = "10"\n'
    assert traffic in FIXED
    path.write_text(SMALL + FIXED.replace(traffic, ""))
    said = pipeline.command(*RERATE, str(path), "--post", status=1)
    assert "tariffs[2/BETA].prices[traffic]: found nothing" in said
    assert await pipeline.audit() == []


async def test_what_the_other_suppliers_of_the_lot_would_have_cost(pipeline: Pipeline, tmp_path: Path):
    out = ["--out", str(tmp_path / "offers")]
    found = pipeline.json("compare", "--lot", "2", "--institution", "EP", "--month", MARCH, *out)
    assert found["as_used"]["amount"] == "14.5"  # 13 for machines, 0.2 for traffic, 1.3 for support
    lacks = [{"item": "traffic", "quantity": "12.5", "unit": "GiB"}]
    assert [
        (each["award"], each["amount"], each["difference"], each["missing"], each["complete"])
        for each in found["offers"]
    ] == [
        ("2/BETA", "14.5", "0", [], True),  # as re-rated
        ("2/ALPHA", "15", None, lacks, False),
    ]
    assert found["cheapest"] == ["2/BETA"]
    assert (tmp_path / "offers" / "comparison.csv").read_text().splitlines() == [
        "award,complete,cheapest,usage,promised,amount,as_used,difference,currency,missing,elsewhere",
        "2/BETA,yes,yes,14.5,0,14.5,14.5,0,EUR,,",
        "2/ALPHA,no,no,15,0,15,14.5,,EUR,traffic (12.5 GiB),",
    ]
    chart = ET.parse(tmp_path / "offers" / "comparison.svg")  # noqa: S314 our own file
    texts = [each.text for each in chart.iter("{http://www.w3.org/2000/svg}text")]
    note = "incomplete, not to be compared: lacks traffic (12.5 GiB)"
    assert {"2/BETA", "2/ALPHA", "14.50", "15.00", note} <= set(texts)
    said = pipeline.command("compare", "--lot", "2", "--institution", "EP", "--month", MARCH)
    assert "Cheapest complete offer: 2/BETA, 14.50 EUR. An incomplete offer is not for all that was used" in said
    assert "traffic (12.5" in said
    said = pipeline.command("compare", "--lot", "2", "--institution", "EP", "--month", "2016-07")
    assert "Nothing of this lot was used in the month: there is nothing to compare." in said
    assert "known: 1, 2" in pipeline.command("compare", "--lot", "9", "--institution", "EP", "--month", MARCH, status=2)
