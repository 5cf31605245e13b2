"""Rating's agent: a usage batch in, its charges and conflicts out.

The batch is in the books before its charges are sent, and acknowledged after: whatever dies in between, the batch
comes again and its stored charges are sent again, under the same id.
"""

import time
from collections import Counter
from typing import Any

from services.avro import codec
from services.contract_watch import Contracts
from services.kafka import REJECTED, Message, Place, Sender
from services.kafka_reader import read_at
from services.metrics import BATCH_EVENTS, EVENTS_TOTAL
from services.rating.message import charge_message
from services.rating.store import Books, Conflict, Rated, ReratedError
from services.rejection import Raw, rejection

OUTCOMES = ("taken", "conflict")
"""What is counted by provider."""


class Rating:
    """Rates one batch after the other."""

    def __init__(self, books: Books, contracts: Contracts, sender: Sender, kafka: str) -> None:
        self._books, self._contracts, self._sender, self._kafka = books, contracts, sender, kafka

    async def handle(self, message: bytes, place: Place) -> None:
        """Rate the batch in a message of `usage.accepted` and send what it came to."""
        batch = codec("usage_batch").decode(message)
        rated = await self.rate(batch, place)
        await self._sender.send([*_charges(batch, rated), *await self.conflicts(batch, rated)])
        _count(batch, rated)

    async def rate(self, batch: dict[str, Any], place: Place) -> Rated:
        """Rate a batch under the prices of now."""
        rerating = 0
        while True:
            contract = await self._contracts.version(batch["version"], rerating, batch["contract"])
            try:
                return await self._books.rate(batch, place, contract)
            except ReratedError as error:
                rerating = error.number

    async def conflicts(self, batch: dict[str, Any], rated: Rated) -> list[Message]:
        """Return the rejections of conflicts that are not shown yet, each with its bytes out of the raw topic."""
        new = [each for each in rated.conflicts if not each.is_shown]
        payloads = await read_at(self._kafka, [each.place for each in new])
        now = time.time_ns() // 1000
        return [_rejected(each, payload, now, batch["version"]) for each, payload in zip(new, payloads, strict=True)]


def _charges(batch: dict[str, Any], rated: Rated) -> list[Message]:
    if not rated.charges:
        return []
    return [charge_message(batch["batch"], batch["version"], batch["contract"], batch["accepted_at"], rated.charges)]


def _rejected(conflict: Conflict, payload: bytes | None, now: int, version: int) -> Message:
    raw = Raw(conflict.provider, *conflict.place, None, payload)
    record = rejection(raw, conflict.id, conflict.refusal, now, version)
    return Message(REJECTED, codec("rejection").encode(record), key=conflict.provider.encode())


def _count(batch: dict[str, Any], rated: Rated) -> None:
    BATCH_EVENTS.labels("rating").observe(batch["events"])
    if rated.again:
        EVENTS_TOTAL.labels("rating", "all", "batch_again").inc(batch["events"])
        return
    for provider, count in rated.taken.items():
        EVENTS_TOTAL.labels("rating", provider, "taken").inc(count)
    for provider, count in Counter(each.provider for each in rated.conflicts).items():
        EVENTS_TOTAL.labels("rating", provider, "conflict").inc(count)
    EVENTS_TOTAL.labels("rating", "all", "repeat").inc(rated.repeats)
