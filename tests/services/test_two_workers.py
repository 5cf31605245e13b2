"""Two workers a service share the work and end with the totals of one."""

import asyncio
import re

import httpx

from services.contract.load import load
from services.contract.model import Contract
from services.stack.process import free_ports
from tests.oracle import expected
from tests.pipeline import SERVICES, Pipeline, event

EVENTS, ROUNDS_MAX = 2_000, 40


async def test_two_workers_share_the_work_and_end_with_the_totals_of_one(pipeline: Pipeline, contract: str):
    *ports, gateway = free_ports(len(SERVICES) + 1)
    seconds = [pipeline.service(name, port, "2", gateway) for name, port in zip(SERVICES, ports, strict=True)]
    sent = []
    try:
        for each in seconds:
            each.launch()
        for each in seconds:
            await asyncio.to_thread(each.wait_until_ready)
        urls = [*pipeline.probes.values(), *(f"http://127.0.0.1:{port}" for port in ports)]
        for turn in range(ROUNDS_MAX):
            messages = [("alpha", usage(turn * EVENTS + number)) for number in range(EVENTS)]
            await pipeline.push("alpha", [message for _, message in messages])
            sent += messages
            await pipeline.through(120)
            handled = [await batches(url) for url in urls]
            if all(handled):
                break
    finally:
        for each in seconds:
            await asyncio.to_thread(each.stop)
    assert all(handled), handled
    await pipeline.through(120)
    agreed = load(contract)
    assert isinstance(agreed, Contract)
    assert [each.statement for each in await pipeline.statements("2016-03")] == expected(agreed, sent, "2016-03")
    assert await pipeline.audit() == []


def usage(number: int) -> bytes:
    subjects = ("EP", "EC/AGRI", "EDA", "EC/DIGIT", "pool/mail")
    return event("alpha", number, subject=subjects[number % 5], quantity=f"{number % 13}.25")


async def batches(url: str) -> int:
    """Return how many batches a worker has handled."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{url}/metrics")).text
    found = re.search(r"^plafond_batch_events_count\{.*\} (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0
