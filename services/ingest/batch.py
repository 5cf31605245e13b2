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


@dataclass(slots=True)
class Batch:
    """A batch being filled; `uses` numbers the distinct decisions from 1, `counts` has the events of each."""

    uses: dict[Use, int] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    def number(self, use: Use) -> int:
        """Return a use's number, a new one where it has none."""
        if use not in self.uses:
            self.uses[use] = len(self.uses) + 1
            self.counts.append(0)
        return self.uses[use]

    def add(self, number: int, event: Accepted, partition: int, offset: int, received_at: int) -> None:
        """Append an event whose use has that number."""
        self.counts[number - 1] += 1
        row = (
            f"{len(self.rows) + 1}\t{number}\t{event.id}\t{event.time}\t{event.quantity}\t{event.resource}"
            f"\t{partition}\t{offset}\t{received_at}\n"
        )
        # Ids and resources are printable, and of all such characters only the backslash means something to COPY.
        self.rows.append(row.replace("\\", "\\\\") if "\\" in row else row)

    def record(self, version: int, accepted_at: int) -> dict[str, Any]:
        """Return the record of `schemas/usage_batch.avsc`, under a batch id of its own."""
        return {
            "batch": str(uuid.uuid4()),
            "version": version,
            "accepted_at": accepted_at,
            "uses": [msgspec.structs.asdict(use) for use in self.uses],
            "events": len(self.rows),
            "rows": "".join(self.rows).encode(),
        }


@dataclass(slots=True)
class Sorter:
    """Sorts what one poll brought into a batch a partition, and rejections."""

    version: int
    partitions: int
    batches: dict[int, Batch] = field(default_factory=dict)
    rejections: list[dict[str, Any]] = field(default_factory=list)
    _slots: dict[Use, tuple[Batch, int]] = field(default_factory=dict)

    def accept(self, event: Accepted, partition: int, offset: int, received_at: int) -> None:
        """Take an accepted event, which came from that place, into its batch."""
        slot = self._slots.get(event.use)
        if slot is None:
            slot = self._slots[event.use] = self._slot(event.use)
        slot[0].add(slot[1], event, partition, offset, received_at)

    def _slot(self, use: Use) -> tuple[Batch, int]:
        """Return the batch that a use's events go into, and the use's number in it."""
        batch = self.batches.setdefault(partition_of(use, self.partitions), Batch())
        return batch, batch.number(use)

    def reject(self, raw: Raw, event_id: str | None, refusal: Refusal, rejected_at: int) -> None:
        """Take a refused message, whole."""
        self.rejections.append(rejection(raw, event_id, refusal, rejected_at, self.version))


def partition_of(use: Use, partitions: int) -> int:
    """Return the partition for usage of an award by a payer."""
    return crc32(f"{use.award}|{payer(use.subject)}".encode()) % partitions
