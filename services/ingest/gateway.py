"""The HTTP gateway: usage events from providers, answered 202 only once Kafka has them.

Law: all of a request is taken or nothing is. The door checks what needs no contract, with the consumer's own code; what
the contract says is decided behind it, where a rejection is kept and can be sent through again.
"""

import asyncio
import math
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import Counter
from starlette.requests import ClientDisconnect

from services.ingest.decide import check_form
from services.ingest.events import read_json, too_large
from services.ingest.limits import Limits
from services.ingest.outlet import UnavailableError
from services.ingest.problems import REQUEST, RESPONSES
from services.kafka import raw_topic
from services.keys import KeyRing
from services.postgres import TRANSIENT
from services.reasons import Reason, Refusal
from services.web import Problem, application, declare_key, owner_of_key

BODY_SIZE_MAX = 8 * 1024 * 1024
EVENTS_MAX = 10_000
ERRORS_SHOWN_MAX = 1_000
SLICE = 500
"""Events that are checked before another request has its turn."""
ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = ("application/x-ndjson", "application/jsonl")

EVENTS_TOTAL = Counter("plafond_gateway_events_total", "Events by what became of them.", ["provider", "outcome"])

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_REJECTIONS = """
select rejection, event_id, reason, explanation, partition, "offset", received_at
from ingest.rejection
where provider = $1 and ($3::uuid is null or (received_at, partition, "offset", rejection) < (
    select received_at, partition, "offset", rejection from ingest.rejection where rejection = $3 and provider = $1))
order by received_at desc, partition desc, "offset" desc, rejection desc limit $2
"""
_PARAMETERS = {"description": "A parameter is not of its form.", "content": RESPONSES[400]["content"]}


Send = Callable[[str, list[bytes]], Awaitable[None]]
"""Stores events in a topic, all of them, or raises UnavailableError."""


def gateway(ring: KeyRing, send: Send, pool: asyncpg.Pool, events_per_second: float = 0) -> FastAPI:
    """Make the application; a provider may push so many events a second, 0 for no limit."""
    app = application("Plafond usage gateway")
    door = Door(ring, send, pool, Limits(events_per_second))
    app.add_api_route(
        "/v1/usage", door.push, methods=["POST"], status_code=202, summary="Push usage events",
        openapi_extra=REQUEST, responses=RESPONSES,
    )  # fmt: skip
    app.add_api_route(
        "/v1/rejections", door.rejections, methods=["GET"], summary="Your newest rejections",
        responses={401: RESPONSES[401], 422: _PARAMETERS, 503: RESPONSES[503]},
    )  # fmt: skip
    declare_key(app, "provider")["paths"]["/v1/usage"]["post"]["responses"]["202"] = {
        "description": "Taken: Kafka has acknowledged every event.",
        "content": {"application/json": {"example": {"taken": 1}}},
    }
    return app


class Door:
    """Answers providers; whose key it is decides who speaks."""

    def __init__(self, ring: KeyRing, send: Send, pool: asyncpg.Pool, limits: Limits) -> None:
        self._ring, self._send, self._pool, self._limits = ring, send, pool, limits

    async def push(self, request: Request) -> Response:
        """Take one CloudEvent, a batch, or newline-delimited ones. All are taken, or none.

        Sending the same events again is harmless: an event is known by its id for ever.
        """
        provider = await owner_of_key(request, self._ring, self._pool, "provider")
        _refuse_encoded(request)
        events = _split(await _body(request), request.headers.get("content-type", ""))
        self._refuse_too_many(provider, len(events))
        await _refuse_bad(provider, events)
        if events:
            try:
                await self._send(raw_topic(provider), events)
            except UnavailableError as error:
                EVENTS_TOTAL.labels(provider, "unavailable").inc(len(events))
                detail = f"{error}. Send all of it again: events that did arrive are known by their ids."
                raise Problem(503, "Can't be stored now", detail) from error
        EVENTS_TOTAL.labels(provider, "taken").inc(len(events))
        return JSONResponse({"taken": len(events)}, 202)

    def _refuse_too_many(self, provider: str, events: int) -> None:
        if wait := self._limits.seconds_to_wait(provider, events, time.monotonic()):
            EVENTS_TOTAL.labels(provider, "limited").inc(events)
            seconds = math.ceil(wait)
            detail = f"{events} events are more than you may push now. None was taken; try again in {seconds} seconds."
            raise Problem(429, "Too many events", detail, retry_seconds=seconds)

    async def rejections(self, request: Request, limit: int = 100, after: uuid.UUID | None = None) -> Response:
        """Return the newest rejections of the provider whose key this is; of no other.

        The list goes on with `after`, the last rejection that was shown; it is empty once there are no more.
        """
        provider = await owner_of_key(request, self._ring, self._pool, "provider")
        try:
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(_REJECTIONS, provider, max(1, min(limit, 1000)), after)
        except TRANSIENT as error:
            raise Problem(503, "Can't be read now", "The database does not answer.") from error
        return Response(msgspec.json.encode({"rejections": [dict(row) for row in rows]}), media_type="application/json")


