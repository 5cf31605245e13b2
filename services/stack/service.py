"""One of our services, as a process of the local stack."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from services.stack.process import Process, wait_until

_START_SECONDS = 60
_STOP_SECONDS = 20


class Service:
    """A command that runs until it is stopped; it is ready when its URL answers without an error."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Callable[[], Mapping[str, str]],
        ready_url: str | None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = environment
        self.ready_url = ready_url
        self.process: Process | None = None

    def launch(self) -> Process:
        """Start it without waiting."""
        self.process = Process.start(
            self.command, self.log, environment={"PYTHONUNBUFFERED": "1", **self.environment()}
        )
        return self.process

    def wait_until_ready(self) -> None:
        """Wait until its URL answers; without one, there is nothing to wait for."""
        assert self.process is not None, "launch() comes first"
        if self.ready_url is not None:
            with httpx.Client(timeout=2, trust_env=False) as client:
                url = self.ready_url
                wait_until(lambda: _answers(client, url), _START_SECONDS, f"the start of {self.name}", self.process)

    def stop(self) -> None:
        """Ask it to end, and see to it."""
        if self.process is not None:
            self.process.stop(_STOP_SECONDS)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.TransportError:
        return False
