"""Pushing usage: the provider's side of the gateway and of the raw topics.

Law: an event is sent until it is acknowledged or refused; what is sent twice costs nothing. Where the gateway refuses a
request for some of its events, these are noted and the rest is sent again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from aiokafka.errors import KafkaError

from services.avro import codec
from services.ingest.events import EVENT_TYPE, UsageEvent
from services.kafka import RAW_PREFIX, Message, Sender, is_raw, raw_topic
from services.offsets import Offsets

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 10.0
KAFKA_SECONDS_MAX = 10.0
_ABOUT_EVENTS = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN, httpx.codes.REQUEST_ENTITY_TOO_LARGE})
Report = Callable[[int], None]
Notice = Callable[[str], None]


class PushError(Exception):
    """Nothing more can be sent: the key is refused, or the gateway stays away."""


@dataclass(slots=True)
class Pushed:
    """What became of the messages: each of `refused` is one, in the gateway's words."""

    taken: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)


def cloud_event(event: UsageEvent) -> bytes:
    """Write an event as a CloudEvent in structured JSON."""
    data = {"lot": event.lot, "item": event.item, "quantity": event.quantity, "region": event.region}
    data |= {name: value for name in ("resource", "corrects") if (value := getattr(event, name))}
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
    return codec("usage_event").encode(
        {**record, "resource": event.resource or None, "corrects": event.corrects or None}
    )


async def into_kafka(kafka: str, provider: str, batches: Iterable[list[bytes]], report: Report) -> Pushed:
    """Write messages into the provider's own topic, a batch after the other; raises PushError when there is no such."""
    await _refuse_no_topic(kafka, provider)
    sender = Sender(kafka, f"provider-{provider}")
    pushed = Pushed()
    try:
        for batch in batches:
            await sender.send([Message(raw_topic(provider), each) for each in batch])
            pushed.taken += len(batch)
            report(len(batch))
    finally:
        await sender.stop()
    return pushed


async def _refuse_no_topic(kafka: str, provider: str) -> None:
    try:
        async with asyncio.timeout(KAFKA_SECONDS_MAX), Offsets(kafka) as offsets:
            found = await offsets.partitions(is_raw)
    except (KafkaError, OSError) as error:
        raise PushError(f"no Kafka answers at {kafka}: {error!r}") from error
    known = sorted({each.topic for each in found})
    if raw_topic(provider) not in known:
        there = ", ".join(each.removeprefix(RAW_PREFIX) for each in known) or "none"
        raise PushError(f"Kafka at {kafka} has no topic {raw_topic(provider)}; the providers with one: {there}")


def is_key(key: str) -> bool:
    """Tell whether this may be an API key. What may not is sent nowhere: the error would show it."""
    return key.isascii() and key.isprintable() and bool(key) and " " not in key


async def over_http(
    url: str,
    key: str,
    batches: Iterable[list[bytes]],
    report: Report,
    *,
    clients: int = 1,
    notice: Notice = lambda _: None,
) -> Pushed:
    """Post batches with the provider's key, up to `clients` at a time; raises PushError when that can't go on.

    `notice` is told of what has to be waited for.
    """
    if not is_key(key):
        raise PushError("that is no API key: it has characters that none has")
    pushed = Pushed()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents-batch+json"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            async for group in _groups(batches, clients):
                await asyncio.gather(*(_post(client, batch, pushed, notice) for batch in group))
                report(sum(map(len, group)))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise PushError(f"the gateway's URL can't be used: {error}") from error
    return pushed


async def _groups(batches: Iterable[list[bytes]], size: int) -> AsyncIterator[list[list[bytes]]]:
    group: list[list[bytes]] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


async def _post(client: httpx.AsyncClient, batch: list[bytes], pushed: Pushed, notice: Notice) -> None:
    """Post a batch; note the events that are refused and post the others."""
    if not batch:
        return
    answer = await _patiently(client, b"[" + b",".join(batch) + b"]", notice)
    if answer.status_code == httpx.codes.ACCEPTED:
        pushed.taken += len(batch)
        return
    problem: dict[str, Any] = (
        answer.json() if "json" in answer.headers.get("content-type", "") else {"detail": answer.text}
    )
    if answer.status_code not in _ABOUT_EVENTS:
        raise PushError(f"the gateway answers {answer.status_code}: {problem.get('detail', '')}")
    bad: dict[int, dict[str, Any]] = {each["position"]: each for each in problem.get("errors", [])}
    if bad:
        pushed.refused.extend(bad.values())
        await _post(client, [each for position, each in enumerate(batch) if position not in bad], pushed, notice)
    elif len(batch) == 1:
        pushed.refused.append({"id": None, "reason": "malformed", "explanation": problem.get("detail", "")})
    else:  # one of the messages is no JSON, so that the whole is none: look for it in halves
        middle = len(batch) // 2
        await _post(client, batch[:middle], pushed, notice)
        await _post(client, batch[middle:], pushed, notice)


async def _patiently(client: httpx.AsyncClient, body: bytes, notice: Notice) -> httpx.Response:
    """Post until there is an answer other than 503; raises PushError when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    backoff = PAUSE_SECONDS
    while True:
        try:
            answer = await client.post("/v1/usage", content=body)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            why, pause = "503", _retry_after(answer) or backoff
        except httpx.UnsupportedProtocol:
            raise
        except httpx.TransportError as error:
            why, pause = repr(error), backoff
        if time.monotonic() + pause > deadline:
            raise PushError(f"the gateway did not take the events for {PATIENCE_SECONDS:.0f} s: {why}")
        notice(
            f"the gateway at {client.base_url} can't take events now, trying on until {PATIENCE_SECONDS:.0f} s: {why}"
        )
        await asyncio.sleep(pause)
        backoff = min(2 * backoff, PAUSE_SECONDS_MAX)


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds that the gateway asks for; None where it gives a date, or nothing."""
    asked = answer.headers.get("Retry-After", "")
    return float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else None
