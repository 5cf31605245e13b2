"""Reservations, minimums and prepaid credit on the invoices: what the stream comes to is what `plafond bill` does."""

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from services.contract.money import add
from services.invoicing.close import CloseError
from tests.conftest import SMALL
from tests.core.test_commitments import FEES, ITEMS, MINIMUMS, PREPAID, RESERVED
from tests.pipeline import Pipeline, event

MONTHS = ["2016-03", "2016-04", "2016-05"]
Lines = dict[tuple[str, ...], Decimal]
USED_UP = """
[[prepaid]]
award = "1/ALPHA"
item = "credit"
amount = "0.08"
payer = "EDA"
starts = 2016-05-01
ends = 2016-05-31
"""
CONTRACT = SMALL + ITEMS + RESERVED + FEES + MINIMUMS + PREPAID + USED_UP
SENT = {
    "beta-north": [
        event("beta-north", "ep", quantity="300"),
        event("beta-north", "digit", subject="EC/DIGIT", quantity="100", time="2016-04-02T10:00:00Z"),
    ],
    "alpha": [
        event("alpha", "reserved", quantity="200"),
        event("alpha", "disk", item="disk", subject="EC/AGRI", quantity="90"),
        event("alpha", "later", lot="1", subject="EDA", time="2016-05-03T10:00:00Z"),
    ],
}
LATE = event("beta-north", "late", subject="EDA", quantity="1000")


@pytest.fixture(scope="module")
def contract() -> str:
    return CONTRACT


def billed(pipeline: Pipeline, folder: Path, *more: bytes, until: str = MONTHS[-1]) -> Lines:
    (folder / "contract.toml").write_text(CONTRACT)
    (folder / "usage.jsonl").write_bytes(b"\n".join([*(each for sent in SENT.values() for each in sent), *more]))
    pipeline.json(
        "bill", "--contract", str(folder / "contract.toml"), "--usage", str(folder / "usage.jsonl"),
        "--out", str(folder / "billed"), "--until", until,
    )  # fmt: skip
    return lines(folder / "billed")


def lines(folder: Path) -> Lines:
    """Return what the statements below a folder come to, by month of use, institution and line."""
    found: Lines = defaultdict(lambda: Decimal(0))
    for path in folder.rglob("*.json"):
        statement = json.loads(path.read_text("utf-8"))
        for line in statement.get("lines", []):
            names = ("usage_month", "department", "pool", "award", "item")
            key = (statement["institution"], *(line[name] for name in names))
            found[key] = add(found[key], Decimal(line["exact_amount"]))
    return {key: amount for key, amount in found.items() if amount}


def credit_of_eda(folder: Path) -> list[tuple[Decimal, Decimal]]:
    """Return quantity and amount of what EDA's statements below a folder say of its credit."""
    made = [json.loads(path.read_text("utf-8")) for path in folder.rglob("EDA.json")]
    return [
        (Decimal(line["quantity"]), Decimal(line["amount"]))
        for each in made
        for line in each["lines"]
        if line["item"] == "credit" and line["award"] == "1/ALPHA"
    ]


async def test_a_dry_run_shows_months_in_which_only_promises_are_due(pipeline: Pipeline, tmp_path: Path):
    [later] = [each for each in SENT["alpha"] if b'"later"' in each]
    await pipeline.push("alpha", [later])
    await pipeline.through()
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT.replace('quantity = "1000", price = "0.03"', 'quantity = "1000", price = "0.02"'))
    moves = pipeline.json("contract", "apply", str(path), "--dry-run")["moves"]
    of_ep = [(each["month"], each["state"], each["difference"]) for each in moves if each["institution"] == "EP"]
    assert (MONTHS[0], "open", "-10") in of_ep
    assert {each["month"] for each in moves} == set(MONTHS), "May has the only usage so far"


async def test_statements_and_invoices_are_as_billed(pipeline: Pipeline, tmp_path: Path):
    for provider, sent in SENT.items():
        await pipeline.push(provider, sent)
    await pipeline.through()
    expected = billed(pipeline, tmp_path)
    assert expected["EP", "2016-03", "", "", "2/ALPHA", "vm"] == 30, "reserved: 6 used, 24 unused"
    assert expected["EP", "2016-03", "", "", "2/BETA", "short"] == 34, "50 less 16"
    assert expected["EDA", "2016-03", "", "", "2/ALPHA", "line"] == 5, "the fee of a line that nobody uses"
    pipeline.command("statement", MONTHS[0], "--out", str(tmp_path / "open"))
    march = {key: amount for key, amount in expected.items() if key[1] == MONTHS[0]}
    assert lines(tmp_path / "open") == march
    with pytest.raises(CloseError, match="2016-03 must be closed before 2016-04"):
        await pipeline.close(MONTHS[1])
    await pipeline.close(MONTHS[0])
    pipeline.command("statement", MONTHS[0], "--out", str(tmp_path / "closed"))
    assert lines(tmp_path / "closed") == march
    spent = await pipeline.spent()
    usage_since = Decimal("6.08")
    assert spent["contract small"] == sum(march.values()) + usage_since
    assert await pipeline.audit() == []


