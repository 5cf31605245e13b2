"""Credit notes, invoices issued anew and disputes: through the ledger, the documents and the audit."""

import asyncio
import csv
import json
import os
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.documents.files import FORMS
from services.invoicing.credit import Asked, CreditError, credit
from services.postgres import connect
from tests.conftest import SMALL
from tests.pipeline import Pipeline, event
from tests.rules import rules

MARCH, APRIL, MAY = "2016-03", "2016-04", "2016-05"
IN_APRIL = {"time": "2016-04-02T10:00:00Z"}
D = Decimal
EC, EDA, EP = (f"SMALL-2016-{index:06}" for index in (1, 2, 3))
DOLLARS = """
[invoices]
credit_series = "SMALL-CN"

[[rates]]
currency = "USD"
month = "2016-01"
rate = "1.25"
[[tariffs]]
award = "2/ALPHA"
valid_from = 2016-02-01
currency = "USD"
rate = "latest"
[tariffs.prices.vm]
model = "per_unit"
price = "0.05"
"""


def note(index: int) -> str:
    return f"SMALL-CN-2016-{index:06}"


@pytest.fixture(scope="module")
def contract() -> str:
    return SMALL + DOLLARS


async def push(pipeline: Pipeline, *events: bytes) -> None:
    await pipeline.push("beta-north", events)
    await pipeline.through()


def credit_line(pipeline: Pipeline, number: str, line: int, *more: str) -> Any:
    return pipeline.json("invoice", "credit", number, "--line", str(line), "--reason", "It stood still", *more)


async def test_a_line_is_credited_once_and_the_rest_after_it(pipeline: Pipeline):
    await pipeline.push("alpha", [event("alpha", "dollars", quantity="40")])
    await push(
        pipeline,
        event("beta-north", "1", quantity="150"), event("beta-north", "2", item="traffic", quantity="10"),
        event("beta-north", "3", subject="EDA", quantity="1000"), event("beta-north", "4", subject="pool/mail", quantity="50"),
        event("beta-north", "5", subject="EC/DIGIT", quantity="7"),
    )  # fmt: skip
    assert [each.number for each in await pipeline.close(MARCH)] == [EC, EDA, EP]
    spent = await pipeline.spent()
    before = pipeline.json("invoice", "show", EP)
    lines = {(each["item"], each["pool"], each["award"]): each for each in before["lines"]}
    own = lines["vm", "", "2/BETA"]
    made = credit_line(pipeline, EP, own["line"])
    assert (made["number"], made["document"], made["corrects"]) == (note(1), "credit note", EP)
    assert (made["total"], made["borne_by"], made["reason"]) == ("-8.50", "coordinator", "It stood still")
    after = pipeline.json("invoice", "show", EP)
    assert [each["credited_by"] for each in after["lines"]].count(note(1)) == 1
    assert (after["total"], D(after["left"])) == (before["total"], D(before["total"]) - D("8.50"))
    again = ("--line", str(own["line"]), "--reason", "Again")
    assert f"is credited already, by {note(1)}" in pipeline.command("invoice", "credit", EP, *again, status=1)
    assert "has no line 9" in pipeline.command("invoice", "credit", EP, "--line", "9", "--reason", "x", status=1)
    assert "no invoice 'X-1'" in pipeline.command("invoice", "credit", "X-1", "--reason", "x", status=1)
    assert "takes lines of" in pipeline.command("invoice", "credit", note(1), "--reason", "x", status=1)
    assert "in one line" in pipeline.command("invoice", "credit", EP, "--reason", "a\nb", status=2)
    rest = pipeline.json("invoice", "credit", EP, "--reason", "The service was down", "--borne-by", "supplier")
    assert D(rest["total"]) == -D(after["left"])
    assert "all lines of" in pipeline.command("invoice", "credit", EP, "--reason", "x", status=1)
    now = await pipeline.spent()
    assert now["institution EP"] == 0, "of a budget, what the institution owes counts"
    by_supplier = D(rest["exact_total"])
    assert now["contract small"] == spent["contract small"] + by_supplier, "of a ceiling, what suppliers are owed"
    assert now["lot 2"] == spent["lot 2"] + by_supplier
    assert await pipeline.audit() == []


