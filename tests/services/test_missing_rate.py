"""A month whose rate is not published yet: usage is taken and charged, and the close waits for the rate."""

import asyncio
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from services.invoicing.close import CloseError
from tests.conftest import SMALL
from tests.pipeline import Pipeline, event

APRIL = "2016-04"
DOLLARS = """
[[tariffs]]
award = "2/ALPHA"
valid_from = 2016-03-01
currency = "USD"
[tariffs.prices.vm]
model = "per_unit"
price = "0.05"
"""


def rate(month: str, number: str) -> str:
    return f'[[rates]]\ncurrency = "USD"\nmonth = "{month}"\nrate = "{number}"\n'


CONTRACT = SMALL + DOLLARS + rate("2016-03", "1.25")


@pytest.fixture(scope="module")
def contract() -> str:
    return CONTRACT


async def missing(pipeline: Pipeline, number: float) -> None:
    """Wait until the gauge of missing rates shows a number."""
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(30):
        while (
            f"plafond_rates_missing {number}" not in (await client.get(f"{pipeline.probes['invoicing']}/metrics")).text
        ):
            await asyncio.sleep(0.1)


async def test_usage_is_charged_provisionally_and_the_close_waits(pipeline: Pipeline):
    await pipeline.push("alpha", [
        event("alpha", "march", quantity="10"),
        event("alpha", "april", quantity="100", time="2016-04-02T10:00:00Z"),
    ])  # fmt: skip
    await pipeline.through()
    [charged] = await pipeline.fetch("select amount, rate from rating.charge where month = $1", APRIL)
    assert (charged["amount"], charged["rate"]) == (4, Decimal("1.25"))
    await missing(pipeline, 1)
    assert await pipeline.audit() == []
    assert len(await pipeline.close("2016-03")) == 1
    with pytest.raises(CloseError, match=r"2/ALPHA is charged at 1\.25 USD, the rate of 2016-03.*none for 2016-04"):
        await pipeline.close(APRIL)


async def test_what_compares_prices_says_that_they_are_provisional(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT)
    found = pipeline.json("simulate", "--contract", str(path), "--from", APRIL)
    assert [(each["award"], each["of"]) for each in found["provisional_rates"]] == [("2/ALPHA", "2016-03")]
    assert pipeline.json("simulate", "--contract", str(path), "--from", "2016-03")["provisional_rates"] == []
    found = pipeline.json("compare", "--lot", "2", "--institution", "EP", "--month", APRIL)
    assert [(each["award"], each["of"]) for each in found["provisional_rates"]] == [("2/ALPHA", "2016-03")]


async def test_the_rate_comes_by_a_re_rating_and_stays(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT + rate(APRIL, "1.6"))
    said = pipeline.command("contract", "apply", str(path), status=1)
    assert "plafond rerate --month 2016-04 --contract FILE --post" in said
    pipeline.command("rerate", "--month", APRIL, "--contract", str(path), "--post")
    await missing(pipeline, 0)
    pipeline.command("contract", "apply", str(path))
    await pipeline.push("alpha", [event("alpha", "more", quantity="100", time="2016-04-03T10:00:00Z")])
    await pipeline.through()
    [invoice] = await pipeline.close(APRIL)
    assert invoice.statement.exact == Decimal("6.25"), "200 x 0.05 / 1.6"
    [line] = invoice.statement.lines
    assert line.conversion == ("USD", Decimal("1.6"), 10, APRIL)
    [shown] = pipeline.json("statement", APRIL, "--institution", "EP")[0]["lines"]
    assert (shown["price_amount"], shown["price_currency"], shown["rate"]) == ("10", "USD", "1.6")
    assert shown["rate_month"] == "2016-04"
    assert await pipeline.audit() == []


async def test_a_tariff_may_let_the_last_rate_hold(pipeline: Pipeline, tmp_path: Path):
    await pipeline.push("alpha", [event("alpha", "may", quantity="32", time="2016-05-03T10:00:00Z")])
    await pipeline.through()
    await missing(pipeline, 1)
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT.replace('"USD"\n[', '"USD"\nrate = "latest"\n[') + rate(APRIL, "1.6"))
    pipeline.command("contract", "apply", str(path))
    await missing(pipeline, 0)
    assert "in USD at the latest rate given" in pipeline.command("contract", "show")
    [invoice] = await pipeline.close("2016-05")
    assert invoice.statement.exact == 1
    [line] = invoice.statement.lines
    assert line.conversion == ("USD", Decimal("1.6"), Decimal("1.6"), APRIL), "the rate is that of an earlier month"
    assert await pipeline.audit() == []


async def test_a_line_for_an_invoiced_month_has_the_difference_in_the_currency(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "fixed.toml"
    path.write_text(CONTRACT.replace('rate = "1.25"', 'rate = "1"') + rate(APRIL, "1.6"))
    pipeline.command("rerate", "--month", "2016-03", "--contract", str(path), "--post")

    async def june() -> tuple[Decimal, tuple[str, Decimal, Decimal, str]]:
        [statement] = [each.statement for each in await pipeline.statements("2016-06")]
        [line] = statement.lines
        assert line.conversion is not None
        return line.exact, tuple(line.conversion)

    assert await june() == (Decimal("0.1"), ("USD", 1, 0, "2016-03")), "0.5 USD are 0.5 EUR and not 0.4"
    await pipeline.push("alpha", [event("alpha", "late", quantity="20")])
    await pipeline.through()
    assert await june() == (Decimal("1.1"), ("USD", 1, 1, "2016-03"))
    await pipeline.close("2016-06")
    rows = await pipeline.fetch("select month, sum(price_amount) as dollars from invoicing.invoice_line group by month")
    assert {row["month"]: row["dollars"] for row in rows} == {
        "2016-03": Decimal("1.5"),
        APRIL: 10,
        "2016-05": Decimal("1.6"),
    }


async def test_amounts_in_the_currency_are_as_billed(pipeline: Pipeline, tmp_path: Path):
    (tmp_path / "contract.toml").write_text(CONTRACT + rate(APRIL, "1.6"))
    sent = [event("alpha", "april", quantity="200", time="2016-04-02T10:00:00Z")]
    (tmp_path / "usage.jsonl").write_bytes(b"\n".join(sent))
    words = ["--contract", str(tmp_path / "contract.toml"), "--usage", str(tmp_path / "usage.jsonl")]
    pipeline.command("bill", *words, "--out", str(tmp_path / "billed"))
    pipeline.command("statement", APRIL, "--out", str(tmp_path / "closed"))
    billed = (tmp_path / "billed" / APRIL / "EP.csv").read_text()
    assert (tmp_path / "closed" / "EP.csv").read_text() == billed
    assert "USD,10,1.6,2016-04,6.25,6.25,EUR" in billed
