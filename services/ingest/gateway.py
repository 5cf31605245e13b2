"""The HTTP gateway: usage events from providers, answered 202 only once Kafka has them.

Law: all of a request is taken or nothing is. The door checks what needs no contract, with the consumer's own code; what
the contract says is decided behind it, where a rejection is kept and can be sent through again.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import swagger_ui_bundle
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from prometheus_client import Counter, Histogram

from services.ingest.decide import check_form
from services.ingest.events import read_json, too_large
from services.ingest.keys import KeyRing
from services.ingest.outlet import UnavailableError
from services.ingest.problems import REQUEST, RESPONSES, Problem
from services.kafka import raw_topic
from services.metrics import SECONDS
from services.postgres import TRANSIENT
from services.reasons import Reason, Refusal

BODY_SIZE_MAX = 8 * 1024 * 1024
EVENTS_MAX = 10_000
ERRORS_SHOWN_MAX = 1_000
ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = ("application/x-ndjson", "application/jsonl")

REQUESTS_TOTAL = Counter("plafond_gateway_requests_total", "Requests by answer.", ["status"])
REQUEST_SECONDS = Histogram("plafond_gateway_request_duration_seconds", "Time to the answer.", buckets=SECONDS)
EVENTS_TOTAL = Counter("plafond_gateway_events_total", "Events by what became of them.", ["provider", "outcome"])

_BEARER = HTTPBearer(auto_error=False)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_REJECTIONS = """
select rejection, event_id, reason, explanation, partition, "offset", received_at
from ingest.rejection where provider = $1 order by received_at desc, partition, "offset" desc limit $2
"""
_SWAGGER = next((Path(swagger_ui_bundle.__file__).parent / "vendor").glob("swagger-ui-*"))


Send = Callable[[str, list[bytes]], Awaitable[None]]
"""Stores events in a topic, all of them, or raises UnavailableError."""


def gateway(ring: KeyRing, send: Send, pool: asyncpg.Pool) -> FastAPI:
    """Make the application."""
    app = FastAPI(title="Plafond usage gateway", version="1", docs_url=None, redoc_url=None)
    app.openapi_version = "3.0.3"  # what the bundled Swagger UI can show
    door = Door(ring, send, pool)
    app.middleware("http")(_measure)
    app.add_exception_handler(Problem, _answer)
    app.add_api_route(
        "/v1/usage", door.push, methods=["POST"], status_code=202, summary="Push usage events",
        openapi_extra=REQUEST, responses=RESPONSES,
    )  # fmt: skip
    app.add_api_route(
        "/v1/rejections", door.rejections, methods=["GET"], summary="Your newest rejections",
        responses={401: RESPONSES[401], 503: RESPONSES[503]},
    )  # fmt: skip
    app.add_api_route("/docs", _documentation, methods=["GET"], include_in_schema=False)
    app.mount("/docs/assets", StaticFiles(directory=_SWAGGER))
    _declare_key(app)
    return app


class Door:
    """Answers providers; whose key it is decides who speaks."""

    def __init__(self, ring: KeyRing, send: Send, pool: asyncpg.Pool) -> None:
        self._ring, self._send, self._pool = ring, send, pool

    async def push(self, request: Request) -> Response:
        """Take one CloudEvent, a batch, or newline-delimited ones. All are taken, or none.

        Sending the same events again is harmless: an event is known by its id for ever.
        """
        provider = await self._sender(request)
        events = _split(await _body(request), request.headers.get("content-type", ""))
        _refuse_bad(provider, events)
        if events:
            try:
                await self._send(raw_topic(provider), events)
            except UnavailableError as error:
                EVENTS_TOTAL.labels(provider, "unavailable").inc(len(events))
                detail = f"{error}. Send all of it again: events that did arrive are known by their ids."
                raise Problem(503, "Can't be stored now", detail) from error
        EVENTS_TOTAL.labels(provider, "taken").inc(len(events))
        return JSONResponse({"taken": len(events)}, 202)

    async def rejections(self, request: Request, limit: int = 100) -> Response:
        """Return the newest rejections of the provider whose key this is; of no other."""
        provider = await self._sender(request)
        try:
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(_REJECTIONS, provider, max(1, min(limit, 1000)))
        except TRANSIENT as error:
            raise Problem(503, "Can't be read now", "The database does not answer.") from error
        shown = [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]
        return JSONResponse({"rejections": shown})

    async def _sender(self, request: Request) -> str:
        credentials = await _BEARER(request)
        provider = self._ring.provider_of(credentials.credentials) if credentials else None
        if provider is None:
            raise Problem(401, "No valid API key", "Send Authorization: Bearer with the provider's API key.")
        return provider


async def _measure(request: Request, call_next: Any) -> Response:
    began = time.perf_counter()
    response: Response = await call_next(request)
    REQUESTS_TOTAL.labels(str(response.status_code)).inc()
    REQUEST_SECONDS.observe(time.perf_counter() - began)
    return response


async def _answer(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem), "registered for problems only"
    return problem.response()


async def _documentation() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Plafond usage gateway",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon-32x32.png",
    )


async def _body(request: Request) -> bytes:
    """Read the body, counting as it comes: a length that is announced may be wrong, or missing."""
    chunks, size = [], 0
    announced = request.headers.get("content-length", "0")
    if not announced.isascii() or not announced.isdigit() or int(announced) > BODY_SIZE_MAX:
        raise Problem(413, "Too large", f"A request may have at most {BODY_SIZE_MAX} bytes.")
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_SIZE_MAX:
            raise Problem(413, "Too large", f"A request may have at most {BODY_SIZE_MAX} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def _split(body: bytes, content_type: str) -> list[bytes]:
    """Cut a body into its events' own bytes."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == ONE:
        events = [body]
    elif kind == BATCH:
        try:
            events = [bytes(each) for each in _ARRAY.decode(body)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            detail = f"A batch is a JSON array of events: {type(error).__name__} {str(error)[:300]}"
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


def _refuse_bad(provider: str, events: list[bytes]) -> None:
    """Raise a problem that names every bad event, if there is one."""
    now = datetime.now(UTC)
    bad = []
    for position, message in enumerate(events):
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


def _declare_key(app: FastAPI) -> None:
    """Say in the OpenAPI document that every operation wants a key."""
    made = app.openapi()
    made.setdefault("components", {})["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "The provider's API key."}
    }
    made["security"] = [{"key": []}]
    made["paths"]["/v1/usage"]["post"]["responses"]["202"] = {
        "description": "Taken: Kafka has acknowledged every event.",
        "content": {"application/json": {"example": {"taken": 1}}},
    }
    app.openapi_schema = made
