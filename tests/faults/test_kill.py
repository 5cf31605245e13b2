"""Each service killed (SIGKILL) and stopped (SIGTERM) in the middle of the flow: nothing is lost or counts twice."""

import asyncio
import random

import pytest

from services.contract.load import load
from services.contract.model import Contract
from tests.conftest import SMALL
from tests.oracle import expected
from tests.pipeline import SERVICES, Pipeline, event

EVENTS = 12_000
SEED = 20160301


def usage(seed: int, prefix: str) -> list[tuple[str, bytes]]:
    """Make random usage of all providers, items, subjects and tariffs, with repeats, in no order."""
    choose = random.Random(seed)
    sent = []
    for number in range(EVENTS):
        provider = choose.choice(["alpha", "beta-north", "beta-south"])
        subject = choose.choice(["EP", "EDA", "EC/DIGIT", "EC/AGRI", "pool/mail", "pool/desk", "pool/backup"])
        lot = choose.choice("12") if provider == "alpha" else "2"
        item = choose.choice(["vm", "disk"] if lot == "1" else ["vm"] if provider == "alpha" else ["vm", "traffic"])
        quantity = f"{choose.randrange(-5, 100)}.{choose.randrange(10**9):09}"
        day, hour = choose.randrange(2, 31), choose.randrange(24)
        made = event(
            provider, f"{prefix}-{number}", subject=subject, item=item, lot=lot,
            quantity=quantity.replace("-0.", "0."), time=f"2016-03-{day:02}T{hour:02}:00:00Z",
        )  # fmt: skip
        sent.append((provider, made))
    sent += choose.sample(sent, EVENTS // 20)
    choose.shuffle(sent)
    return sent


async def push_slowly(pipeline: Pipeline, sent: list[tuple[str, bytes]]) -> None:
    for start in range(0, len(sent), 600):
        chunk = sent[start : start + 600]
        for provider in ("alpha", "beta-north", "beta-south"):
            await pipeline.push(provider, [message for each, message in chunk if each == provider])
        await asyncio.sleep(0.3)


@pytest.fixture(scope="module")
def sent() -> list[tuple[str, bytes]]:
    return []


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_service_leaves_no_trace(pipeline: Pipeline, service: str, sent: list[tuple[str, bytes]]):
    contract = load(SMALL)
    assert isinstance(contract, Contract)
    more = usage(SEED, service)
    sent += more
    pushing = asyncio.create_task(push_slowly(pipeline, more))
    for pause, clean in ((1.0, False), (0.7, True), (1.3, False), (0.4, True)):
        await asyncio.sleep(pause)
        if clean:
            await pipeline.stop(service)
        else:
            pipeline.kill(service)
        await pipeline.start(service)
    await pushing
    await pipeline.through(120)
    found = [each.statement for each in await pipeline.statements("2016-03")]
    assert found == expected(contract, sent, "2016-03")
    assert await pipeline.audit() == []