async def test_the_line_of_a_credit_note_is_explained_by_what_it_takes_back(pipeline: Pipeline):
    found = pipeline.json("explain", note(1), "--line", "1")
    assert (found["invoice"], found["item"], found["exact_amount"]) == (EP, "vm", "8.5")
    assert (found["issued"]["amount"], found["issued"]["reason"]) == ("-8.50", "It stood still")
    assert [(each["number"], each["amount"]) for each in found["credits"]] == [(note(1), "-8.50")]
    said = pipeline.command("explain", note(1), "--line", "1")
    assert f"Line 1 of credit note {note(1)}, -8.50 EUR, takes back what follows; the coordinator bears it" in said
    assert "has no line 2" in pipeline.command("explain", note(1), "--line", "2", status=1)
    assert note(1) in pipeline.command("invoice", "show", EP)


async def test_an_invoice_with_wrong_data_is_taken_back_and_issued_anew(pipeline: Pipeline, tmp_path: Path):
    spent = await pipeline.spent()
    row = "2, rue de l'Exemple"
    mended = (SMALL + DOLLARS).replace('"Rue de l\'Exemple 2"', '"Rue de la Loi 1"')
    assert row in mended
    (tmp_path / "mended.toml").write_text(mended, "utf-8")
    pipeline.command("invoices", "export", "--month", MARCH, "--out", str(tmp_path / "before"), status=1)
    pipeline.command("contract", "apply", str(tmp_path / "mended.toml"))
    taken, anew = pipeline.json("invoice", "reissue", EC, "--reason", "The address was wrong.")
    assert (taken["number"], taken["corrects"], taken["borne_by"]) == (note(3), EC, "nobody")
    assert (anew["number"], anew["anew"], anew["document"]) == ("SMALL-2016-000004", note(3), "invoice")
    assert D(anew["total"]) == -D(taken["total"]) > 0
    assert await pipeline.spent() == spent
    said = pipeline.command("invoice", "reissue", note(3), "--reason", "x", status=1)
    assert "is issued again already, as SMALL-2016-000004" in said
    pipeline.command("invoices", "export", "--month", MARCH, "--out", str(tmp_path / "after"), status=1)
    folder = tmp_path / "after" / "EC"
    for name in (EC, note(3), "SMALL-2016-000004"):
        assert rules().findings((folder / f"{name}.xml").read_bytes()) == []
    streets = {path.stem: json.loads(path.read_text())["buyer"]["address"]["street"] for path in folder.glob("*.json")}
    assert streets == {EC: "Rue de l'Exemple 2", note(3): "Rue de l'Exemple 2", "SMALL-2016-000004": "Rue de la Loi 1"}
    document = json.loads((folder / "SMALL-2016-000004.json").read_text())
    assert [each["number"] for each in document["preceding"]] == [EC, note(3)]
    assert document["note"].startswith(f"Replaces {EC}, which {note(3)} took back: The address was wrong. Charges for")
    for path in (tmp_path / "before" / "EC").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    focus = (tmp_path / "after" / "focus-1.2.csv").read_text()
    assert all(f",{name}," in focus for name in (EC, note(3), "SMALL-2016-000004"))
    explained = pipeline.json("explain", "SMALL-2016-000004", "--line", "1")
    assert [each["number"] for each in explained["credits"]] == [note(3), "SMALL-2016-000004"]
    assert await pipeline.audit() == []