async def test_what_is_promised_counts_where_offers_are_compared(pipeline: Pipeline, tmp_path: Path):
    words = ["compare", "--lot", "2", "--institution", "EP", "--month", MONTHS[0]]
    found = pipeline.json(*words)
    due = billed(pipeline, tmp_path)
    mine = [
        amount for (*whose, _), amount in due.items() if whose[:4] == ["EP", MONTHS[0], "", ""] and whose[4][0] == "2"
    ]
    assert Decimal(found["as_used"]["amount"]) == sum(mine)
    offers = {each["award"]: (each["usage"], each["promised"]) for each in found["offers"]}
    assert offers["2/ALPHA"][0] == "15", "all 500 machines are within the 1000 that are reserved there"
    said = pipeline.command(*words)
    assert "Promised besides" in said
    assert "reserved and unused" in said


async def test_what_earlier_months_used_and_drew_counts_in_a_simulation(pipeline: Pipeline, tmp_path: Path):
    expected: Lines = defaultdict(lambda: Decimal(0))
    for (institution, month, *_), amount in billed(pipeline, tmp_path).items():
        expected[month, institution] = add(expected[month, institution], amount)
    other = tmp_path / "other.toml"
    other.write_text(CONTRACT.replace('amount = "40"', 'amount = "4"'))
    words = ["simulate", "--from", MONTHS[1], "--to", MONTHS[2], "--contract"]
    found = {(each["month"], each["institution"]): each for each in pipeline.json(*words, str(other))["months"]}
    assert {key: Decimal(each["now"]) for key, each in found.items()} == {
        key: amount for key, amount in expected.items() if key[0] in MONTHS[1:]
    }
    # A credit of 4 is used up in April, as one of 40 is not before May.
    assert {key for key, each in found.items() if each["difference"] != "0"} <= {(month, "EP") for month in MONTHS[1:]}
    alone = pipeline.json("simulate", "--from", MONTHS[2], "--contract", str(other))["months"]
    assert alone == [each for key, each in found.items() if key[0] == MONTHS[2]], "May is the same without April"


async def test_open_months_draw_a_credit_only_once(pipeline: Pipeline, tmp_path: Path):
    expected = billed(pipeline, tmp_path)
    for month in MONTHS[1:]:
        pipeline.command("statement", month, "--out", str(tmp_path / "open" / month))
    assert lines(tmp_path / "open") == {key: amount for key, amount in expected.items() if key[1] in MONTHS[1:]}
    used_up = [(-Decimal("0.08"), Decimal(0))]
    assert credit_of_eda(tmp_path / "billed") == credit_of_eda(tmp_path / "open") == used_up
    [open_may] = [
        each.statement for each in await pipeline.statements(MONTHS[2]) if each.statement.institution == "EDA"
    ]
    number = 1 + [line.key.item for line in open_may.lines if line.key.award == "1/ALPHA"].index("credit")
    explained = pipeline.json("explain", MONTHS[2], "--institution", "EDA", "--line", str(number))
    assert [each["amount"] for each in explained["parts"]] == ["-0.08", "0.08"]
    assert "the line says 0.00 EUR" in pipeline.command(
        "explain", MONTHS[2], "--institution", "EDA", "--line", str(number)
    )


async def test_late_usage_moves_what_was_short_and_drawn(pipeline: Pipeline, tmp_path: Path):
    await pipeline.push("beta-north", [LATE])
    await pipeline.through()
    for month in MONTHS[1:]:
        await pipeline.close(month)
    for month in MONTHS:
        pipeline.command("statement", month, "--out", str(tmp_path / "closed" / month))
    expected = billed(pipeline, tmp_path, LATE)
    assert ("EP", "2016-03", "", "", "2/BETA", "short") not in expected, "the late usage is above the minimum"
    assert lines(tmp_path / "closed") == expected
    assert await pipeline.audit() == []


