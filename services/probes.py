"""/metrics, /healthz and /readyz of a service, on a port of its own.

/healthz answers 200 while the event loop turns and no task has died; /readyz answers 200 only when every
check passed within the last seconds, and names those that did not.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], Awaitable[None]]
CHECK_SECONDS_MAX = 2.0


class Probes:
    """Serves the probes while entered; a check raises when its part is not ready."""

    def __init__(self, host: str, port: int, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._host, self._port = host, port
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        answers = await asyncio.gather(*(_answer(check) for check in self._checks.values()))
        problems = {name: answer for name, answer in zip(self._checks, answers, strict=True) if answer}
        body = {"status": "not ready" if problems else "ready", "problems": problems}
        return web.Response(text=json.dumps(body), status=503 if problems else 200, content_type="application/json")


async def _answer(check: Check) -> str | None:
    try:
        await asyncio.wait_for(check(), CHECK_SECONDS_MAX)
    except Exception as error:  # noqa: BLE001 a probe tells any failure, whatever its kind
        return f"{type(error).__name__}: {error}"
    return None
