"""Suppliers' invoices and providers' totals beside the books of running services.

The tests share one stack and build on each other, in the order they stand in.
"""

import csv
from pathlib import Path

from services import contract_store
from services.postgres import connect
from services.reconciliation.usage_record import Said, standings
from tests.pipeline import Pipeline, event

MARCH = "2016-03"


async def test_a_providers_totals_beside_what_was_taken(pipeline: Pipeline, tmp_path: Path):
    await pipeline.push(
        "beta-north",
        [
            event("beta-north", 1, quantity="150"),
            event("beta-north", 2, subject="EC/DIGIT", quantity="40"),
            event("beta-north", 3, item="unheard", quantity="7"),  # refused
            event("beta-north", 4, item="traffic", subject="EDA", quantity="10"),
            event("beta-north", 5, time="2016-04-02T10:00:00Z", quantity="1000"),  # another month
        ],
    )
    await pipeline.through()
    await pipeline.push("beta-north", [event("beta-north", 2, subject="EC/DIGIT", quantity="41")])  # a conflict
    await pipeline.through()
    totals = tmp_path / "totals.csv"
    totals.write_text("item,quantity,unit\nvm,190,HUR\ntraffic,10,GiB\n")
    assert await said(pipeline, "beta-north") is None, "a provider that never sent any is not asked for them"
    found = pipeline.json("reconcile-usage", "beta-north", str(totals), "--month", MARCH)
    rows = {row["item"]: row for row in found["rows"]}
    assert found["agrees"]
    assert rows["vm"]["refused"] == {"conflict": "41"}
    assert (rows["unheard"]["refused"], rows["unheard"]["state"]) == ({"unknown_item": "7"}, "agrees")
    assert await said(pipeline, "beta-north") is Said.AGREES
    assert await said(pipeline, "beta-south") is None
    assert await said(pipeline, "beta-north", "2016-04") is Said.NOT_SENT
    totals.write_text("item,subject,quantity\nvm,EP,150\nvm,EC,41\ntraffic,,10\nunheard,,7\n")
    found = pipeline.command("reconcile-usage", "beta-north", str(totals), "--month", MARCH, status=1)
    assert "2 of 4 totals differ" in found
    assert "41 conflict" in found
    assert await said(pipeline, "beta-north") is Said.DISAGREES
    assert "provider's totals" in pipeline.command("close", MARCH, "--check", status=1)


async def test_what_comes_after_a_comparison_makes_it_disagree(pipeline: Pipeline, tmp_path: Path):
    totals = tmp_path / "totals.csv"
    totals.write_text("item,quantity\nvm,190\ntraffic,10\n")
    pipeline.command("reconcile-usage", "beta-north", str(totals), "--month", MARCH)
    await pipeline.push("beta-north", [event("beta-north", 6, quantity="1")])
    await pipeline.through()
    assert await said(pipeline, "beta-north") is Said.DISAGREES
    refused = pipeline.command("reconcile-usage", "nobody", str(totals), "--month", MARCH, status=2)
    assert "found the provider 'nobody'; wanted one of the providers" in refused


async def test_a_suppliers_invoice_beside_the_books(pipeline: Pipeline, tmp_path: Path):
    await pipeline.close(MARCH)
    pipeline.command("invoices", "export", "--month", MARCH, "--out", str(tmp_path), status=1)  # EDA has no party
    statement = tmp_path / "suppliers" / "2" / "BETA.csv"
    rows = list(csv.DictReader(statement.open(newline="")))
    # EP: 100 x 0.06 + 51 x 0.05, EC: 40 x 0.06, traffic 10 x 0.09
    assert {row["item"]: row["amount"] for row in rows} == {"vm": "10.95", "traffic": "0.90"}
    mine = tmp_path / "B-1.csv"
    mine.write_text("invoice_number,supplier,item,quantity,unit,amount,currency\n"
                    "B-1,Beta consortium,vm,687600,SEC,10.95,EUR\nB-1,Beta consortium,traffic,10,GiB,0.90,EUR\n")  # fmt: skip
    words = ("reconcile", str(mine), "--month", MARCH)
    assert pipeline.json(*words, "--dry-run")["agrees"]
    found = pipeline.json(*words)
    assert (found["agrees"], found["awards"], found["invoiced"], found["expected"]) == (
        True,
        ["2/BETA"],
        "11.85",
        "11.85",
    )
    again = pipeline.json(*words)
    assert again["agrees"], "the same file counts once"
    assert "B-1 was reconciled on" in again["notes"][0]


async def test_a_second_invoice_and_a_number_used_twice_are_told(pipeline: Pipeline, tmp_path: Path):
    second = tmp_path / "second.csv"
    second.write_text("invoice_number,supplier,item,quantity,amount\nB-2,BETA,traffic,10,0.90\n")
    found = pipeline.json("reconcile", str(second), "--month", MARCH, status=1)
    assert found["parts"] == {"invoiced twice": "0.90"}
    assert found["rows"][0]["notes"] == ["invoiced before on B-1"]
    assert found["rows"][0]["invoiced_before"] == "0.90"
    credit = tmp_path / "credit.csv"
    credit.write_text("invoice_number,supplier,item,quantity,amount\nC-1,BETA,traffic,-10,-0.90\n")
    assert pipeline.json("reconcile", str(credit), "--month", MARCH)["agrees"], "which gives it back"
    second.write_text("invoice_number,supplier,item,quantity,amount\nB-1,BETA,vm,191,10.95\n")
    other = pipeline.json("reconcile", str(second), "--month", MARCH, "--dry-run", status=1)
    assert "with other contents under the same number" in other["problems"][0]


async def test_an_invoice_by_institution_and_one_of_an_open_month(pipeline: Pipeline, tmp_path: Path):
    mine = tmp_path / "april.csv"
    mine.write_text(
        "invoice_number,supplier,institution,item,quantity,amount\nB-9,BETA,European Parliament,vm,1000,46.00\n"
    )
    found = pipeline.json("reconcile", str(mine), "--month", "2016-04")  # 100 x 0.06 + 400 x 0.05 + 500 x 0.04
    assert [(row["institution"], row["category"]) for row in found["rows"]] == [("EP", "agrees")]
    late = tmp_path / "late.csv"
    late.write_text(
        "invoice_number,supplier,usage_month,item,quantity,amount\nB-10,BETA,2016-03,disk,1,1\nB-10,BETA,2016-03,vm,1,1\n"
    )
    found = pipeline.json("reconcile", str(late), "--month", "2016-04", "--dry-run", status=1)
    assert [each for each in found["notes"] if "is expected on" in each] == [
        "vm of 2016-03 is expected on the statement of 2016-03, there 10.95 EUR: see --month 2016-03"
    ]
    refused = pipeline.command("reconcile", str(mine), "--month", "2017-04", status=2)
    assert "nothing is expected for 2017-04" in refused


async def said(pipeline: Pipeline, provider: str, month: str = MARCH) -> Said | None:
    connection = await connect(pipeline.url)
    try:
        stored = await contract_store.newest(connection)
        assert stored is not None
        found = {each.provider: each for each in await standings(connection, stored.contract, month)}
        return found[provider].said if provider in found else None
    finally:
        await connection.close()