async def test_a_month_without_usage_is_invoiced_what_was_promised(pipeline: Pipeline, tmp_path: Path):
    invoices = {each.statement.institution: each.statement for each in await pipeline.close("2016-06")}
    pipeline.command("statement", "2016-06", "--out", str(tmp_path / "closed"))
    expected = billed(pipeline, tmp_path, LATE, until="2016-06")
    assert lines(tmp_path / "closed") == {key: amount for key, amount in expected.items() if key[1] == "2016-06"}
    items = {(line.key.award, line.key.item, line.key.pool): line.amount for line in invoices["EP"].lines}
    assert items["2/ALPHA", "vm", ""] == 30
    assert items["2/ALPHA", "vm", "mail"] == 5, "half of what the pool reserved"
    assert items["2/ALPHA", "line", ""] == 5, "the fee that is due unused"
    assert items["2/BETA", "short", ""] == Decimal("16.67")
    with pytest.raises(CloseError, match="2016-07 must be closed before 2016-08"):
        await pipeline.close("2016-08")
    assert await pipeline.audit() == []


async def test_a_dry_run_shows_what_another_minimum_moves_in_closed_months(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT.replace('amount = "50"', 'amount = "56"'))
    moves = pipeline.json("contract", "apply", str(path), "--dry-run")["moves"]
    differences = {(each["month"], each["state"]): Decimal(0) for each in moves}
    for each in moves:
        differences[each["month"], each["state"]] += Decimal(each["difference"])
    # March had more than 56 in the end; July is the next to be closed.
    assert differences == {
        ("2016-04", "closed"): 6, ("2016-05", "closed"): 6, ("2016-06", "closed"): 6, ("2016-07", "open"): 6,
    }  # fmt: skip
    rows = await pipeline.fetch(
        "select institution, sum(line.amount) as amount from invoicing.invoice_line as line "
        "join invoicing.invoice using (number) where line.month = '2016-04' group by 1"
    )
    invoiced = {row["institution"]: row["amount"] for row in rows}
    april = {each["institution"]: Decimal(each["now"]) for each in moves if each["month"] == "2016-04"}
    assert april.items() <= invoiced.items(), "what is owed for April in all"
    assert "goes on the next invoice" in pipeline.command("contract", "apply", str(path), "--dry-run")


async def test_a_wrong_reservation_is_re_rated_also_where_nothing_was_used(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "fixed.toml"
    path.write_text(CONTRACT.replace('quantity = "1000", price = "0.03"', 'quantity = "1000", price = "0.02"'))
    assert "due unused in 2016-06" in pipeline.command("contract", "apply", str(path), status=1)
    words = ["rerate", "--month", "2016-06", "--contract", str(path)]
    shown = pipeline.json(*words)
    assert [(each["institution"], each["item"], each["difference"]) for each in shown["changes"]] == [
        ("EP", "vm", "-10")
    ]
    assert "due with the next close" in pipeline.command(*words, "--post")
    assert pipeline.json(*words, "--post")["changes"] == []
    invoices = {each.statement.institution: each.statement for each in await pipeline.close("2016-07")}
    june = {line.key.item: line.exact for line in invoices["EP"].lines if line.key.month == "2016-06"}
    assert june == {"vm": -10}
    assert await pipeline.audit() == []


async def test_a_reservation_may_not_be_added_to_months_that_are_closed(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "contract.toml"
    traffic = '[tariffs.prices.traffic]\nmodel = "per_unit"\nprice = "1"\nreserved = [{ payer = "EDA", quantity = "9", price = "1" }]\n'
    path.write_text(CONTRACT.replace(RESERVED, RESERVED + traffic))
    said = pipeline.command("contract", "apply", str(path), status=1)
    assert "something else that is due unused in 2016-03" in said


async def test_a_slip_in_a_re_rating_is_named(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT)
    words = ["rerate", "--contract", str(path), "--month"]
    assert "--award: found '9/X'" in pipeline.command(*words, "2016-03", "--award", "9/X", status=1)
    assert "a month of the contract" in pipeline.command(*words, "2015-01", status=1)


async def test_what_was_promised_can_not_vanish_from_the_contract(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "contract.toml"
    path.write_text(SMALL + ITEMS + RESERVED + FEES + MINIMUMS)
    assert "prepaid[2/BETA credit]" in pipeline.command("contract", "apply", str(path), status=1)
    path.write_text(CONTRACT.replace('"0.03" }', '"0.02" }'))
    assert "tariffs[2/ALPHA 2016-03-01].prices" in pipeline.command("contract", "apply", str(path), status=1)


async def test_the_contract_shows_what_was_promised(pipeline: Pipeline):
    said = pipeline.command("contract", "show")
    assert "Minimums, EUR" in said
    assert "Prepaid credit, EUR" in said
    assert "1000 reserved for EP at 0.03" in said
    shown = pipeline.json("contract", "show")
    assert [each["amount"] for each in shown["prepaid"]] == ["30", "40", "0.08"]
