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
    assert await pipeline.audit() == []
