"""What our HTTP interfaces share: answers that say no (RFC 9457), whose key it is, documentation, and serving.

Law: whatever goes wrong is answered as a problem that says what would be right.
"""

import asyncio
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
import swagger_ui_bundle
import uvicorn
from fastapi import FastAPI, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import Counter, Histogram
from starlette import types as asgi
from starlette.exceptions import HTTPException

from services.keys import KeyRing
from services.metrics import SECONDS
from services.postgres import TRANSIENT

REQUESTS_TOTAL = Counter("plafond_gateway_requests_total", "Requests by answer.", ["status"])
REQUEST_SECONDS = Histogram("plafond_gateway_request_duration_seconds", "Time to the answer.", buckets=SECONDS)
_GUARDS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000"),  # what browsers heed over HTTPS alone
]
_OF_DATA = b"default-src 'none'; frame-ancestors 'none'"
_OF_DOCUMENTATION = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"frame-ancestors 'none'"
)
_SWAGGER = next((Path(swagger_ui_bundle.__file__).parent / "vendor").glob("swagger-ui-*"))
PROBLEM = {
    "application/problem+json": {
        "schema": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "position": {"type": "integer", "description": "in the request, from 0"},
                            "reason": {"type": "string"},
                            "explanation": {"type": "string"},
                        },
                    },
                },
            },
        }
    }
}


class Problem(Exception):  # noqa: N818 named as RFC 9457 names it
    """A request that is answered with a problem."""

    def __init__(self, code: int, title: str, detail: str, *, retry_seconds: int = 5, **extra: Any) -> None:
        super().__init__(title)
        self.code, self.title, self.detail, self.extra = code, title, detail, extra
        self.retry_seconds = retry_seconds

    def response(self) -> JSONResponse:
        """Return the answer."""
        headers = {}
        if self.code == status.HTTP_401_UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Bearer realm="plafond"'
        if self.code in {status.HTTP_429_TOO_MANY_REQUESTS, status.HTTP_503_SERVICE_UNAVAILABLE}:
            headers["Retry-After"] = str(self.retry_seconds)
        body = {"type": "about:blank", "title": self.title, "status": self.code, "detail": self.detail, **self.extra}
        return JSONResponse(body, self.code, headers, media_type="application/problem+json")


def application(title: str) -> FastAPI:
    """Make an application that has its documentation at /docs, and answers with problems."""
    app = FastAPI(title=title, version="1", docs_url=None, redoc_url=None)
    app.openapi_version = "3.0.3"  # what the bundled Swagger UI can show
    app.add_middleware(_Measured)
    app.add_exception_handler(Problem, _answer)
    app.add_exception_handler(HTTPException, _answer_framework)
    app.add_exception_handler(RequestValidationError, _answer_parameters)

    async def documentation() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=title,
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon-32x32.png",
        )

    app.add_api_route("/docs", documentation, methods=["GET"], include_in_schema=False)
    app.mount("/docs/assets", StaticFiles(directory=_SWAGGER))
    return app


def declare_key(app: FastAPI, whose: str) -> dict[str, Any]:
    """Say in the OpenAPI document that every operation wants a key, and return the document."""
    made = app.openapi()
    made.setdefault("components", {})["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": f"The {whose}'s API key."}
    }
    made["security"] = [{"key": []}]
    app.openapi_schema = made
    return made


async def owner_of_key(request: Request, ring: KeyRing, pool: asyncpg.Pool, whose: str) -> str:
    """Return whose key a request bears; raises a problem where it bears none that is valid."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    try:
        owner = await ring.find(key.strip(), pool) if scheme.lower() == "bearer" else None
    except TRANSIENT as error:
        raise Problem(503, "Can't tell whose key this is now", "The database does not answer.") from error
    if owner is None:
        raise Problem(401, "No valid API key", f"Send Authorization: Bearer with the {whose}'s API key.")
    return owner


def _guards(path: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that keep a browser from doing anything with an answer that is not meant (OWASP)."""
    return [*_GUARDS, (b"content-security-policy", _OF_DOCUMENTATION if path.startswith("/docs") else _OF_DATA)]


class _Measured:
    """Counts answers, and guards them, as plain ASGI: Starlette's own way costs tasks and streams a request."""

    def __init__(self, app: asgi.ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        began = time.perf_counter()

        async def answer(message: asgi.Message) -> None:
            if message["type"] == "http.response.start":
                _count(message["status"], began)
                message["headers"] = [*message["headers"], *_guards(scope["path"])]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            _count(HTTPStatus.INTERNAL_SERVER_ERROR, began)
            raise


def _count(status: int, began: float) -> None:
    REQUESTS_TOTAL.labels(str(int(status))).inc()
    REQUEST_SECONDS.observe(time.perf_counter() - began)


async def _answer(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem), "registered for problems only"
    return problem.response()


async def _answer_framework(_request: Request, error: Exception) -> Response:
    """Answer what FastAPI says no to by itself: no such address, no such method."""
    assert isinstance(error, HTTPException), "registered for these only"
    response = Problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail)).response()
    response.headers.update(error.headers or {})
    return response


async def _answer_parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for these only"
    wrong = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
    return Problem(422, "Bad parameters", wrong[:500]).response()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service has its own."""

    def install_signal_handlers(self) -> None:
        pass


async def serve(app: FastAPI, host: str, port: int) -> None:
    """Answer requests until cancelled."""
    config = uvicorn.Config(
        app,
        host,
        port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    server = _Server(config)
    try:
        await server.serve()
    except asyncio.CancelledError:
        server.should_exit = True
        await server.shutdown()
        raise
