"""Batches: accepted events in columns, one batch for each partition of `usage.accepted`.

Events of one award and one payer always go to the same partition, so that few workers meet on a meter.
Pure: `Sorter` is told of every raw message and hands out records ready to be encoded.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from services.contract.model import payer
from services.ingest.decide import Accepted, Use
from services.reasons import Refusal
from services.rejection import Raw, rejection


@dataclass(slots=True)
class Columns:
    """A batch being filled."""

    uses: dict[Use, int] = field(default_factory=dict)
    use: list[int] = field(default_factory=list)
    id: list[str] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    quantity: list[str] = field(default_factory=list)
    resource: list[str] = field(default_factory=list)
    digest: list[int] = field(default_factory=list)
    raw_partition: list[int] = field(default_factory=list)
    raw_offset: list[int] = field(default_factory=list)
    received_at: list[int] = field(default_factory=list)

    def add(self, number: int, event: Accepted, partition: int, offset: int, received_at: int) -> None:
        """Append an event whose use has that number."""
        self.use.append(number)
        self.id.append(event.id)
        self.time.append(event.time)
        self.quantity.append(event.quantity)
        self.resource.append(event.resource)
        self.digest.append(event.digest)
        self.raw_partition.append(partition)
        self.raw_offset.append(offset)
        self.received_at.append(received_at)

    def record(self, version: int, accepted_at: int) -> dict[str, Any]:
        """Return the record of `schemas/usage_batch.avsc`, under a batch id of its own."""
        columns = {name: getattr(self, name) for name in self.__slots__ if name != "uses"}
        uses = [use._asdict() for use in self.uses]
        return {"batch": str(uuid.uuid4()), "version": version, "accepted_at": accepted_at, "uses": uses, **columns}


@dataclass(slots=True)
class Sorter:
    """Sorts what one poll brought into a batch a partition, and rejections."""

    version: int
    partitions: int
    batches: dict[int, Columns] = field(default_factory=dict)
    rejections: list[dict[str, Any]] = field(default_factory=list)
    _slots: dict[Use, tuple[Columns, int]] = field(default_factory=dict)

    def accept(self, event: Accepted, partition: int, offset: int, received_at: int) -> None:
        """Take an accepted event, which came from that place, into its batch."""
        slot = self._slots.get(event.use)
        if slot is None:
            slot = self._slots[event.use] = self._slot(event.use)
        slot[0].add(slot[1], event, partition, offset, received_at)

    def _slot(self, use: Use) -> tuple[Columns, int]:
        """Return the batch that a use's events go into, and the use's number in it."""
        columns = self.batches.setdefault(partition_of(use, self.partitions), Columns())
        return columns, columns.uses.setdefault(use, len(columns.uses))

    def reject(self, raw: Raw, event_id: str | None, refusal: Refusal, rejected_at: int) -> None:
        """Take a refused message, whole."""
        self.rejections.append(rejection(raw, event_id, refusal, rejected_at, self.version))


def partition_of(use: Use, partitions: int) -> int:
    """Return the partition for usage of an award by a payer."""
    return crc32(f"{use.award}|{payer(use.subject)}".encode()) % partitions
