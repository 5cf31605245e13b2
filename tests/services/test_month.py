"""A month's life on real servers: its checklist, an override on record, invoices that are parked, and closes when due."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from services.closing.run import MONTHS_DUE, MONTHS_HELD, close_what_is_due
from services.documents.month_files import MONTH_FILES
from services.postgres import connect, open_pool
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


async def killed_at(pipeline: Pipeline, table: str, *words: str) -> None:
    """Kill a command (SIGKILL) once it waits to write into a table."""
    connection = await connect(pipeline.url)
    try:
        async with connection.transaction():
            await connection.execute(f"lock table {table} in share row exclusive mode")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.cli", *words, env={**os.environ, **pipeline.environment},
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            async with asyncio.timeout(30):
                while not await connection.fetchval(_WAITS_FOR, table):
                    assert process.returncode is None, f"it has ended without writing into {table}"
                    await asyncio.sleep(0.05)
            process.kill()
            await process.wait()
    finally:
        await connection.close()


_WAITS_FOR = "select exists (select from pg_locks where relation = $1::text::regclass and not granted)"


async def test_a_close_and_an_export_that_are_killed_anywhere_leave_no_gap_and_no_double(
    pipeline: Pipeline, tmp_path: Path
):
    april = [(subject, f"april-{subject}") for subject in ("EP", "EDA", "EC/DIGIT")]
    await pipeline.push("alpha", [event("alpha", code, subject=who, quantity="50", **DUE) for who, code in april])
    await pipeline.through()
    before = await pipeline.fetch("select * from invoicing.series")
    for table in ("invoicing.month", "invoicing.series", "invoicing.invoice_line", "decisions.decision",
                  "invoicing.override", "invoicing.parked_document"):  # fmt: skip
        await killed_at(pipeline, table, "close", APRIL, "--override", "it is to be killed")
        assert not await pipeline.fetch("select from invoicing.invoice where month = $1", APRIL), table
        assert await pipeline.fetch("select * from invoicing.series") == before, table
    closed = pipeline.json("close", APRIL, "--override", "it was killed")
    numbers = [row["number"] for row in await pipeline.fetch("select number from invoicing.invoice order by number")]
    assert numbers == [f"SMALL-2016-{number:06}" for number in range(1, 6)]
    assert [each["number"] for each in closed] == numbers[2:]
    out = tmp_path / "out"
    words = ["invoices", "export", "--month", APRIL, "--out", str(out)]
    for table in ("invoicing.document", "invoicing.parked_document"):
        await killed_at(pipeline, table, *words)
    first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    pipeline.command(*words)
    pipeline.command(*words)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert first.items() <= after.items()
    assert {str(path.relative_to(out)) for path in after.keys() - first.keys()} == set(MONTH_FILES)
    assert len(await pipeline.fetch("select from invoicing.document where month = $1", APRIL)) == len(after)
    assert await pipeline.audit() == []


async def test_a_preview_is_never_numbered_and_keeps_nothing(pipeline: Pipeline, tmp_path: Path):
    may = {"quantity": "60", "time": "2016-05-30T10:00:00Z"}
    await pipeline.push(
        "alpha", [event("alpha", f"may-{who}", subject=who, **may) for who in ("EP", "EDA", "EC/DIGIT")]
    )
    await pipeline.through()
    before = await pipeline.fetch("select count(*) from invoicing.document")
    found = pipeline.json("invoices", "preview", "--month", MAY, "--out", str(tmp_path))
    assert {each["number"] for each in found["invoices"]} == {""}
    assert sorted(path.name for path in (tmp_path / "EP").iterdir()) == [
        f"pro-forma-{MAY}.{form}" for form in ("csv", "json", "pdf", "xlsx")
    ]
    said = json.loads((tmp_path / "EP" / f"pro-forma-{MAY}.json").read_text("utf-8"))
    shown = pipeline.json("statement", MAY, "--institution", "EP")[0]
    assert (said["number"], said["document"], said["due"]) == ("", "pro forma", None)
    assert (said["totals"]["net"], said["totals"]["tax"]) == (shown["total"], "0.63")
    assert await pipeline.fetch("select count(*) from invoicing.document") == before
    assert "is closed" in pipeline.command("invoices", "preview", "--month", MARCH, "--out", str(tmp_path), status=1)


async def test_what_is_due_is_closed_in_order_unless_something_holds_it(pipeline: Pipeline):
    assert await pipeline.fetch("select 1 from invoicing.month where closed_at is null") != []
    [may] = pipeline.json("close", "--due")
    assert (may["month"], len(may["invoices"])) == (MAY, 3)
    assert pipeline.json("close", "--due") == []
    assert "give --due alone" in pipeline.command("close", MAY, "--due", status=2)


async def test_a_contract_closes_its_months_itself_once_with_several_workers(pipeline: Pipeline, tmp_path: Path):
    contract = tmp_path / "itself.toml"
    itself = SMALL.replace("grace_days = 5", "grace_days = 5\ncloses_itself = true").replace(EDA, EDA + PARTY)
    contract.write_text(itself, "utf-8")
    pipeline.command("contract", "apply", str(contract))
    june = {"time": "2016-06-29T10:00:00Z"}
    await pipeline.push("alpha", [
        *(event("alpha", f"june-{who}", subject=who, quantity="50", **june) for who in ("EP", "EDA", "EC/DIGIT")),
        event("alpha", "june-odd", item="nothing", **june),
    ])  # fmt: skip
    await pipeline.through()
    pools = [await open_pool(pipeline.url, "test", size=1) for _ in range(3)]
    try:
        await close_what_is_due(pipeline.url, pools[0])
        assert (MONTHS_DUE.collect()[0].samples[0].value, MONTHS_HELD.collect()[0].samples[0].value) == (1, 1)
        await pipeline.push("alpha", [event("alpha", "june-odd", quantity="1", **june)])
        await pipeline.through()
        await asyncio.gather(*(close_what_is_due(pipeline.url, each) for each in pools))
        await close_what_is_due(pipeline.url, pools[0])
        assert (MONTHS_DUE.collect()[0].samples[0].value, MONTHS_HELD.collect()[0].samples[0].value) == (0, 0)
    finally:
        for pool in pools:
            await pool.close()
    assert len(await pipeline.fetch("select from decisions.decision where month = '2016-06'")) == 1
    assert await pipeline.audit() == []


async def test_what_holds_a_close_when_its_invoices_are_there_leaves_nothing_of_it(pipeline: Pipeline):
    july = {"time": "2016-07-29T10:00:00Z"}
    await pipeline.push("alpha", [event("alpha", "july", subject="EP", quantity="5000", **july)])
    await pipeline.through()
    before = await pipeline.fetch("select * from invoicing.series")
    refused = pipeline.command("close", "2016-07", status=1)
    assert "anomaly: institution EP" in " ".join(refused.split())
    assert not await pipeline.fetch("select from invoicing.month where month = '2016-07' and closed_at is not null")
    assert await pipeline.fetch("select * from invoicing.series") == before
    assert await pipeline.audit() == []
