"""Suppliers' invoices and providers' totals beside the books of running services.

The tests share one stack and build on each other, in the order they stand in.
"""

import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from services import contract_store
from services.postgres import connect
from services.reconciliation import record
from services.reconciliation.books import of_books
from services.reconciliation.identify import identify
from services.reconciliation.match import reconcile
from services.reconciliation.model import SupplierDocument, SupplierLine
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


async def test_a_mistyped_month_takes_nothing_out_of_the_memory(pipeline: Pipeline, tmp_path: Path):
    first, again = tmp_path / "q1.csv", tmp_path / "q2.csv"
    await pipeline.close("2016-04")
    rows = "invoice_number,supplier,institution,item,quantity,amount\n{0},BETA,EP,vm,1000,46.00\n"
    first.write_text(rows.format("Q-1"))
    again.write_text(rows.format("Q-2"))
    connection = await connect(pipeline.url)
    try:
        kept = "select month from reconciliation.document where number = 'Q-1' order by document"
        credit = tmp_path / "c9.csv"
        credit.write_text(rows.format("C-9").replace("1000,46", "-1000,-46"))  # takes B-9 of the test before back
        assert pipeline.json("reconcile", str(credit), "--month", "2016-04", status=1)
        assert pipeline.json("reconcile", str(first), "--month", "2016-04")["agrees"]
        wrong = pipeline.json("reconcile", str(first), "--month", MARCH, status=1)
        assert "Q-1 was reconciled on" in wrong["problems"][0]
        assert "for 2016-04, where it counts; it can't be for 2016-03, too, and is not kept" in wrong["problems"][0]
        assert [row["month"] for row in await connection.fetch(kept)] == ["2016-04"]
        found = pipeline.json("reconcile", str(again), "--month", "2016-04", "--dry-run", status=1)
        assert [(row["category"], row["notes"]) for row in found["rows"]] == [
            ("invoiced twice", ["invoiced before on B-9, Q-1; credited on C-9"])
        ]
        moved = pipeline.json("reconcile", str(first), "--month", MARCH, "--move-month", status=1)
        assert any("is moved: from now on it counts for 2016-03" in note for note in moved["notes"])
        assert [row["month"] for row in await connection.fetch(kept)] == ["2016-04", "2016-03"]
        assert pipeline.json("reconcile", str(again), "--month", "2016-04", "--dry-run")["agrees"]
        pipeline.json("reconcile", str(first), "--month", "2016-04", "--move-month")
    finally:
        await connection.close()


async def test_what_was_invoiced_in_another_currency_is_on_record(pipeline: Pipeline):
    connection = await connect(pipeline.url)
    try:
        stored = await contract_store.newest(connection)
        assert stored is not None
        books = of_books(stored.contract, MARCH, [each.statement for each in await pipeline.statements(MARCH)])
        document = SupplierDocument("d.csv", "D-1", False, "USD", (SupplierLine("line 2", "", Decimal(7), ("vm",)),))
        mine = identify(books, document, award="2/BETA")
        found = replace(reconcile(books, [replace(mine, document=replace(document, currency="EUR"))]), currency="USD")
        suppliers = {each.code: each.supplier for each in books.awards.values()}
        async with connection.transaction():
            await record.keep(connection, suppliers, found, [mine], {"d.csv": b"7"})
        other = identify(books, replace(document, number="E-1", currency="EUR"), award="2/BETA")
        claims = (await record.earlier(connection, suppliers, MARCH, [other], {"d.csv": b"7"})).claims
        assert [(each.document, each.net, each.currency) for each in claims if each.currency == "USD"] == [
            ("D-1", Decimal(7), "USD")
        ]
    finally:
        await connection.close()


async def test_awards_that_nobody_has_invoiced_are_listed(pipeline: Pipeline, tmp_path: Path):
    refused = pipeline.command("reconcile-missing", "--month", "2017-04", status=2)
    assert "nothing is expected for 2017-04" in refused
    await pipeline.push("alpha", [event("alpha", 1, lot="2", subject="EP", quantity="10", time="2016-05-02T10:00:00Z"),
                                  event("alpha", 2, lot="1", subject="EP", quantity="10", time="2016-05-02T10:00:00Z")])  # fmt: skip
    await pipeline.through()
    found = pipeline.json("reconcile-missing", "--month", "2016-05", status=1)
    assert {each["award"]: (each["invoices"], each["expected"], each["missing"]) for each in found["awards"]} == {
        "1/ALPHA": ([], "0.80", "0.80"), "2/ALPHA": ([], "0.50", "0.50"),
    }  # fmt: skip
    assert found["notes"] == ["2016-05 is not closed: compared with its statements as they stand"]
    half = tmp_path / "half.csv"
    half.write_text("invoice_number,supplier,award,month,item,quantity,amount\nA-1,Alpha,2/ALPHA,2016-05,vm,6,0.30\n")
    pipeline.json("reconcile", str(half), status=1)  # it tells its month itself
    found = pipeline.json("reconcile-missing", "--month", "2016-05", status=1)
    (_, second) = found["awards"]
    assert (second["invoices"], second["invoiced"], second["missing"]) == (["A-1"], "0.30", "0.20")
    assert [(row["item"], row["invoiced_quantity"], row["expected_quantity"]) for row in second["rows"]] == [
        ("vm", "6", "10")
    ]
    assert "1.00 EUR without VAT not invoiced" in pipeline.command("reconcile-missing", "--month", "2016-05", status=1)
    evil = tmp_path / "evil.csv"
    evil.write_text("invoice_number,supplier,award,item,quantity,amount\nE-1,Nobody Evil Ltd,1/ALPHA,vm,10,0.80\n")
    refused = pipeline.json("reconcile", str(evil), "--month", "2016-05", status=1)
    assert "the seller is Nobody Evil Ltd; 1/ALPHA is ALPHA's" in refused["problems"][0]
    assert any("E-1 is not kept" in note for note in refused["notes"])
    for number, lot, quantity, amount in (("A-2", "2", "4", "0.20"), ("A-3", "1", "10", "0.80")):
        half.write_text("invoice_number,supplier,award,item,quantity,amount\n"
                        f"{number},Alpha,{lot}/ALPHA,vm,{quantity},{amount}\n")  # fmt: skip
        assert pipeline.json("reconcile", str(half), "--month", "2016-05")["agrees"]
    assert pipeline.json("reconcile-missing", "--month", "2016-05")["complete"]


async def said(pipeline: Pipeline, provider: str, month: str = MARCH) -> Said | None:
    connection = await connect(pipeline.url)
    try:
        stored = await contract_store.newest(connection)
        assert stored is not None
        found = {each.provider: each for each in await standings(connection, stored.contract, month)}
        return found[provider].said if provider in found else None
    finally:
        await connection.close()
