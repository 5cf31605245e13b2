"""What a worker can't do: an unreadable message is parked and the flow goes on; an unknown error stops the worker."""

import asyncio
import time
import uuid
from decimal import Decimal

import httpx
import pytest

from services.avro import codec
from services.kafka import ACCEPTED, CHARGES, REJECTED, Message, Sender, started_producer
from tests.pipeline import Pipeline, event


async def send(pipeline: Pipeline, *messages: Message) -> None:
    sender = Sender(pipeline.kafka, "poison")
    await sender.send(messages)
    await sender.stop()


async def put(pipeline: Pipeline, topic: str, *values: bytes | None) -> None:
    """Write messages that no program of ours would: one without a value, too."""
    producer = await started_producer(pipeline.kafka, "poison")
    for each in values:
        await producer.send_and_wait(topic, each, partition=0, key=b"poison")
    await producer.stop()


async def test_an_unknown_error_stops_the_worker_with_nothing_acknowledged(pipeline: Pipeline):
    await pipeline.push("alpha", [event("alpha", "before")])
    await pipeline.through()
    await pipeline.fetch("alter table rating.charge rename to charge_away")
    await pipeline.push("alpha", [event("alpha", "after")])
    deadline = time.monotonic() + 40
    while pipeline.alive("rating") and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    assert not pipeline.alive("rating"), "the worker must stop, so that it is noticed"
    await pipeline.fetch("alter table rating.charge_away rename to charge")
    await pipeline.start("rating")
    await pipeline.through()
    assert (await pipeline.spent())["contract small"] == Decimal("0.10")
    assert await pipeline.audit() == []


async def test_an_unreadable_message_is_parked_whole_and_the_partition_goes_on(pipeline: Pipeline):
    poison = [b"\x00 not a batch", b""]
    await send(
        pipeline,
        *(Message(topic, each, partition=n) for topic in (ACCEPTED, CHARGES) for each in poison for n in range(4)),
    )
    await pipeline.push(
        "alpha", [event("alpha", f"p{number}", subject=each) for number, each in enumerate(("EP", "EDA", "EC/AGRI"))]
    )
    await pipeline.through()
    assert (await pipeline.spent())["contract small"] == Decimal("0.25")
    for schema in ("rating", "invoicing"):
        parked = await pipeline.fetch(f"select payload, error from {schema}.parked")
        assert sorted(row["payload"] for row in parked) == sorted(poison * 4)
        assert all("fingerprint" in row["error"] for row in parked)
    (finding,) = await pipeline.audit()
    assert finding.identity == "no message is parked"
    assert len(finding.breaches) == 16


async def test_an_unreadable_rejection_is_passed_over_and_ingest_goes_on(pipeline: Pipeline):
    await put(pipeline, REJECTED, None, b"", b"\x00 not a rejection")
    await pipeline.push("alpha", [event("alpha", "refused", item="nothing"), event("alpha", "counted")])
    await pipeline.through()
    ((reason,),) = await pipeline.fetch("select reason from ingest.rejection where event_id = 'refused'")
    assert reason == "unknown_item"
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{pipeline.probes['ingest']}/readyz")).status_code == 200
        assert (await client.post(f"{pipeline.gateway}/v1/usage", content=b"{}")).status_code == 401


@pytest.mark.parametrize(
    ("events", "rows"),
    [
        (1, b"not a row\n"),
        (2, b"1\t1\tx\t1456912800000000\t1\t\t0\t0\t1790000000000\n"),  # one row short
        (1, b"1\t2\tx\t1456912800000000\t1\t\t0\t0\t1790000000000\n"),  # a use that is none
        (1, b"1\t1\tx\t1456912800000000\tmany\t\t0\t0\t1790000000000\n"),
        (1, b"1\t1\tx\xff\t1456912800000000\t1\t\t0\t0\t1790000000000\n"),
    ],
)
async def test_a_batch_whose_rows_are_none_is_parked_and_leaves_nothing(pipeline: Pipeline, events: int, rows: bytes):
    use = {"provider": "alpha", "award": "2/ALPHA", "subject": "EP", "item": "vm", "region": "fr-paris",
           "month": "2016-03", "tariff": "2016-01-01"}  # fmt: skip
    batch = {"batch": str(uuid.uuid4()), "version": 1, "accepted_at": 1790000000000000, "uses": [use]}
    await send(pipeline, Message(ACCEPTED, codec("usage_batch").encode({**batch, "events": events, "rows": rows})))
    await pipeline.through()
    (parked,) = await pipeline.fetch(
        "select count(*) from rating.parked where position($1::bytea in payload) > 0", rows
    )
    assert parked[0] >= 1
    assert await pipeline.fetch("select from rating.batch where batch = $1", uuid.UUID(batch["batch"])) == []
    assert await pipeline.fetch("select from rating.event where provider = 'alpha' and id like 'x%'") == []


async def test_charges_that_say_a_thing_twice_are_parked_and_invoicing_goes_on(pipeline: Pipeline):
    line = {"award": "2/ALPHA", "item": "vm", "month": "2016-03", "tariff": "2016-01-01", "subject": "EP",
            "quantity": "1", "amount": "0.05"}  # fmt: skip
    batch = {"batch": str(uuid.uuid4()), "version": 1, "accepted_at": 1790000000000000, "lines": [line, line]}
    await send(pipeline, Message(CHARGES, codec("charge_batch").encode(batch)))
    await pipeline.through()
    assert pipeline.alive("invoicing")
    assert "a thing has one line" in str(pipeline.json("parked", "list")[0]["error"])


async def test_what_is_parked_is_dismissed_for_a_reason_that_stays(pipeline: Pipeline):
    (first, *rest) = pipeline.json("parked", "list")
    place = f"{first['topic']}/{first['partition']}/{first['offset']}"
    assert "no place" in pipeline.command("parked", "dismiss", "usage.accepted", "--reason", "x", status=2)
    assert "nothing is parked" in pipeline.command("parked", "dismiss", "charges/0/99999", "--reason", "x", status=1)
    assert "is no place" in pipeline.command("parked", "dismiss", f"charges/{2**31}/0", "--reason", "x", status=2)
    assert "Kafka" in pipeline.command("parked", "replay", "--kafka", "127.0.0.1:1", status=3)
    assert pipeline.json("parked", "list") == [first, *rest]
    pipeline.command("parked", "dismiss", place, "--reason", "sent by a test")
    assert pipeline.json("parked", "list") == rest
    assert "sent by a test" in {each["resolution"] for each in pipeline.json("parked", "list", "--all")}