async def test_the_documents_of_credit_notes_say_what_they_correct_and_why(pipeline: Pipeline, tmp_path: Path):
    pipeline.command("invoices", "export", "--month", MARCH, "--out", str(tmp_path), status=1)
    whole = json.loads((tmp_path / "EP" / f"{EP}.json").read_text())["totals"]
    notes = [json.loads((tmp_path / "EP" / f"{note(index)}.json").read_text()) for index in (1, 2)]
    for part in ("net", "tax", "payable"):
        assert sum(D(each["totals"][part]) for each in notes) == D(whole[part]), "21 % of parts comes to the same cent"
    for index in (1, 2):
        assert rules().findings((tmp_path / "EP" / f"{note(index)}.xml").read_bytes()) == []
    xml = (tmp_path / "EP" / f"{note(1)}.xml").read_text()
    assert f"<cac:InvoiceDocumentReference><cbc:ID>{EP}</cbc:ID><cbc:IssueDate>" in xml
    assert f"<cbc:Note>Annule des lignes de {EP} : It stood still. Montants dus" in xml
    rows = list(csv.DictReader((tmp_path / "EP" / f"{note(1)}.csv").read_text().splitlines()))
    assert [(each["amount"], each["preceding"], each["reason"]) for each in rows] == [("8.50", EP, "It stood still")]
    expected = tmp_path / "suppliers" / "2" / "BETA" / f"{note(2)}.csv"
    lines = list(csv.DictReader(expected.read_text().splitlines()))
    assert all(D(each["amount"]) < 0 for each in lines)
    assert not (expected.parent / f"{note(1)}.csv").exists(), "the coordinator bears it"
    dollars = list(csv.DictReader((tmp_path / "suppliers" / "2" / "ALPHA" / f"{note(2)}.csv").read_text().splitlines()))
    assert [(each["price_currency"], each["price_amount"], each["amount"]) for each in dollars] == [
        ("USD", "-2", "-1.60")
    ]
    shown = pipeline.json("invoice", "show", note(1))
    assert {each["file"] for each in shown["documents"]} == {f"EP/{note(1)}.{form}" for form in FORMS}


async def test_disputes_are_opened_ended_and_kept(pipeline: Pipeline):
    opened = pipeline.json("invoice", "dispute", EDA, "--line", "1", "--reason", "We have no such machine")
    assert (opened["dispute"], opened["state"], opened["opened_by"]) == (1, "open", "plafond")
    assert "disputed already, by dispute 1" in pipeline.command(
        "invoice", "dispute", EDA, "--line", "1", "--reason", "x", status=1
    )
    assert "credited already" in pipeline.command("invoice", "dispute", EP, "--line", "1", "--reason", "x", status=1)
    assert "has no line 7" in pipeline.command("invoice", "dispute", EDA, "--line", "7", "--reason", "x", status=1)
    pipeline.command("invoice", "settle-dispute", "1", "--note", "x", status=2)
    pipeline.command("invoice", "settle-dispute", "1", "--rejected", "--credit", "--note", "x", status=2)
    ended = pipeline.json("invoice", "settle-dispute", "1", "--rejected", "--note", "Machine 12 ran all month")
    assert (ended["state"], ended["outcome"], ended["credit_note"]) == ("rejected", "Machine 12 ran all month", None)
    assert "was rejected already" in pipeline.command(
        "invoice", "settle-dispute", "1", "--accepted", "--note", "x", status=1
    )
    assert pipeline.json("invoice", "dispute", EDA, "--line", "2", "--reason", "Not our pool")["dispute"] == 2
    words = ("2", "--accepted", "--credit", "--borne-by", "supplier", "--note", "Metered twice")
    settled = pipeline.json("invoice", "settle-dispute", *words)
    assert settled["credit_note"] == note(4)
    assert pipeline.json("invoice", "show", note(4))["reason"] == "Metered twice"
    assert [each["state"] for each in pipeline.json("invoice", "disputes")] == ["rejected", "accepted"]
    assert pipeline.json("invoice", "disputes", "--open") == []
    assert "Metered twice" in pipeline.command("invoice", "show", EDA)
    assert await pipeline.audit() == []


