"""A re-rating that moves usage: to a tariff of another date, to meters of another scope, to other increments."""

from decimal import Decimal
from pathlib import Path

import pytest

from services.contract.charges import ChargeKey
from services.contract.load import load
from services.contract.model import Contract
from services.invoicing.settle import settle
from tests.conftest import SMALL
from tests.pipeline import Pipeline, event

MARCH = "2016-03"
PRICES = """
[[items]]
code = "support"
name = "Support"
unit = "EUR"

[[rates]]
currency = "USD"
month = "2016-01"
rate = "1.25"

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

[[tariffs]]
award = "2/BETA"
valid_from = 2016-03-20
[tariffs.prices.vm]
model = "per_unit"
price = "0.04"
[tariffs.prices.traffic]
model = "per_unit"
price = "0.01"
"""
LATER = PRICES.replace("2016-03-20", "2016-03-10")
TOGETHER = LATER.replace(
    '[tariffs.prices.vm]\nmodel = "graduated"', '[tariffs.prices.vm]\nscope = "contract"\nmodel = "graduated"'
)
STARTED = TOGETHER.replace('increment = "10"', 'minimum = "4"')
DOLLARS = STARTED.replace("valid_from = 2016-03-10", 'valid_from = 2016-03-10\ncurrency = "USD"')
SENT = [
    ("a", "EP", "vm", "80", "2016-03-02T10:00:00Z"), ("b", "EC/DIGIT", "vm", "70", "2016-03-05T10:00:00Z"),
    ("c", "EP", "vm", "50", "2016-03-15T10:00:00Z"), ("d", "pool/mail", "vm", "10", "2016-03-25T10:00:00Z"),
    ("e", "EP", "traffic", "12.5", "2016-03-03T10:00:00Z"), ("f", "EP", "traffic", "1.5", "2016-03-12T10:00:00Z"),
]  # fmt: skip
LATE = [("g", "EDA", "vm", "40", "2016-03-12T10:00:00Z"), ("h", "EDA", "traffic", "1", "2016-03-04T10:00:00Z")]


@pytest.fixture(scope="module")
def contract() -> str:
    return SMALL + PRICES


def expected(prices: str, *sent: tuple[str, ...]) -> dict[tuple[str, ...], Decimal]:
    """Work out by the core alone what each institution owes by item."""
    agreed = load(SMALL + prices)
    assert isinstance(agreed, Contract), agreed
    quantities: dict[ChargeKey, Decimal] = {}
    for _, subject, item, quantity, time in sent:
        days = [each.valid_from.isoformat() for each in agreed.tariffs_by_award["2/BETA"]]
        tariff = max(day for day in days if day <= time[:10])
        key = ChargeKey("2/BETA", item, MARCH, tariff, subject)
        price = next(each for each in agreed.tariffs_by_award["2/BETA"] if each.valid_from.isoformat() == tariff)
        quantities[key] = quantities.get(key, Decimal(0)) + price.prices[item].billed(Decimal(quantity))
    owed: dict[tuple[str, ...], Decimal] = {}
    for key, share in settle(agreed, MARCH, quantities).items():
        place = (key.institution, key.item)
        owed[place] = owed.get(place, Decimal(0)) + share.amount
    return owed


async def stands(pipeline: Pipeline) -> dict[tuple[str, ...], Decimal]:
    owed: dict[tuple[str, ...], Decimal] = {}
    for each in await pipeline.statements(MARCH):
        for line in each.statement.lines:
            place = (each.statement.institution, line.key.item)
            owed[place] = owed.get(place, Decimal(0)) + line.exact
    return owed


def usage(sent: list[tuple[str, ...]]) -> list[bytes]:
    return [
        event("beta-north", number, subject=subject, item=item, quantity=quantity, time=time)
        for number, subject, item, quantity, time in sent
    ]


