"""A re-rating shows all that it moves before it is posted: what statements differ by once it is posted and closed."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.contract.money import add, subtract
from tests.pipeline import Pipeline
from tests.services.test_explain_line import APRIL, APRIL_3, CONTRACT, LATER, MARCH, SENT, every_line, push
from tests.services.test_promises import event

MAY = "2016-05"
CHEAPER = CONTRACT.replace('percent_of_list = "50"', 'percent_of_list = "40"')
TOGETHER = CHEAPER.replace(
    'up_to = "100", price = "0.09" }, { price = "0.07"', 'up_to = "50", price = "0.08" }, { price = "0.01"'
)
RESERVED = CHEAPER.replace('quantity = "300", price = "0.03"', 'quantity = "200", price = "0.04"')
Sums = dict[str, Decimal]


@pytest.fixture(scope="module")
def contract() -> str:
    return CONTRACT


async def to_come(pipeline: Pipeline, *months: str) -> Sums:
    """Return what each institution's statements of some months come to, as they stand or as invoiced."""
    sums: Sums = defaultdict(Decimal)
    for month in months:
        for each in await pipeline.statements(month):
            sums[each.statement.institution] = add(sums[each.statement.institution], each.statement.exact)
    return sums


def shown_differences(shown: dict[str, Any]) -> Sums:
    sums: Sums = defaultdict(Decimal)
    for each in shown["changes"]:
        sums[each["institution"]] = add(sums[each["institution"]], Decimal(each["difference"]))
    return sums


def differences(before: Sums, after: Sums) -> Sums:
    return {
        name: difference
        for name in before.keys() | after.keys()
        if (difference := subtract(after.get(name, Decimal(0)), before.get(name, Decimal(0))))
    }


async def rerate_and_close(pipeline: Pipeline, folder: Path, prices: str, month: str, closes: str) -> dict[str, Any]:
    """Re-rate a month of use and close another; what was shown is what statements then differ by, to the last digit."""
    path = folder / "fixed.toml"
    path.write_text(prices)
    words = ["rerate", "--month", month, "--contract", str(path)]
    before = await to_come(pipeline, closes)
    shown = pipeline.json(*words)
    assert pipeline.json(*words, "--post")["changes"] == shown["changes"]
    await pipeline.through()
    await pipeline.close(closes)
    after = await to_come(pipeline, closes)
    assert {name: each for name, each in shown_differences(shown).items() if each} == differences(before, after)
    assert pipeline.json(*words)["changes"] == []
    assert await pipeline.audit() == []
    return shown


def kinds(shown: dict[str, Any], month: str) -> set[tuple[str, str]]:
    return {(each["award"], each["kind"]) for each in shown["changes"] if each["month"] == month}


async def test_in_an_open_month_minimums_credit_and_fees_move_too(pipeline: Pipeline, tmp_path: Path):
    await push(pipeline, SENT)
    shown = await rerate_and_close(pipeline, tmp_path, CHEAPER, MARCH, MARCH)
    assert kinds(shown, MARCH) == {
        ("2/BETA", "usage"), ("2/BETA", "fee"), ("2/BETA", "minimum"), ("2/BETA", "prepaid credit"),
    }  # fmt: skip
    idle = {each["kind"] for each in shown["changes"] if each["institution"] == "EDA"}
    assert {"minimum", "prepaid credit", "usage"} <= idle, "who has but a share of a pool"


async def test_a_closed_month_is_moved_on_the_next_invoice(pipeline: Pipeline, tmp_path: Path):
    await push(pipeline, LATER)
    await push(pipeline, {"beta-north": [event("beta-north", "n9", quantity="500", time=APRIL_3)]})
    shown = await rerate_and_close(pipeline, tmp_path, TOGETHER, MARCH, APRIL)
    traffic = {each["institution"] for each in shown["changes"] if each["item"] == "traffic"}
    assert traffic == {"EP", "EDA", "EC"}, "all reach the tiers together, and the pool has its share"
    assert ("2/BETA", "minimum") in kinds(shown, MARCH)


async def test_a_reservation_is_shown_apart_from_usage_and_credit_follows(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "fixed.toml"
    path.write_text(RESERVED)
    said = pipeline.command("rerate", "--month", MARCH, "--award", "2/ALPHA", "--contract", str(path))
    assert "unused reservation" in said
    assert "nothing is posted without --post" in said
    shown = await rerate_and_close(pipeline, tmp_path, RESERVED, MARCH, MAY)
    ep = {each["kind"]: (each["now"], each["then"]) for each in shown["changes"]
          if (each["institution"], each["award"], each["month"]) == ("EP", "2/ALPHA", MARCH)}  # fmt: skip
    # 121 of 300 at 0.03 were used; of 200 at 0.04 they are 4.84, and 79 are unused. 0.2 more are for the pool's, as before.
    assert ep == {"usage": ("3.63", "4.84"), "unused reservation": ("5.57", "3.36")}
    await every_line(pipeline, MAY)
