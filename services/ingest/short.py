"""The short way for events that are plainly written, as most are: one pass from the message to its row.

Law: it takes an event only where the long way (`read`, `Decider.decide`, `Sorter.accept`) accepts it, and then adds the
same row to the same batch; everything else it leaves to the long way, which alone refuses.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from services.ingest.batch import SIZE_MAX, Batch, Sorter
from services.ingest.decide import (
    CLOCK_SKEW_MAX,
    Decider,
    is_id,
    is_resource,
    microseconds,
    read_quantity,
    read_time,
)
from services.ingest.events import EVENT_SIZE_MAX
from services.reasons import Refusal


class _PlainData(msgspec.Struct, gc=False):
    lot: str
    item: str
    quantity: str
    region: str
    resource: str = ""
    corrects: None = None


class _PlainEvent(msgspec.Struct, gc=False):
    """`CloudEvent` where each field that may take several forms has the usual one."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: Literal["plafond.usage.v1"]
    time: str
    subject: str
    data: _PlainData
    datacontenttype: Literal["application/json"] | None = None
    corrects: None = None
    data_base64: None = None


class Record(Protocol):
    """A raw message and its place, as the broker keeps it; `timestamp` in milliseconds since 1970 UTC."""

    value: bytes | None
    partition: int
    offset: int
    timestamp: int


_decode = msgspec.json.Decoder(_PlainEvent).decode


class ShortWay:
    """Takes plainly written events into a sorter; `now` refuses the future.

    Times, and what many events say alike beside them, are decided on once for all those events.
    """

    def __init__(self, decider: Decider, sorter: Sorter, now: datetime) -> None:
        self._decider, self._sorter, self._now = decider, sorter, now
        self._times: dict[str, tuple[int, int]] = {}
        self._slots: dict[tuple[str, str, str, str, str, int], tuple[Batch, int]] = {}

    def take(self, provider: str, records: Sequence[Record]) -> int:
        """Take records that `provider` sent until one is not plain; return how many were taken."""
        taken = self._take(provider, records)
        self._sorter.accepted[provider] += taken
        return taken

    def _take(self, provider: str, records: Sequence[Record]) -> int:
        times, slots, source = self._times, self._slots, f"/providers/{provider}"
        earliest = self._decider.earliest(max(record.timestamp for record in records))
        for taken, record in enumerate(records):
            if record.value is None or len(record.value) > EVENT_SIZE_MAX:
                return taken
            try:
                event = _decode(record.value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return taken
            data, event_id, resource = event.data, event.id, event.data.resource
            if event.source != source or not is_id(event_id) or not is_resource(resource):
                return taken
            quantity = read_quantity(data.quantity)
            if isinstance(quantity, Refusal):
                return taken
            instant = times.get(event.time) or self._time(event.time)
            if instant is None or instant[0] < earliest:
                return taken
            said = (provider, event.subject, data.lot, data.item, data.region, instant[1])
            slot = slots.get(said)
            if slot is None or slot[0].size > SIZE_MAX:
                slot = self._slot(event.time, said)
                if slot is None:
                    return taken
            batch, number = slot
            batch.add(
                number, event_id, instant[0], quantity, resource, record.partition, record.offset, record.timestamp
            )
        return len(records)

    def _time(self, text: str) -> tuple[int, int] | None:
        """Return a time in microseconds since 1970 UTC, and the number of its period of the contract."""
        instant = read_time(text)
        if isinstance(instant, Refusal) or instant > self._now + CLOCK_SKEW_MAX:
            return None
        self._times[text] = microseconds(instant), self._decider.period(instant)
        return self._times[text]

    def _slot(self, time: str, said: tuple[str, str, str, str, str, int]) -> tuple[Batch, int] | None:
        """Decide on what many events say; return their batch, and the number of their use in it."""
        provider, subject, lot, item, region, _ = said
        instant = read_time(time)
        assert isinstance(instant, datetime), "only times that could be read have a period"
        use = self._decider.use(provider, lot, item, subject, region, instant)
        if isinstance(use, Refusal):
            return None
        self._slots[said] = self._sorter.slot(use)
        return self._slots[said]