async def _body(request: Request) -> bytes:
    """Read the body, counting as it comes: a length that is announced may be wrong, or missing."""
    chunks, size = [], 0
    announced = request.headers.get("content-length", "0")
    if not announced.isascii() or not announced.isdigit() or int(announced) > BODY_SIZE_MAX:
        raise Problem(413, "Too large", f"A request may have at most {BODY_SIZE_MAX} bytes.")
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_SIZE_MAX:
                raise Problem(413, "Too large", f"A request may have at most {BODY_SIZE_MAX} bytes.")
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise Problem(400, "Cut off", "The connection ended before the body did.") from error
    return b"".join(chunks)


def _refuse_encoded(request: Request) -> None:
    """Raise a problem for a body that is compressed: what it unpacks to would have no limit."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "Unknown content encoding", "Send the body as it is, without Content-Encoding.")


def _split(body: bytes, content_type: str) -> list[bytes]:
    """Cut a body into its events' own bytes."""
    kind, _, parameters = (part.strip().lower() for part in content_type.partition(";"))
    charset = next((each.partition("=")[2].strip(' "') for each in parameters.split(";") if "charset" in each), "utf-8")
    if charset not in {"utf-8", "utf8"}:
        raise Problem(415, "Unknown charset", "JSON is sent as UTF-8 (RFC 8259).")
    if kind == ONE:
        events = [body]
    elif kind == BATCH:
        try:
            events = [bytes(each) for each in _ARRAY.decode(body)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            detail = f"A batch is a JSON array of events: {str(error)[:300]}"
            raise Problem(400, "Not a batch", detail) from error
    elif kind in LINES:
        events = [line for line in body.splitlines() if line.strip()]
    else:
        raise Problem(415, "Unknown media type", f"Send {ONE}, {BATCH} or {LINES[0]}.")
    if len(events) > EVENTS_MAX:
        raise Problem(
            413, "Too many events", f"A request may have at most {EVENTS_MAX} events; this has {len(events)}."
        )
    return events


async def _refuse_bad(provider: str, events: list[bytes]) -> None:
    """Raise a problem that names every bad event, if there is one."""
    now = datetime.now(UTC)
    bad = []
    for position, message in enumerate(events):
        if position % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        event = too_large(message) or read_json(message)
        fault = event if isinstance(event, Refusal) else check_form(provider, event, now)
        if isinstance(fault, Refusal):
            event_id = None if isinstance(event, Refusal) else event.id[:200]
            bad.append((position, event_id, fault))
    if not bad:
        return
    EVENTS_TOTAL.labels(provider, "refused").inc(len(events))
    foreign = all(fault.reason is Reason.WRONG_PROVIDER for _, _, fault in bad)
    errors = [
        {"position": position, "id": event_id, "reason": fault.reason.value, "explanation": fault.explanation}
        for position, event_id, fault in bad[:ERRORS_SHOWN_MAX]
    ]
    more = f"; the first {ERRORS_SHOWN_MAX} are named" if len(bad) > ERRORS_SHOWN_MAX else ""
    detail = f"{len(bad)} of {len(events)} events can't be taken{more}. None was taken."
    raise Problem(403 if foreign else 400, "Not yours" if foreign else "Bad events", detail, errors=errors)
