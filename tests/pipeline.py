"""The three services as processes, on servers of the test's own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from services import contract_store
from services.audit.run import Finding, audit, wait_until_through
from services.invoicing.close import Invoice, close_month
from services.invoicing.read import ceilings_of, statements_of
from services.kafka import Message, Sender, ensure_topics, raw_topic, topics
from services.offsets import Offsets
from services.postgres import connect, migrate
from services.stack.process import Identity, free_ports
from services.stack.service import Service

SERVICES = ("ingest", "rating", "invoicing")


class Pipeline:
    """The services and what a test asks of them."""

    def __init__(self, folder: Path, kafka: str, url: str) -> None:
        self.kafka, self.url = kafka, url
        ports = free_ports(4)
        self.gateway = f"http://127.0.0.1:{ports[3]}"
        self.probes = {name: f"http://127.0.0.1:{port}" for name, port in zip(SERVICES, ports, strict=False)}
        self.environment = {"PLAFOND_KAFKA": kafka, "PLAFOND_DATABASE_URL": url}
        self._folder, self._ports = folder, ports
        self._services = {name: self.service(name, port) for name, port in zip(SERVICES, ports, strict=False)}

    def service(self, name: str, port: int, instance: str = "1", gateway_port: int | None = None) -> Service:
        """Return one worker of a service, not yet started."""
        environment = {
            **self.environment,
            "PLAFOND_PORT": str(port),
            "PLAFOND_GATEWAY_PORT": str(gateway_port or self._ports[3]),
            "PLAFOND_INSTANCE": instance,
        }
        command = [sys.executable, "-m", "services.cli", "run", name]
        log = self._folder / f"{name}-{instance}.log"
        return Service(name, command, log, lambda: environment, f"http://127.0.0.1:{port}/readyz")

    async def prepare(self, contract: str) -> None:
        """Make the schema and the topics, and apply the contract."""
        connection = await connect(self.url)
        try:
            await migrate(connection)
            stored = await contract_store.apply(connection, contract)
        finally:
            await connection.close()
        await ensure_topics(self.kafka, topics(stored.contract.providers))

    async def start(self, *names: str) -> None:
        """Start services and wait until they are ready."""
        self.launch(*(names or SERVICES))
        for name in names or SERVICES:
            await asyncio.to_thread(self._services[name].wait_until_ready)

    def launch(self, *names: str) -> None:
        """Start services without waiting."""
        for name in names:
            self._services[name].launch()

    async def stop(self, *names: str) -> None:
        """Stop services cleanly."""
        await asyncio.gather(*(asyncio.to_thread(self._services[name].stop) for name in names or SERVICES))

    def kill(self, name: str) -> None:
        """End a service as a crash would."""
        self._services[name].kill()

    def alive(self, name: str) -> bool:
        """Tell whether a service's process runs."""
        process = self._services[name].process
        return process is not None and process.alive

    async def ended(self, name: str) -> None:
        """Wait until a service has ended by itself."""
        async with asyncio.timeout(60):
            while self.alive(name):
                await asyncio.sleep(0.1)

    async def taken_up(self, name: str, version: int) -> None:
        """Wait until a service works with a contract version."""
        line = f'plafond_contract_version{{service="{name}"}} {version}.0'
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while line not in (await client.get(f"{self.probes[name]}/metrics")).text.splitlines():
                await asyncio.sleep(0.1)

    def identity(self, name: str) -> Identity:
        """Return a running service's process."""
        process = self._services[name].process
        assert process is not None, f"{name} does not run"
        return process.identity

    async def push(self, provider: str, events: Iterable[bytes]) -> None:
        """Write messages straight into a provider's topic."""
        sender = Sender(self.kafka, "test")
        try:
            await sender.send([Message(raw_topic(provider), event) for event in events])
        finally:
            await sender.stop()

    async def read_by(self, group: str, wanted: Callable[[str], bool], look: Callable[[], None] = lambda: None) -> None:
        """Wait until one group has read all of its topics; `look` is called now and then meanwhile."""
        async with Offsets(self.kafka) as offsets, asyncio.timeout(120):
            while any((await offsets.lag(group, wanted)).values()):
                look()
                await asyncio.sleep(0.1)

    async def through(self, seconds: float = 60) -> None:
        """Wait until all that was pushed has been through every service."""
        async with Offsets(self.kafka) as offsets:
            behind = await wait_until_through(offsets, seconds)
        assert not behind, "\n".join([*behind, *(self.log(name) for name in SERVICES)])

    async def audit(self) -> list[Finding]:
        """Return the identities that break."""
        connection = await connect(self.url)
        try:
            return [finding for finding in await audit(connection, self.kafka, 60) if finding.breaches]
        finally:
            await connection.close()

    async def close(self, month: str) -> list[Invoice]:
        """Close a month."""
        connection = await connect(self.url)
        try:
            stored = await contract_store.newest(connection)
            assert stored is not None
            return await close_month(connection, stored, month)
        finally:
            await connection.close()

    async def statements(self, month: str) -> list[Invoice]:
        """Return a month's statements as they stand."""
        connection = await connect(self.url)
        try:
            stored = await contract_store.newest(connection)
            assert stored is not None
            return await statements_of(connection, stored.contract, month)
        finally:
            await connection.close()

    async def spent(self) -> dict[str, Any]:
        """Return what is spent, by level and code."""
        connection = await connect(self.url)
        try:
            stored = await contract_store.newest(connection)
            assert stored is not None
            return {
                f"{each.key.level} {each.key.code}": each.spent
                for each in await ceilings_of(connection, stored.contract)
            }
        finally:
            await connection.close()

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask the database."""
        connection = await connect(self.url)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    def command(self, *words: str, status: int = 0) -> str:
        """Run `plafond` as a user would and return what it printed; the exit status must be as given."""
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *words],
            env={**os.environ, **self.environment, "COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if not status else done.stdout + done.stderr

    def json(self, *words: str, status: int = 0) -> Any:
        """Run `plafond … --json` and return what it answered."""
        return json.loads(self.command(*words, "--json", status=status))

    def log(self, name: str) -> str:
        """Return the end of a service's log."""
        path = self._folder / f"{name}-1.log"
        return f"--- {name}\n" + "\n".join(path.read_text().splitlines()[-15:]) if path.exists() else ""


def event(
    provider: str,
    number: int | str,
    *,
    subject: str = "EP",
    item: str = "vm",
    quantity: str = "1",
    lot: str = "2",
    region: str = "fr-paris",
    time: str = "2016-03-02T10:00:00Z",
    source: str | None = None,
) -> bytes:
    """Make a CloudEvent in structured JSON."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": str(number),
            "source": source or f"/providers/{provider}",
            "type": "plafond.usage.v1",
            "time": time,
            "subject": subject,
            "data": {"lot": lot, "item": item, "quantity": quantity, "region": region},
        }
    ).encode()
