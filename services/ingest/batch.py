"""Batches: accepted events as rows, one batch for each partition of `usage.accepted`.

Events of one award and one payer always go to the same partition, so that few workers meet on a meter. A batch's rows
are already in the form in which PostgreSQL copies them in, so that rating handles bytes and no events.
Pure: `Sorter` is told of every raw message and hands out batches ready to be encoded.
"""

import uuid
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from services.contract.model import payer
from services.ingest.decide import Accepted, Use
from services.reasons import Refusal
from services.rejection import Raw, rejection

SIZE_MAX = 3_000_000
"""Characters in a batch, about: with four bytes each it must still fit into a message."""
USE_SIZE = 500
"""Characters that a use takes at most, about."""


@dataclass(slots=True)
class Batch:
    """A batch being filled for a partition; `uses` numbers the distinct decisions from 1."""

    partition: int
    uses: dict[Use, int] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    corrections: list[tuple[int, str]] = field(default_factory=list)
    size: int = 0

    def number(self, use: Use) -> int:
        """Return a use's number, a new one where it has none."""
        if use not in self.uses:
            self.uses[use] = len(self.uses) + 1
            self.size += USE_SIZE
        return self.uses[use]

    def add(
        self, number: int, event_id: str, time: int, quantity: str, resource: str, partition: int, offset: int,
        received_at: int,
    ) -> None:  # fmt: skip
        """Append an event whose use has that number."""
        row = (
            f"{len(self.rows) + 1}\t{number}\t{event_id}\t{time}\t{quantity}\t{resource}"
            f"\t{partition}\t{offset}\t{received_at}\n"
        )
        self.size += len(row)
        # Ids and resources are printable, and of all such characters only the backslash means something to COPY.
        self.rows.append(row.replace("\\", "\\\\") if "\\" in row else row)

    def correct(self, corrects: str) -> None:
        """Say that the event appended last replaces another."""
        self.size += len(corrects)
        self.corrections.append((len(self.rows), corrects))

    def record(self, version: int, accepted_at: int, contract: str = "") -> dict[str, Any]:
        """Return the record of `schemas/usage_batch.avsc`, under a batch id of its own."""
        return {
            "batch": str(uuid.uuid4()),
            "version": version,
            "contract": contract,
            "accepted_at": accepted_at,
            "uses": [msgspec.structs.asdict(use) for use in self.uses],
            "events": len(self.rows),
            "rows": "".join(self.rows).encode(),
            "corrections": [{"position": position, "corrects": event_id} for position, event_id in self.corrections],
        }


class Closed(NamedTuple):
    """Batches and rejections to be sent, and how many events were accepted since the last ones, by provider."""

    batches: list[Batch]
    rejections: list[dict[str, Any]]
    accepted: Counter[str]


@dataclass(slots=True)
class Sorter:
    """Sorts events into batches, of which each partition has one open, and rejections; `accepted` is by provider.

    `events` counts what is in the batches; `contract` is the SHA-256 of the version's file.
    """

    version: int
    partitions: int
    batches: list[Batch] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    rejections: list[dict[str, Any]] = field(default_factory=list)
    rejected_bytes: int = 0
    contract: str = ""
    _open: dict[int, Batch] = field(default_factory=dict)
    _slots: dict[Use, tuple[Batch, int]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to be sent."""
        return not self.batches and not self.rejections

    @property
    def events(self) -> int:
        """Return how many events are in the batches."""
        return sum(len(batch.rows) for batch in self.batches)

    def close(self, partition: int | None = None) -> Closed:
        """Hand out the batches of a partition, or of all, and all rejections; what comes later goes into new ones."""
        mine = [batch for batch in self.batches if partition in {None, batch.partition}]
        closed = Closed(mine, self.rejections, self.accepted)
        self.batches = [batch for batch in self.batches if partition not in {None, batch.partition}]
        self._open = {number: batch for number, batch in self._open.items() if partition not in {None, number}}
        self._slots = {use: slot for use, slot in self._slots.items() if partition not in {None, slot[0].partition}}
        self.rejections, self.rejected_bytes, self.accepted = [], 0, Counter()
        return closed

    def accept(self, event: Accepted, partition: int, offset: int, received_at: int) -> None:
        """Take an accepted event, which came from that place, into its batch."""
        batch, number = self.slot(event.use)
        batch.add(number, event.id, event.time, event.quantity, event.resource, partition, offset, received_at)
        self.accepted[event.use.provider] += 1
        if event.corrects:
            batch.correct(event.corrects)

    def slot(self, use: Use) -> tuple[Batch, int]:
        """Return the batch that a use's next event goes into, and the use's number in it."""
        slot = self._slots.get(use)
        if slot is None or slot[0].size > SIZE_MAX:
            slot = self._slots[use] = self._new_slot(use)
        return slot

    def _new_slot(self, use: Use) -> tuple[Batch, int]:
        partition = partition_of(use, self.partitions)
        batch = self._open.get(partition)
        if batch is None or batch.size > SIZE_MAX:
            batch = self._open[partition] = Batch(partition)
            self.batches.append(batch)
        return batch, batch.number(use)

    def reject(self, raw: Raw, event_id: str | None, refusal: Refusal, rejected_at: int) -> None:
        """Take a refused message, whole."""
        self.rejected_bytes += len(raw.payload or b"")
        self.rejections.append(rejection(raw, event_id, refusal, rejected_at, self.version))


def partition_of(use: Use, partitions: int) -> int:
    """Return the partition for usage of an award by a payer."""
    return _hash(f"{use.award}|{payer(use.subject)}") % partitions


@lru_cache(8192)
def _hash(text: str) -> int:
    return crc32(text.encode())
