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

    def add(self, raw: Raw, event: Accepted) -> None:
        """Append an event."""
        self.use.append(self.uses.setdefault(event.use, len(self.uses)))
        self.id.append(event.id)
        self.time.append(event.time)
        self.quantity.append(event.quantity)
        self.resource.append(event.resource)
        self.digest.append(event.digest)
        self.raw_partition.append(raw.partition)
        self.raw_offset.append(raw.offset)
        self.received_at.append(raw.received_at)

    def record(self, version: int, accepted_at: int) -> dict[str, Any]:
        """Return the record of `schemas/usage_batch.avsc`, under a batch id of its own."""
        columns = {name: getattr(self, name) for name in self.__slots__ if name != "uses"}
        uses = [{name: getattr(use, name) for name in Use.__slots__} for use in self.uses]
        return {"batch": str(uuid.uuid4()), "version": version, "accepted_at": accepted_at, "uses": uses, **columns}


@dataclass(slots=True)
class Sorter:
    """Sorts what one poll brought into a batch a partition, and rejections."""

    version: int
    partitions: int
    batches: dict[int, Columns] = field(default_factory=dict)
    rejections: list[dict[str, Any]] = field(default_factory=list)
    _partition_of: dict[Use, int] = field(default_factory=dict)

    def accept(self, raw: Raw, event: Accepted) -> None:
        """Take an accepted event into its partition's batch."""
        partition = self._partition_of.get(event.use)
        if partition is None:
            partition = self._partition_of[event.use] = partition_of(event.use, self.partitions)
        columns = self.batches.get(partition)
        if columns is None:
            columns = self.batches[partition] = Columns()
        columns.add(raw, event)

    def reject(self, raw: Raw, event_id: str | None, refusal: Refusal, rejected_at: int) -> None:
        """Take a refused message, whole."""
        self.rejections.append(rejection(raw, event_id, refusal, rejected_at, self.version))


def partition_of(use: Use, partitions: int) -> int:
    """Return the partition for usage of an award by a payer."""
    return crc32(f"{use.award}|{payer(use.subject)}".encode()) % partitions