async def test_what_was_credited_is_neither_charged_again_nor_given_back_twice(pipeline: Pipeline, tmp_path: Path):
    """EP's 8.50 of March were credited: more use is charged, less use is set off, and a credit taken back counts again."""
    await push(
        pipeline,
        event("beta-north", "less", quantity="-100"), event("beta-north", "traffic", item="traffic", quantity="100"),
        event("beta-north", "april", quantity="1", **IN_APRIL),
    )  # fmt: skip
    [mine] = pipeline.json("statement", APRIL, "--institution", "EP")
    lines = {(each["item"], each["usage_month"], each["pool"]): each for each in mine["lines"]}
    assert lines["vm", MARCH, ""]["amount"] == "0.00", "5.50 less is due, and 8.50 were credited"
    assert lines["traffic", MARCH, ""]["amount"] == "9.00", "what is used beside what was credited is charged"
    pipeline.command("invoices", "preview", "--month", APRIL, "--out", str(tmp_path / "preview"))
    await pipeline.close(APRIL)
    [issued] = pipeline.json("statement", APRIL, "--institution", "EP")
    assert [each for each in issued["lines"] if each["usage_month"] == MARCH] == [
        each for each in mine["lines"] if each["usage_month"] == MARCH
    ]
    assert await pipeline.audit() == []
    place = 1 + [(each["item"], each["usage_month"], each["pool"]) for each in issued["lines"]].index(("vm", MARCH, ""))
    explained = pipeline.json("explain", issued["number"], "--line", str(place))
    assert [(each["what"], each["amount"]) for each in explained["parts"][-2:]] == [
        (f"less what invoice {EP} of {MARCH} had", "-8.5"),
        ("set off, since it was credited already, borne by the coordinator", "5.5"),
    ]
    pipeline.command("invoices", "export", "--month", APRIL, "--out", str(tmp_path))
    preview = json.loads((tmp_path / "preview" / "EP" / f"pro-forma-{APRIL}.json").read_text())
    invoice = json.loads((tmp_path / "EP" / f"{issued['number']}.json").read_text())
    for part in ("spent", "months", "last", "totals", "lines"):
        assert preview[part] == invoice[part], part
    assert invoice["months"][0] == {"month": MARCH, "total": "0.00"}, "all of March was credited"
    expected = list(csv.DictReader((tmp_path / "suppliers" / "2" / "BETA.csv").read_text().splitlines()))
    assert [each["amount"] for each in expected if (each["item"], each["usage_month"]) == ("vm", MARCH)] == ["-5.50"], (
        "what is set off is between the coordinator and the institution"
    )
    rows = list(csv.DictReader((tmp_path / "EP" / f"{issued['number']}.csv").read_text().splitlines()))
    assert [each["set_off"] for each in rows if (each["item"], each["month"]) == ("vm", MARCH)] == ["5.50"]
    pipeline.json("invoice", "reissue", note(1), "--reason", "It did run")
    await push(pipeline, event("beta-north", "may", quantity="1", time="2016-05-02T10:00:00Z"))
    await pipeline.close(MAY)
    [may] = pipeline.json("statement", MAY, "--institution", "EP")
    amounts = {(each["item"], each["usage_month"]): each["amount"] for each in may["lines"]}
    assert amounts == {("vm", MARCH): "-5.50", ("vm", MAY): "0.06"}, "8.50 are charged again, of which 3.00 are due"
    pipeline.command("invoices", "export", "--month", MAY, "--out", str(tmp_path))
    assert may["document"] == "credit note"
    assert rules().findings((tmp_path / "EP" / f"{may['number']}.xml").read_bytes()) == []
    document = json.loads((tmp_path / "EP" / f"{may['number']}.json").read_text())
    assert [each["number"] for each in document["preceding"]] == [EP], "the month that is adjusted"
    assert await pipeline.audit() == []


