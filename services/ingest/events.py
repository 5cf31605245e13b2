"""The wire forms of a usage event: CloudEvents 1.0 as structured JSON, or our Avro record.

Law: whatever bytes come, `read` answers with an event or a refusal; it never raises. A quantity that is
a JSON number is taken digit by digit from the bytes, never through a float.
"""

import msgspec

from services.avro import MARKER, UnreadableError, codec
from services.reasons import Reason, Refusal

EVENT_TYPE = "plafond.usage.v1"
EVENT_SIZE_MAX = 64 * 1024
"""Bytes of one event: an event has ten short fields."""


class UsageEvent(msgspec.Struct, frozen=True, gc=False):
    """A usage event as it was sent: every field still the sender's text."""

    id: str
    source: str
    time: str
    subject: str
    lot: str
    item: str
    quantity: str
    region: str
    resource: str = ""
    corrects: str = ""


class CloudEventData(msgspec.Struct, gc=False):
    """`data` of a usage CloudEvent; fields it does not name are kept in the raw topic and ignored."""

    lot: str
    item: str
    quantity: msgspec.Raw
    region: str
    resource: str | None = None
    corrects: str | None = None


class CloudEvent(msgspec.Struct, gc=False):
    """A usage event in CloudEvents 1.0 JSON format; `source` is /providers/<provider>.

    `corrects` belongs into `data`; beside it, as an extension attribute, it means the same.
    """

    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str
    data: CloudEventData
    datacontenttype: str | None = None
    corrects: str | None = None
    data_base64: str | None = None


_JSON = msgspec.json.Decoder(CloudEvent)


def read(message: bytes) -> UsageEvent | Refusal:
    """Read one event in either form."""
    if refusal := too_large(message):
        return refusal
    if message.startswith(MARKER):
        return _read_avro(message)
    return read_json(message)


def too_large(message: bytes) -> Refusal | None:
    """Refuse a message that is larger than an event may be."""
    if len(message) <= EVENT_SIZE_MAX:
        return None
    return Refusal(Reason.TOO_LARGE, f"{len(message)} bytes; at most {EVENT_SIZE_MAX}")


def read_json(message: bytes) -> UsageEvent | Refusal:
    """Read one CloudEvent in JSON format."""
    try:
        event = _JSON.decode(message)
        quantity = _written(event.data.quantity)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Refusal(Reason.MALFORMED, _first_line(error))
    if event.specversion != "1.0":
        return Refusal(Reason.MALFORMED, f"specversion {_show(event.specversion)}; wanted 1.0")
    if event.type != EVENT_TYPE:
        return Refusal(Reason.MALFORMED, f"type {_show(event.type)}; wanted {EVENT_TYPE}")
    if event.datacontenttype is not None and not event.datacontenttype.lower().startswith("application/json"):
        return Refusal(Reason.MALFORMED, f"datacontenttype {_show(event.datacontenttype)}; wanted application/json")
    if event.data_base64 is not None:
        return Refusal(Reason.MALFORMED, "both data and data_base64")
    data = event.data
    return UsageEvent(
        event.id, event.source, event.time, event.subject, data.lot, data.item, quantity, data.region,
        data.resource or "", data.corrects or event.corrects or "",
    )  # fmt: skip


def _written(quantity: msgspec.Raw) -> str:
    """Return a quantity's own digits, whether it is a JSON text or number; raises what reading JSON raises."""
    text = str(quantity, "utf-8")
    if not text.startswith('"'):
        return text
    return text[1:-1] if "\\" not in text else msgspec.json.decode(quantity, type=str)


def _read_avro(message: bytes) -> UsageEvent | Refusal:
    reader = codec("usage_event")
    if not reader.knows(message):
        return Refusal(Reason.UNKNOWN_SCHEMA, f"fingerprint {message[2:10].hex() or 'missing'}")
    try:
        record = reader.decode(message)
    except UnreadableError as error:
        return Refusal(Reason.MALFORMED, str(error)[:500])
    record["resource"] = record["resource"] or ""
    record["corrects"] = record["corrects"] or ""
    return UsageEvent(**record)


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:500] or type(error).__name__


def _show(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:97] + "...")
