"""Batches: accepted events as rows, one batch for each partition of `usage.accepted`.

Events of one award and one payer always go to the same partition, so that few workers meet on a meter. A batch's rows
are already in the form in which PostgreSQL copies them in, so that rating handles bytes and no events.
Pure: `Sorter` is told of every raw message and hands out records ready to be encoded.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any
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
    """A batch being filled for a partition; `uses` numbers the distinct decisions from 1, `counts` has their events."""

    partition: int
    uses: dict[Use, int] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    corrections: list[tuple[int, str]] = field(default_factory=list)
    size: int = 0

    def number(self, use: Use) -> int:
        """Return a use's number, a new one where it has none."""
        if use not in self.uses:
            self.uses[use] = len(self.uses) + 1
            self.counts.append(0)
            self.size += USE_SIZE
        return self.uses[use]

    def add(self, number: int, event: Accepted, partition: int, offset: int, received_at: int) -> None:
        """Append an event whose use has that number."""
        self.counts[number - 1] += 1
        row = (
            f"{len(self.rows) + 1}\t{number}\t{event.id}\t{event.time}\t{event.quantity}\t{event.resource}"
            f"\t{partition}\t{offset}\t{received_at}\n"
        )
        self.size += len(row)
        # Ids and resources are printable, and of all such characters only the backslash means something to COPY.
        self.rows.append(row.replace("\\", "\\\\") if "\\" in row else row)
        if event.corrects:
            self.size += len(event.corrects)
            self.corrections.append((len(self.rows), event.corrects))

    def record(self, version: int, accepted_at: int) -> dict[str, Any]:
        """Return the record of `schemas/usage_batch.avsc`, under a batch id of its own."""
        return {
            "batch": str(uuid.uuid4()),
            "version": version,
            "accepted_at": accepted_at,
            "uses": [msgspec.structs.asdict(use) for use in self.uses],
            "events": len(self.rows),
            "rows": "".join(self.rows).encode(),
            "corrections": [{"position": position, "corrects": event_id} for position, event_id in self.corrections],
        }


@dataclass(slots=True)
class Sorter:
    """Sorts events into batches, of which each partition has one open, and rejections."""

    version: int
    partitions: int
    batches: list[Batch] = field(default_factory=list)
    rejections: list[dict[str, Any]] = field(default_factory=list)
    rejected_bytes: int = 0
    _open: dict[int, Batch] = field(default_factory=dict)
    _slots: dict[Use, tuple[Batch, int]] = field(default_factory=dict)

    def accept(self, event: Accepted, partition: int, offset: int, received_at: int) -> None:
        """Take an accepted event, which came from that place, into its batch."""
        slot = self._slots.get(event.use)
        if slot is None or slot[0].size > SIZE_MAX:
            slot = self._slots[event.use] = self._slot(event.use)
        slot[0].add(slot[1], event, partition, offset, received_at)

    def _slot(self, use: Use) -> tuple[Batch, int]:
        """Return the batch that a use's events go into, and the use's number in it."""
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
    return crc32(f"{use.award}|{payer(use.subject)}".encode()) % partitions
