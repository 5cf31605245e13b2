"""Every line of every statement comes apart into what adds up to it: open, closed, and after all that comes later."""

import csv
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services import contract_store
from services.audit.explain_line import explain_line
from services.audit.parts import UnexplainedError
from services.contract.money import add, total
from services.invoicing.read import statements_of
from services.postgres import connect
from tests.conftest import SMALL
from tests.core.test_commitments import ITEMS
from tests.pipeline import Pipeline, event
from tests.services.test_corrections import correction

MARCH, APRIL, MAY = "2016-03", "2016-04", "2016-05"
FEES = """
[[items]]
code = "support"
name = "Support"
unit = "EUR"

[[items]]
code = "care"
name = "Care for all"
unit = "EUR"

[[rates]]
currency = "USD"
month = "2016-01"
rate = "1.0920"
"""
PROMISES = """
[[minimums]]
award = "2/BETA"
item = "short"
amount = "100"
per = "month"
starts = 2016-03-01

[[minimums]]
award = "1/ALPHA"
item = "short"
amount = "90"
per = "month"
payer = "EDA"
starts = 2016-04-01

[[prepaid]]
award = "2/BETA"
item = "credit"
amount = "70"
cost = "65"
starts = 2016-03-01
ends = 2016-05-31

[[prepaid]]
award = "2/ALPHA"
item = "credit"
amount = "7"
payer = "EP"
starts = 2016-03-01
ends = 2016-12-31
"""
PRICES = """
[[tariffs]]
award = "2/BETA"
valid_from = 2016-03-01
[tariffs.prices.vm]
model = "graduated"
percent_of_list = "50"
free = "10"
tiers = [{ up_to = "100", price = "0.12" }, { price = "0.10", fee = "4" }]
[tariffs.prices.traffic]
model = "graduated"
scope = "contract"
tiers = [{ up_to = "100", price = "0.09" }, { price = "0.07" }]
[tariffs.prices.support]
model = "percentage"
percent = "3"
scope = "contract"
floor = "7"
[tariffs.prices.care]
model = "percentage"
percent = "1.5"
of = ["vm", "support"]
cap = "0.3"

[[indexation]]
award = "2/BETA"
valid_from = 2016-04-01
percent = "1.5"

[[tariffs]]
award = "2/ALPHA"
valid_from = 2016-03-01
[tariffs.prices.vm]
model = "per_unit"
price = "0.05"
increment = "1"
reserved = [{ payer = "EP", quantity = "300", price = "0.03" }, { payer = "pool/mail", quantity = "10", price = "0.04" }]
[tariffs.prices.disk]
model = "package"
scope = "contract"
size = "7"
price = "1"
reserved = [{ quantity = "50", price = "0.02" }]

[[tariffs]]
award = "1/ALPHA"
valid_from = 2016-04-01
currency = "USD"
rate = "latest"
[tariffs.prices.vm]
model = "volume"
scope = "department"
tiers = [{ up_to = "100", price = "0.10" }, { price = "0.07" }]
[tariffs.prices.disk]
model = "per_unit"
price = "0.0003"
"""
BASE = SMALL + ITEMS + FEES + PROMISES
CONTRACT = BASE + PRICES
FIXED = CONTRACT.replace('up_to = "100", price = "0.12"', 'up_to = "120", price = "0.09"').replace(
    "2016-03-15", "2016-03-12"
)
APRIL_3 = "2016-04-03T10:00:00Z"
SENT = {
    "beta-north": [
        event("beta-north", "n1", quantity="300"), event("beta-north", "n2", subject="EC/DIGIT", quantity="70"),
        event("beta-north", "n3", subject="EC/AGRI", quantity="80.5"), event("beta-north", "n4", subject="pool/mail", quantity="77"),
        event("beta-north", "t1", item="traffic", quantity="90"), event("beta-north", "t2", item="traffic", subject="EDA", quantity="61"),
        event("beta-north", "t3", item="traffic", subject="pool/backup", quantity="10.7"), event("beta-north", "d1", subject="pool/desk", quantity="11"),
    ],
    "alpha": [
        event("alpha", "a1", quantity="120.5"), event("alpha", "a2", item="disk", subject="EC", quantity="30"),
        event("alpha", "a3", item="disk", subject="EDA", quantity="29.3"), event("alpha", "a4", lot="1", subject="EDA", quantity="100"),
        event("alpha", "a5", lot="1", subject="EC/DIGIT", quantity="10", time="2016-03-13T10:00:00Z"),
    ],
}  # fmt: skip
LATER = {
    "beta-north": [
        correction("beta-north", "n1b", "n1", "260"), event("beta-north", "n5", subject="EDA", quantity="25"),
        event("beta-north", "n6", subject="EDA", quantity="40", time=APRIL_3), event("beta-north", "t4", item="traffic", quantity="9", time=APRIL_3),
    ],
    "alpha": [
        event("alpha", "a6", lot="1", subject="EC/DIGIT", quantity="10.5", time=APRIL_3),
        event("alpha", "a7", lot="1", subject="pool/mail", quantity="333.3", time=APRIL_3),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def contract() -> str:
    return CONTRACT


async def every_line(pipeline: Pipeline, month: str) -> list[dict[str, Any]]:
    """Explain all lines of a month's statements and see that they come to what is posted."""
    connection = await connect(pipeline.url)
    try:
        stored = await contract_store.newest(connection)
        assert stored is not None
        made = []
        for invoice in await statements_of(connection, stored.contract, month):
            for number, line in enumerate(invoice.statement.lines, start=1):
                found = await explain_line(connection, month, invoice.statement.institution, number)
                assert total(each["amount"] for each in found["parts"]) == line.exact
                assert total(each["amount"] for each in found["posted"]) == line.exact
                assert add(line.exact, found["rounding"]) == line.amount
                made.append(found)
        return made
    finally:
        await connection.close()


def one(found: list[dict[str, Any]], institution: str, award: str, item: str, **more: str) -> dict[str, Any]:
    wanted = {"institution": institution, "award": award, "item": item, "department": "", "pool": "", **more}
    lines = [each for each in found if wanted.items() <= each.items()]
    assert len(lines) == 1, [[each[name] for name in (*wanted, "usage_month")] for each in found]
    return lines[0]


async def push(pipeline: Pipeline, sent: dict[str, list[bytes]]) -> None:
    for provider, events in sent.items():
        await pipeline.push(provider, events)
    await pipeline.through()


async def test_every_line_of_an_open_month_adds_up(pipeline: Pipeline):
    await push(pipeline, SENT)
    found = await every_line(pipeline, MARCH)
    assert Counter(each["kind"] for each in found).keys() == {"usage", "fee", "minimum", "prepaid credit"}
    assert any(each["what"] == "to be settled at the close" for line in found for each in line["posted"])
    vm = one(found, "EP", "2/BETA", "vm")
    assert [(each["what"], each["quantity"], each["listed"], each["price"], each["amount"]) for each in vm["parts"]] == [
        ("free, up to 10", 10, 0, 0, 0), ("up to 100", 100, Decimal("0.12"), Decimal("0.06"), 6),
        ("above 100", 190, Decimal("0.10"), Decimal("0.05"), Decimal("9.5")), ("fee, above 100", 1, 4, 2, 2),
    ]  # fmt: skip
    assert (vm["events"]["events"], vm["events"]["first"]["id"]) == (1, "n1")


async def test_every_line_of_every_invoice_adds_up(pipeline: Pipeline):
    before = [(each["exact_amount"], each["parts"]) for each in await every_line(pipeline, MARCH)]
    await pipeline.close(MARCH)
    found = await every_line(pipeline, MARCH)
    assert [(each["exact_amount"], each["parts"]) for each in found] == before, "closed as it stood"
    traffic = one(found, "EDA", "2/BETA", "traffic")
    assert traffic["meter"]["whose"] == "the whole contract"
    assert (traffic["meter"]["quantity"], traffic["meter"]["shared"]) == (Decimal("161.7"), "in proportion to use")
    assert [each["subject"] for each in traffic["meter"]["uses"]] == ["EDA", "EP", "pool/backup"]
    backup = one(found, "EP", "2/BETA", "traffic", pool="backup")["split"]
    assert {each["member"] for each in backup["members"]} == {"EP", "EDA", "EC"}
    assert total(each["amount"] for each in backup["members"]) == backup["amount"]
    assert sum(each["raised"] for each in backup["members"]) in {1, 2}, "what rounding down left over"
    reserved = one(found, "EP", "2/ALPHA", "vm")
    reckoned = [(each["what"], each["quantity"]) for each in reserved["parts"]]
    assert reckoned == [("reserved, up to 300", 121), ("every unit", 0), ("reserved and unused", 179)]
    support = one(found, "EC", "2/BETA", "support", department="DIGIT")
    assert support["meter"]["amount"] == 7, "the floor, for all together"
    assert total(each["amount"] for each in support["fee"]["on"]) == support["fee"]["amount"]
    short = one(found, "EP", "2/BETA", "short")["promises"][0]
    assert (short["why"], add(short["basis"], short["amount"])) == ("short of the minimum", 100)
    credit = one(found, "EP", "2/BETA", "credit")["promises"]
    assert {each["why"] for each in credit} == {"drawn from the credit", "cost of the credit"}


async def test_what_comes_later_is_explained_and_changes_no_explanation(pipeline: Pipeline, tmp_path: Path):
    march = await every_line(pipeline, MARCH)
    await push(pipeline, LATER)
    path = tmp_path / "fixed.toml"
    path.write_text(FIXED)
    pipeline.command("rerate", "--month", MARCH, "--contract", str(path), "--post")
    await pipeline.through()
    found = await every_line(pipeline, APRIL)
    late = one(found, "EP", "2/BETA", "vm", usage_month=MARCH)
    assert late["parts"][-1]["what"].startswith("less what invoice SMALL-2016-")
    assert [each["rerating"] for each in late["reratings"]] == [1]
    assert [each["what"] for each in late["posted"]] == ["charged for usage, of which n1b corrects n1", "re-rating 1"]
    assert [(each["id"], each["corrected_by"]) for each in late["corrections"]] == [("n1", "n1b")]
    assert (late["events"]["events"], late["events"]["corrected"], late["events"]["billed"]) == (2, 1, 260)
    digit = [
        each for each in found if each["item"] == "vm" and each["award"] == "1/ALPHA" and each["department"] == "DIGIT"
    ]
    moved = {(each["usage_month"], each["tariff"]): each["exact_amount"] for each in digit}
    assert moved.keys() >= {(MARCH, "2016-03-12"), (MARCH, "2016-01-01")}, "from one tariff's meter to another"
    gone = next(each for each in digit if each["tariff"] == "2016-01-01")
    assert [each["what"][:9] for each in gone["parts"]] == ["less what"], "nothing is due there any more"
    assert one(found, "EDA", "2/BETA", "vm", usage_month=APRIL)["meter"]["indexed"][0]["percent"] == Decimal("1.5")
    dollars = one(found, "EC", "1/ALPHA", "vm", department="DIGIT", usage_month=APRIL)
    assert dollars["parts"][0]["what"] == "1.05 USD at 1.092 for 1 EUR, the rate of 2016-01"
    await pipeline.close(APRIL)
    await every_line(pipeline, APRIL)
    assert await every_line(pipeline, MARCH) == march, "as it was when the invoice was made"
    assert await pipeline.audit() == []


async def test_the_command_tells_of_an_invoice_and_lists_the_events(pipeline: Pipeline, tmp_path: Path):
    await every_line(pipeline, MAY)
    [invoice] = pipeline.json("statement", APRIL, "--institution", "EP")
    number = next(
        index for index, line in enumerate(invoice["lines"], start=1)
        if (line["award"], line["item"], line["usage_month"], line["pool"]) == ("2/BETA", "vm", MARCH, "")
    )  # fmt: skip
    words = ["explain", invoice["number"], "--line", str(number)]
    said = pipeline.command(*words)
    for wanted in (
        "less what invoice",
        "charged for usage, of which n1b corrects n1",
        "re-rating 1",
        "list price",
        "the line says",
    ):
        assert wanted in said
    assert pipeline.json(*words)["amount"] == invoice["lines"][number - 1]["amount"]
    assert pipeline.json("explain", APRIL, "--institution", "EP", "--line", str(number)) == pipeline.json(*words)
    listed = tmp_path / "events.csv"
    assert "wrote 2 events" in pipeline.command(*words, "--events", str(listed))
    with listed.open() as file:
        rows = {row["id"]: (row["billed"], row["corrected_by"]) for row in csv.DictReader(file)}
    assert rows == {"n1": ("300", "n1b"), "n1b": ("260", "")}
    event = pipeline.json("explain", "n6", "--provider", "beta-north")["price"]
    assert (event["percent_of_list"], [each["percent"] for each in event["indexed"]]) == ("50", ["1.5"])
    assert [(each["what"], each["listed"], each["price"]) for each in event["steps_after"]] == [
        ("free, up to 10", "0", "0"), ("up to 100", "0.12", "0.0609"),
    ]  # fmt: skip
    assert "indexation     1.5 % from 2016-04-01" in pipeline.command("explain", "n6", "--provider", "beta-north")
    assert "has no line 99" in pipeline.command("explain", invoice["number"], "--line", "99", status=1)
    assert "no invoice 'X-1'" in pipeline.command("explain", "X-1", "--line", "1", status=1)
    assert "--provider" in pipeline.command("explain", "X-1", status=2)
    assert "goes with --institution" in pipeline.command("explain", MARCH, "--line", "1", status=2)


async def test_a_line_that_the_books_do_not_come_to_is_not_explained_away(pipeline: Pipeline):
    await pipeline.stop()
    connection = await connect(pipeline.url)
    try:
        await connection.execute("set session_replication_role = replica")  # past the triggers that refuse this
        await connection.execute("update invoicing.charged set quantity = quantity + 1 where item = 'disk'")
        with pytest.raises(UnexplainedError, match=r"the parts add up to .*, and the books say"):
            await explain_line(connection, MARCH, "EDA", [
                (each.key.award, each.key.item) for each in next(
                    invoice.statement for invoice in await pipeline.statements(MARCH) if invoice.statement.institution == "EDA"
                ).lines
            ].index(("2/ALPHA", "disk")) + 1)  # fmt: skip
    finally:
        await connection.close()
