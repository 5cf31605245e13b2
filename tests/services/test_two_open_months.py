"""With two months open after a closed one, what the closed one still moves stands on the first of the two alone."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from services.contract.money import add
from tests.pipeline import Pipeline
from tests.services.test_explain_line import APRIL, CONTRACT, MARCH, SENT, every_line, push
from tests.services.test_promises import event
from tests.services.test_rerate_moves import MAY, Sums, differences, shown_differences, to_come

JUNE = "2016-06"
MAY_3 = "2016-05-03T10:00:00Z"
MAYS = {
    "beta-north": [
        event("beta-north", f"may{name}", subject=name, time=MAY_3, quantity="150") for name in ("EP", "EDA")
    ]
}
LESS = CONTRACT.replace('amount = "100"\nper = "month"', 'amount = "60"\nper = "month"')


@pytest.fixture(scope="module")
def contract() -> str:
    return CONTRACT


async def invoiced(pipeline: Pipeline) -> Sums:
    """Return what each institution's two open statements come to, as their lines are rounded."""
    sums: Sums = defaultdict(Decimal)
    for month in (APRIL, MAY):
        for each in await pipeline.statements(month):
            sums[each.statement.institution] = add(sums[each.statement.institution], each.statement.total)
    return sums


async def months_on(pipeline: Pipeline, month: str) -> set[str]:
    return {line.key.month for each in await pipeline.statements(month) for line in each.statement.lines}


async def test_what_another_minimum_moves_is_shown_once(pipeline: Pipeline, tmp_path: Path):
    await push(pipeline, SENT)
    await push(pipeline, MAYS)
    await pipeline.close(MARCH)
    before = await invoiced(pipeline)
    less = tmp_path / "less.toml"
    less.write_text(LESS)
    shown = pipeline.json("contract", "apply", str(less), "--dry-run")["moves"]
    pipeline.command("contract", "apply", str(less))
    told = {name: each for name, each in shown_differences({"changes": shown}).items() if each}
    assert told == differences(before, await invoiced(pipeline))
    assert {each["month"] for each in shown} >= {MARCH, APRIL}
    assert await months_on(pipeline, APRIL) == {MARCH, APRIL}
    assert await months_on(pipeline, MAY) == {MAY}


async def test_a_re_rating_of_the_closed_month_stands_on_the_first_alone(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "fixed.toml"
    path.write_text(LESS.replace('percent_of_list = "50"', 'percent_of_list = "40"'))
    pipeline.command("rerate", "--month", MARCH, "--contract", str(path), "--post")
    await pipeline.through()
    assert await months_on(pipeline, APRIL) == {MARCH, APRIL}
    assert await months_on(pipeline, MAY) == {MAY}
    await every_line(pipeline, APRIL)
    await every_line(pipeline, MAY)
    april, may = await to_come(pipeline, APRIL), await to_come(pipeline, MAY)
    await pipeline.close(APRIL)
    assert (await to_come(pipeline, APRIL), await to_come(pipeline, MAY)) == (april, may)
    await every_line(pipeline, MAY)
    await pipeline.close(MAY)
    assert await to_come(pipeline, MAY) == may
    assert await pipeline.audit() == []


async def test_a_closed_month_stays_split_by_the_key_that_it_was_closed_with(pipeline: Pipeline, tmp_path: Path):
    path = tmp_path / "split.toml"
    path.write_text(LESS.replace('EP = "0.5"\nEDA = "0.3"', 'EP = "0.1"\nEDA = "0.7"'))
    moves = pipeline.json("contract", "apply", str(path), "--dry-run")["moves"]
    assert {each["month"] for each in moves} == {JUNE}, "what the pool reserved in the month that is open"
    pipeline.command("contract", "apply", str(path))
    mail = [("march", "2016-03-03T10:00:00Z", "100"), ("june", "2016-06-03T10:00:00Z", "50")]
    sent = [event("alpha", f"mail-{name}", subject="pool/mail", time=at, quantity=much) for name, at, much in mail]
    await push(pipeline, {"alpha": sent})
    for posted in ("provisionally", "finally"):
        shares = {
            (line.key.month, line.key.institution): line.exact
            for each in await pipeline.statements(JUNE)
            for line in each.statement.lines
            if line.key.pool
        }
        # 10 are reserved at 0.04, which were invoiced for March already; the others cost 0.05.
        march, june = Decimal("4.5"), Decimal("2.4")
        assert shares == {
            (MARCH, "EP"): march * 5 / 10, (MARCH, "EDA"): march * 3 / 10, (MARCH, "EC"): march * 2 / 10,
            (JUNE, "EP"): june / 10, (JUNE, "EDA"): june * 7 / 10, (JUNE, "EC"): june * 2 / 10,
        }, posted  # fmt: skip
        await every_line(pipeline, JUNE)
        if posted == "provisionally":
            await pipeline.close(JUNE)
    payers = pipeline.json("explain", "mail-march", "--provider", "alpha")["payers"]
    assert [Decimal(each["amount"]) for each in payers if each["payer"] == "EP"] == [Decimal("2.45")], "half of 4.90"
    assert await pipeline.audit() == []
