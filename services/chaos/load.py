"""Providers that push for as long as the chaos lasts, and a record of all that was acknowledged.

Law: an event is pushed until it is acknowledged, under the same id; what is acknowledged is written down before the
next is made. So the record is exactly what the books must hold, where an id has two contents one of the two.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import httpx
import msgspec

from services.bench.usage import Hour, Machine
from services.chaos import errors
from services.kafka import Message, Sender, raw_topic

PAUSE_SECONDS = 0.1
AGAIN = 0.02
CONFLICTING = 0.003
CORRECTED = 0.005
_RETRY_SECONDS = 0.3
_QUANTITY = b'"quantity":"'
Deliver = Callable[[list[bytes]], Awaitable[None]]


class Record:
    """Every acknowledged message, one a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = 0
        self._file = path.open("wb")

    def add(self, messages: list[bytes]) -> None:
        """Write messages down."""
        self._file.writelines(message + b"\n" for message in messages)
        self._file.flush()
        self.events += len(messages)

    def close(self) -> None:
        """Write no more."""
        self._file.close()


class Provider:
    """Pushes the readings of its machines, hour after hour; a few of them twice, none in order.

    It offers so many events every `PAUSE_SECONDS`, and less where these are not acknowledged at once.
    """

    def __init__(
        self,
        machines: list[Machine],
        events_a_push: int,
        deliver: Deliver,
        record: Record,
        gate: asyncio.Event,
        seed: int,
    ) -> None:
        self.name = machines[0].provider
        self._events_a_push = events_a_push
        self.machines, self._deliver, self._record, self._gate = machines, deliver, record, gate
        self._choose = random.Random(seed)  # noqa: S311 disorder needs no secrecy
        self._next = 0
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Push until cancelled, while the gate is open."""
        while True:
            await self._gate.wait()
            await self.push(self._some())
            await asyncio.sleep(PAUSE_SECONDS)

    async def push(self, messages: list[bytes]) -> None:
        """Deliver messages and write them down."""
        async with self._busy:
            await self._deliver(messages)
            self._record.add(messages)

    @property
    def latest(self) -> datetime:
        """Return the hour of the newest reading."""
        return Hour.at(self._next // len(self.machines))

    async def pause(self) -> None:
        """Wait until what is on its way is acknowledged; the gate must be closed."""
        async with self._busy:
            return

    def _some(self) -> list[bytes]:
        messages = []
        for _ in range(self._events_a_push):
            hour, place = divmod(self._next, len(self.machines))
            messages.append(self.machines[place].message(Hour.number(hour)))
            self._next += 1
        odd = []
        for each in messages:
            chosen = self._choose.random()
            if chosen < CONFLICTING:
                odd.append(_conflict(each))
            elif chosen < CONFLICTING + CORRECTED:
                odd.append(_correction(each, self._choose.randrange(5_000)))
        messages += odd
        messages += [each for each in messages if self._choose.random() < AGAIN]
        self._choose.shuffle(messages)
        return messages


def _conflict(message: bytes) -> bytes:
    """Return the event with another quantity under its id."""
    return message.replace(_QUANTITY, _QUANTITY + b"1")


def _correction(message: bytes, quantity: int) -> bytes:
    """Return an event that replaces this one, which may come after it or before it."""
    event = msgspec.json.decode(message)
    corrected = event["id"]
    event["id"] = f"{corrected}-corrected"
    event["data"] |= {"quantity": f"{quantity / 1000:.3f}", "corrects": corrected}
    return msgspec.json.encode(event)


def over_http(client: httpx.AsyncClient, key: str) -> Deliver:
    """Return a delivery through the gateway that goes on until the answer is 202."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents-batch+json"}

    async def deliver(messages: list[bytes]) -> None:
        body = b"[" + b",".join(messages) + b"]"
        while True:
            try:
                answer = await client.post("/v1/usage", content=body, headers=headers)
            except httpx.TransportError:
                pass  # the gateway is away: that is what the chaos is for
            else:
                if answer.status_code == httpx.codes.ACCEPTED:
                    return
                if answer.status_code < 500:
                    raise errors.ChaosError(f"the gateway refuses good usage: {answer.status_code} {answer.text[:300]}")
            await asyncio.sleep(_RETRY_SECONDS)

    return deliver


def into_kafka(sender: Sender, provider: str) -> Deliver:
    """Return a delivery into the provider's own topic that goes on until the broker acknowledges."""

    async def deliver(messages: list[bytes]) -> None:
        await sender.send([Message(raw_topic(provider), each) for each in messages])

    return deliver