async def rerate(pipeline: Pipeline, folder: Path, prices: str) -> None:
    """Re-rate, see what it says come true, and that nothing is left to be posted."""
    path = folder / "fixed.toml"
    path.write_text(SMALL + prices)
    words = ["rerate", "--month", MARCH, "--award", "2/BETA", "--contract", str(path)]
    before = await stands(pipeline)
    shown = pipeline.json(*words)
    assert pipeline.json(*words, "--post")["changes"] == shown["changes"]
    await pipeline.through()
    after = await stands(pipeline)
    changes = {(each["institution"], each["item"]): Decimal(each["difference"]) for each in shown["changes"]}
    assert changes == {
        place: difference
        for place in before | after
        if (difference := after.get(place, Decimal(0)) - before.get(place, Decimal(0)))
    }
    again = pipeline.json(*words, "--post")
    assert (again["changes"], again["charges"]) == ([], 0)
    assert await pipeline.audit() == []


async def test_a_tariff_begins_on_another_day(pipeline: Pipeline, tmp_path: Path):
    await pipeline.push("beta-north", usage(SENT))
    await pipeline.through()
    assert await stands(pipeline) == expected(PRICES, *SENT)
    await rerate(pipeline, tmp_path, LATER)
    assert await stands(pipeline) == expected(LATER, *SENT)
    found = pipeline.json("explain", "--provider", "beta-north", "c")["rerated"]
    assert (found["tariff"], found["amount"]) == ("2/BETA from 2016-03-10", None), "it is on another meter now"
    assert (found["meter_scope"], found["meter_quantity"], found["meter_amount"]) == ("EP", "50", "2")
    assert "all that EP used, 50: 2 EUR" in pipeline.command("explain", "--provider", "beta-north", "c")


async def test_others_are_metered_together(pipeline: Pipeline, tmp_path: Path):
    await rerate(pipeline, tmp_path, TOGETHER)
    assert await stands(pipeline) == expected(TOGETHER, *SENT)
    scopes = await pipeline.fetch(
        "select scope, quantity from rating.meter where item = 'vm' and tariff = '2016-03-01'"
    )
    assert {row["scope"]: row["quantity"] for row in scopes} == {"EP": 0, "EC": 0, "*": 150}


async def test_events_are_billed_for_other_quantities_late_ones_too(pipeline: Pipeline, tmp_path: Path):
    await rerate(pipeline, tmp_path, STARTED)
    assert await stands(pipeline) == expected(STARTED, *SENT)
    await pipeline.push("beta-north", usage(LATE))
    await pipeline.through()
    assert await stands(pipeline) == expected(STARTED, *SENT, *LATE)
    assert await pipeline.audit() == []
    found = pipeline.json("explain", "--provider", "beta-north", "g")
    assert (found["price"]["tariff"].partition(",")[0], found["price"]["amount"]) == ("2/BETA from 2016-03-10", "1.6")
    assert pipeline.json("explain", "--provider", "beta-north", "h")["event"]["billed"] == "4"


async def test_the_price_was_in_another_currency(pipeline: Pipeline, tmp_path: Path):
    await rerate(pipeline, tmp_path, DOLLARS)
    assert await stands(pipeline) == expected(DOLLARS, *SENT, *LATE)
    [row] = await pipeline.fetch(
        "select sum(currency_amount) as dollars, sum(amount) as euros, min(rate) as rate from rating.charge "
        "where currency = 'USD' and item = 'vm' and subject = 'EP'"
    )
    assert (row["dollars"], row["euros"], row["rate"]) == (Decimal(2), Decimal("1.6"), Decimal("1.25"))


async def test_the_first_contract_again_and_the_close_agrees(pipeline: Pipeline, tmp_path: Path):
    await rerate(pipeline, tmp_path, PRICES)
    owed = expected(PRICES, *SENT, *LATE)
    assert await stands(pipeline) == owed
    invoices = await pipeline.close(MARCH)
    assert sum(each.statement.exact for each in invoices) == sum(owed.values())
    assert await pipeline.audit() == []
    kept = await pipeline.fetch("select amount from rating.charge")
    assert len(kept) > 30, "nothing was overwritten"
