"""Corrections by providers: both events stay, the difference counts once, whichever comes first."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services import contract_store
from services.postgres import connect
from tests.conftest import SMALL
from tests.pipeline import Pipeline, event

MARCH, APRIL = "2016-03", "2016-04"


@pytest.fixture(scope="module")
def contract() -> str:
    return SMALL.replace('price = "0.05"', 'price = "0.05"\nincrement = "1"', 1)  # 2/ALPHA's machines


def correction(provider: str, number: str, corrects: str, quantity: str, **more: str) -> bytes:
    return event(provider, number, quantity=quantity, **more).replace(
        b'"data"', b'"corrects": "%s", "data"' % corrects.encode()
    )


async def in_files(pipeline: Pipeline, folder: Path, sent: list[bytes]) -> Any:
    """Return what `plafond bill` makes of the same events, under the contract in force."""
    usage, terms = folder / "usage.jsonl", folder / "contract.toml"
    usage.write_bytes(b"\n".join(sent))
    [row] = await pipeline.fetch("select file from contract.version order by version desc limit 1")
    terms.write_text(row["file"])
    return pipeline.json("bill", "--contract", str(terms), "--usage", str(usage), "--out", str(folder / "bills"))


async def quantities(pipeline: Pipeline, month: str = MARCH) -> dict[tuple[str, str], Decimal]:
    rows = await pipeline.fetch(
        "select subject, award, sum(quantity) as quantity, sum(amount) as amount from rating.charge "
        "where month = $1 group by 1, 2", month,
    )  # fmt: skip
    return {(row["subject"], row["award"]): row["quantity"] for row in rows}


async def test_a_correction_replaces_what_came_before_it(pipeline: Pipeline):
    await pipeline.push(
        "beta-north", [event("beta-north", "a", quantity="100"), event("beta-north", "b", quantity="7")]
    )
    await pipeline.through()
    await pipeline.push("beta-north", [correction("beta-north", "a2", "a", "40")])
    await pipeline.through()
    assert (await quantities(pipeline))["EP", "2/BETA"] == 47
    await pipeline.push("beta-north", [correction("beta-north", "a2", "a", "40")])  # the same again costs nothing
    await pipeline.through()
    assert (await quantities(pipeline))["EP", "2/BETA"] == 47
    assert await pipeline.audit() == []


async def test_a_correction_may_be_corrected_and_a_second_one_of_the_same_is_refused(pipeline: Pipeline):
    await pipeline.push("beta-north", [
        correction("beta-north", "a3", "a2", "60.5"), correction("beta-north", "a4", "a", "1"),
        correction("beta-north", "b2", "b", "0"),
    ])  # fmt: skip
    await pipeline.through()
    assert (await quantities(pipeline))["EP", "2/BETA"] == Decimal("60.5")
    shown = pipeline.json("rejections", "list", "--reason", "corrected_already")
    assert [each["event_id"] for each in shown] == ["a4"]
    assert shown[0]["explanation"].endswith("correct its correction instead: a2")
    refused = pipeline.json("explain", "a4", "--provider", "beta-north")
    assert (refused["came_again"], len(refused["rejected"])) == ([], 1)
    assert await pipeline.audit() == []


async def test_a_correction_that_comes_first_waits_for_what_it_corrects(pipeline: Pipeline):
    await pipeline.push("alpha", [correction("alpha", "x2", "x", "2.5", subject="EDA")])
    await pipeline.through()
    assert (await quantities(pipeline))["EDA", "2/ALPHA"] == 3
    said = pipeline.command("explain", "x2", "--provider", "alpha")
    assert "corrects       x: no such event of alpha has been taken yet" in said
    await pipeline.push("alpha", [event("alpha", "x", quantity="10.5", subject="EC/DIGIT")])  # of somebody else
    await pipeline.through()
    assert (await quantities(pipeline))["EDA", "2/ALPHA"] == 3
    assert (await quantities(pipeline))["EC/DIGIT", "2/ALPHA"] == 0
    said = pipeline.command("explain", "x", "--provider", "alpha")
    assert "settled at the close: plafond explain 2016-03 --institution EC --line N" in said, "EC's departments share"
    assert await pipeline.audit() == []


async def test_both_in_one_batch_in_any_order(pipeline: Pipeline):
    await pipeline.push("alpha", [
        correction("alpha", "p2", "p", "4", subject="EC"), event("alpha", "p", quantity="9", subject="EC"),
        event("alpha", "q", quantity="9", subject="EC"), correction("alpha", "q2", "q", "5", subject="EC"),
        correction("alpha", "q3", "q", "6", subject="EC"),
    ])  # fmt: skip
    await pipeline.through()
    first = (await quantities(pipeline))["EC", "2/ALPHA"] - 4
    assert first in {5, 6}  # whichever of the two came first
    shown = pipeline.json("rejections", "list", "--reason", "corrected_already")
    assert {each["event_id"] for each in shown} == {"a4", "q3" if first == 5 else "q2"}
    assert await pipeline.audit() == []


async def test_corrections_in_a_circle_lose_no_usage(pipeline: Pipeline):
    before = (await quantities(pipeline))["EDA", "2/ALPHA"]
    await pipeline.push("alpha", [correction("alpha", "z1", "z2", "20", subject="EDA")])
    await pipeline.through()
    await pipeline.push("alpha", [correction("alpha", "z2", "z1", "30", subject="EDA")])
    await pipeline.through()
    assert (await quantities(pipeline))["EDA", "2/ALPHA"] - before == 20
    ring = ["o1", "o2", "o3"]
    await pipeline.push("alpha", [
        correction("alpha", each, ring[number - 1], "50", subject="EDA") for number, each in enumerate(ring)
    ])  # fmt: skip
    await pipeline.through()
    assert (await quantities(pipeline))["EDA", "2/ALPHA"] - before == 70
    shown = pipeline.json("rejections", "list", "--reason", "correction_circle")
    refused, z2 = (each["event_id"] for each in shown)
    assert (refused in ring, z2) == (True, "z2")
    assert shown[1]["explanation"].endswith("neither would count; correct that under a new id: z1")
    assert pipeline.json("explain", "z2", "--provider", "alpha")["came_again"] == []
    await pipeline.push("alpha", [correction("alpha", "z3", "z1", "30", subject="EDA")])  # as it was told
    await pipeline.through()
    assert (await quantities(pipeline))["EDA", "2/ALPHA"] - before == 80
    assert await pipeline.audit() == []


async def test_a_closed_month_is_corrected_on_the_next_invoice(pipeline: Pipeline):
    await pipeline.close(MARCH)
    await pipeline.push("beta-north", [
        correction("beta-north", "a5", "a3", "10.5"), event("beta-north", "april", time="2016-04-03T10:00:00Z"),
    ])  # fmt: skip
    await pipeline.through()
    lines = {
        (each.statement.institution, line.key.month): line.quantity
        for each in await pipeline.statements(APRIL)
        for line in each.statement.lines
    }
    assert lines == {("EP", MARCH): Decimal(-50), ("EP", APRIL): Decimal(1)}
    assert await pipeline.audit() == []


async def test_the_event_and_its_correction_tell_of_each_other(pipeline: Pipeline):
    assert pipeline.json("explain", "a", "--provider", "beta-north")["corrected_by"] == "a2"
    taken = pipeline.json("explain", "a", "--provider", "beta-north")["taken_back"]
    # a and b stood at 107; a2 added 40; 100 were taken back from 147, which cost 6 + 47 x 0.05, to 47, at 0.06.
    assert (taken["by"], taken["quantity"], taken["meter_before"], taken["meter_after"]) == ("a2", "-100", "147", "47")
    assert taken["amount"] == "-5.53"
    added = pipeline.json("explain", "a2", "--provider", "beta-north")["price"]
    [row] = await pipeline.fetch("select sum(amount) as amount from rating.charge join rating.batch using (batch_no) "
                                 "where batch = $1", taken["batch"])  # fmt: skip
    assert row["amount"] == Decimal(added["amount"]) + Decimal(taken["amount"]), "what its batch was charged"
    found = pipeline.json("explain", "a2", "--provider", "beta-north")
    assert (found["corrects"], found["corrected_by"]) == ("a", "a3")
    said = pipeline.command("explain", "a", "--provider", "beta-north")
    assert "corrected by   a2: it counts nothing itself" in said
    assert "taken back     -5.53 EUR, in batch" in said
    assert "taken back since: a2 counts in its stead" in said
    [share] = found["payers"]
    assert (share["invoice_month"], share["is_closed"]) == (MARCH, True)


async def test_files_come_to_the_same(pipeline: Pipeline, tmp_path):
    sent = [
        correction("beta-north", "a2", "a", "40"), event("beta-north", "a", quantity="100"),
        correction("beta-north", "a3", "a2", "60.5"), correction("beta-north", "a4", "a", "1"),
        event("beta-north", "b", quantity="7"), correction("beta-north", "b2", "b", "0"),
    ]  # fmt: skip
    found = await in_files(pipeline, tmp_path, sent)
    assert found["rejected"] == {"corrected_already": 1}, found
    assert found["statements"][0]["exact_total"] == "3.63"  # 60.5 x 0.06


async def test_what_is_too_late_can_t_be_taken_back_either(pipeline: Pipeline):
    """Usage of 2018 is taken, usage of 2016 and what corrects it is not, from the version with `late_days` on."""
    days = (datetime.now(UTC).date() - date(2018, 6, 15)).days
    [row] = await pipeline.fetch("select file from contract.version order by version desc limit 1")
    text = row["file"].replace("grace_days = 5", f"grace_days = 5\nlate_days = {days}")
    connection = await connect(pipeline.url)
    try:
        stored = await contract_store.apply(connection, text)
    finally:
        await connection.close()
    await pipeline.taken_up("ingest", stored.version)
    when = "2018-12-01T10:00:00Z"
    await pipeline.push("beta-north", [
        event("beta-north", "late", time="2016-05-03T10:00:00Z"), correction("beta-north", "april2", "april", "0", time=when),
        event("beta-north", "new", quantity="5", time=when), correction("beta-north", "new2", "new", "3", time=when),
    ])  # fmt: skip
    await pipeline.through()
    assert (await quantities(pipeline, APRIL))["EP", "2/BETA"] == 1
    assert (await quantities(pipeline, "2018-12"))["EP", "2/BETA"] == 3
    shown = {each["event_id"]: each for each in pipeline.json("rejections", "list", "--reason", "too_late")}
    assert set(shown) == {"late", "april2"}
    assert "it corrects april of 2016-04-03T10:00:00+00:00, received at" in shown["april2"]["explanation"]
    assert '"april2"' in shown["april2"]["payload"]
    assert await pipeline.audit() == []


@pytest.mark.parametrize("order", [1, -1])
async def test_what_corrects_refused_usage_counts_as_any_usage_as_in_files(
    pipeline: Pipeline, tmp_path: Path, order: int
):
    """Usage of 2016 is refused, whichever comes first: nothing of it can be taken back."""
    month = {1: "2018-10", -1: "2018-11"}[order]
    sent = [
        event("beta-north", f"old{month}", quantity="9", time="2016-05-03T10:00:00Z"),
        correction("beta-north", f"fixed{month}", f"old{month}", "4", time=f"{month}-02T10:00:00Z"),
    ][::order]  # fmt: skip
    for each in sent:
        await pipeline.push("beta-north", [each])
        await pipeline.through()
    assert (await quantities(pipeline, month)) == {("EP", "2/BETA"): 4}
    refused = [each["event_id"] for each in pipeline.json("rejections", "list", "--reason", "too_late")]
    assert f"old{month}" in refused
    assert f"fixed{month}" not in refused
    found = await in_files(pipeline, tmp_path, sent)
    assert (found["rejected"], found["statements"][0]["exact_total"]) == ({"too_late": 1}, "0.24")
    assert await pipeline.audit() == []
