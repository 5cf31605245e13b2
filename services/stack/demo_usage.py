"""The demo's usage: real machines' hours, pushed the way providers push them, with all that goes wrong.

Each provider sends its share of a trace of real virtual machines. On top come, by a fixed seed: events sent twice,
events out of order and late, and events that must be refused: unknown items, another provider's name, regions outside
the EU, and bytes that are no event.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx
import msgspec

from services.avro import codec
from services.ingest.events import EVENT_TYPE, UsageEvent
from services.kafka import Message, Sender, raw_topic
from services.offline.lines import Unread

SEED = 2016
BATCH = 1_000
TWICE = 0.01
LATE = 0.02
WINDOW = 2_000
Report = Callable[[int], None]


@dataclass(slots=True)
class Sent:
    """What was sent: `refused_at_door` is what the gateway answered 4xx to, and what nothing became of."""

    messages: int = 0
    refused_at_door: int = 0


def by_provider(batches: Iterable[Iterable[UsageEvent | Unread]]) -> dict[str, list[UsageEvent]]:
    """Sort events by the provider that their source names."""
    sorted_events: dict[str, list[UsageEvent]] = defaultdict(list)
    for batch in batches:
        for event in batch:
            assert isinstance(event, UsageEvent), "a trace has no unreadable lines"
            sorted_events[event.source.rpartition("/")[2]].append(event)
    return dict(sorted_events)


def as_pushed(events: list[UsageEvent], seed: int) -> list[UsageEvent]:
    """Return the events as a careless provider sends them: some twice, some late, none quite in order."""
    choose = random.Random(seed)  # noqa: S311 a demo's disorder needs no secrecy
    late = {index for index in range(len(events)) if choose.random() < LATE}
    pushed = [event for index, event in enumerate(events) if index not in late]
    for start in range(0, len(pushed), WINDOW):
        window = pushed[start : start + WINDOW]
        window += choose.sample(window, round(len(window) * TWICE))
        choose.shuffle(window)
        pushed[start : start + WINDOW] = window
    return pushed + [events[index] for index in sorted(late)]


def refused_by_contract(events: list[UsageEvent]) -> list[UsageEvent]:
    """Return well-formed events that the contract does not allow, and one that contradicts an earlier one."""
    event = events[0]
    unknown = [msgspec.structs.replace(event, id=f"demo-item-{n}", item="mainframe.mips") for n in range(20)]
    abroad = [msgspec.structs.replace(event, id=f"demo-region-{n}", region="us-east-1") for n in range(10)]
    return [*unknown, *abroad, msgspec.structs.replace(event, quantity="999")]


def refused_by_form(events: list[UsageEvent], other: str) -> list[bytes]:
    """Return messages in another provider's name, and some that are no events at all."""
    foreign = [
        msgspec.structs.replace(events[0], id=f"demo-source-{n}", source=f"/providers/{other}") for n in range(5)
    ]
    return [*map(cloud_event, foreign), b"\x00garbage", b'{"id": NaN}']


def cloud_event(event: UsageEvent) -> bytes:
    """Write an event as a CloudEvent in structured JSON."""
    data = {"lot": event.lot, "item": event.item, "quantity": event.quantity, "region": event.region}
    if event.resource:
        data["resource"] = event.resource
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": event.source,
            "type": EVENT_TYPE,
            "time": event.time,
            "subject": event.subject,
            "data": data,
        }
    )


def avro_event(event: UsageEvent) -> bytes:
    """Write an event as our Avro record."""
    record = msgspec.structs.asdict(event)
    return codec("usage_event").encode({**record, "resource": event.resource or None, "corrects": None})


async def push_to_kafka(kafka: str, provider: str, messages: list[bytes], sent: Sent, report: Report) -> None:
    """Write messages into the provider's own topic."""
    sender = Sender(kafka, f"provider-{provider}")
    try:
        for batch in _batches(messages):
            await sender.send([Message(raw_topic(provider), each) for each in batch])
            sent.messages += len(batch)
            report(len(batch))
    finally:
        await sender.stop()


async def push_over_http(gateway: str, key: str, messages: list[bytes], sent: Sent, report: Report) -> None:
    """Post messages in batches with the provider's key; what the gateway refuses as a whole counts as refused."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents-batch+json"}
    async with httpx.AsyncClient(base_url=gateway, headers=headers, timeout=30, trust_env=False) as client:
        for batch in _batches(messages):
            answer = await _post(client, b"[" + b",".join(batch) + b"]")
            if answer == httpx.codes.ACCEPTED:
                sent.messages += len(batch)
            else:
                sent.refused_at_door += len(batch)
            report(len(batch))


async def _post(client: httpx.AsyncClient, body: bytes) -> int:
    """Post until the answer is final; 503 means to send all again, since what came twice costs nothing."""
    while True:
        answer = await client.post("/v1/usage", content=body)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return answer.status_code
        await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))


def _batches(messages: list[bytes]) -> Iterable[list[bytes]]:
    return (messages[start : start + BATCH] for start in range(0, len(messages), BATCH))