async def test_a_line_that_was_adjusted_is_not_credited_for_more_than_is_left(pipeline: Pipeline):
    await push(pipeline, event("beta-north", "eda-less", subject="EDA", quantity="-900", time="2016-03-02T10:00:00Z"),
               event("beta-north", "june", quantity="1", time="2016-06-02T10:00:00Z"))  # fmt: skip
    invoices = {each.statement.institution: each for each in await pipeline.close("2016-06")}
    adjusting = invoices["EDA"]
    assert adjusting.document == "credit note", "less than nothing is due in all"
    assert adjusting.number == note(6), "May's was one, too"
    said = pipeline.command("invoice", "credit", EDA, "--line", "1", "--reason", "x", status=1)
    assert f"{adjusting.number} gave back 40 of it; credit that adjustment first" in " ".join(said.split())
    turned = pipeline.json("invoice", "credit", adjusting.number, "--reason", "With line 1")
    assert (turned["document"], turned["total"]) == ("invoice", "40.00"), "to take back a credit note is to charge"
    made = credit_line(pipeline, EDA, 1)
    assert D(made["total"]) == -D("46.00")
    assert await pipeline.audit() == []


async def _credited(url: str, number: str, line: int) -> str:
    connection = await connect(url)
    try:
        return await credit(connection, Asked(number, (line,), "At once"))
    except CreditError:
        return ""
    finally:
        await connection.close()


async def test_credits_and_a_close_at_once_leave_no_gap_and_no_double(pipeline: Pipeline):
    items = [event("beta-north", f"july-{who}-{item}", subject=who, item=item, time="2016-07-02T10:00:00Z")
             for who in ("EP", "EDA", "EC/DIGIT", "EC/AGRI", "EC") for item in ("vm", "traffic")]  # fmt: skip
    await push(pipeline, *items)
    numbers = [each.number for each in await pipeline.close("2016-07")]
    await push(pipeline, event("beta-north", "august", time="2016-08-02T10:00:00Z"))
    asked = [(number, line) for number in numbers for line in (1, 2)] * 3
    made, _ = await asyncio.gather(
        asyncio.gather(*(_credited(pipeline.url, *each) for each in asked)), pipeline.close("2016-08")
    )
    given = [each for each in made if each]
    assert len(given) == len(set(given)) == len(set(asked)), "each line once"
    assert len(given) == 6
    last = min(given).rpartition("-")[2]
    assert sorted(given) == [note(int(last) + index) for index in range(6)]
    assert await pipeline.audit() == []


async def test_a_credit_that_is_killed_has_not_happened(pipeline: Pipeline):
    """All is written but the decision, for which another waits: then the command is killed, and tried again."""
    [number] = [each.number for each in await pipeline.statements("2016-08")]
    words = ["invoice", "reissue", number, "--reason", "Killed"]
    waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted"

    async def books() -> list[Any]:
        tables = ("credit_note", "reissue", "entry", "posting", "series", "spent")
        rows = "select to_jsonb(each)::text from invoicing.{} as each order by 1"
        return [await pipeline.fetch(rows.format(table)) for table in tables]

    async def waiting(wanted: int) -> None:
        async with asyncio.timeout(30):
            while (await pipeline.fetch(waits))[0]["count"] != wanted:
                await asyncio.sleep(0.05)

    before = await books()
    held = await connect(pipeline.url)
    async with held.transaction():
        await held.execute("select pg_advisory_xact_lock(hashtext('decision'))")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", *words, env={**os.environ, **pipeline.environment}
        )
        await waiting(1)
        process.kill()
        assert await process.wait() == -signal.SIGKILL
    await waiting(0)
    await held.close()
    assert await books() == before
    last = {row["series"]: row["last"] for row in await pipeline.fetch("select series, last from invoicing.series")}
    numbers = [f"{series}-{last[series] + 1:06}" for series in ("SMALL-CN-2016", "SMALL-2016")]
    assert [each["number"] for each in pipeline.json(*words)] == numbers
    assert await pipeline.audit() == []
