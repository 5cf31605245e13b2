"""A rejection: a raw message that was not taken, whole, with the reason and its place."""

import uuid
from typing import Any, NamedTuple

from services.reasons import Refusal

_NAMESPACE = uuid.UUID("6f1f6a52-1c4e-5d0e-9a8e-0d6f3f1c7a10")


class Raw(NamedTuple):
    """A raw message and its place; `received_at` is the broker's append time in milliseconds since 1970 UTC."""

    provider: str
    topic: str
    partition: int
    offset: int
    received_at: int
    key: bytes | None
    payload: bytes | None


def rejection(raw: Raw, event_id: str | None, refusal: Refusal, rejected_at: int, version: int) -> dict[str, Any]:
    """Return the record of `schemas/rejection.avsc`; its id follows from its place and the reason."""
    place = f"{raw.topic}|{raw.partition}|{raw.offset}|{raw.received_at}|{refusal.reason}"
    return {
        "rejection": str(uuid.uuid5(_NAMESPACE, place)),
        "provider": raw.provider,
        "event_id": event_id,
        "reason": refusal.reason.value,
        "explanation": refusal.explanation,
        "topic": raw.topic,
        "partition": raw.partition,
        "offset": raw.offset,
        "received_at": raw.received_at,
        "rejected_at": rejected_at,
        "version": version,
        "key": raw.key,
        "payload": raw.payload,
    }
