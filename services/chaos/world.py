"""The system under chaos: the local stack with proxies before its servers, and small disks below them where one may."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from services.bench.usage import FIRST_HOUR
from services.chaos.contract import low_ceilings
from services.chaos.proxy import Proxy
from services.postgres import connect
from services.stack.local import LocalStack
from services.stack.plafond import SERVICES, Addresses, Plafond, servers
from services.stack.postgres_files import home, server_account
from services.stack.process import LOOPBACK, StackError, free_ports, run

SERVERS = ("kafka", "postgres")
SECOND = "second"
DISK = "6g"
_SUPERVISE_SECONDS = 0.5
_SLACK_KIB = 64
WORK_SECONDS_MAX = 30.0
_LOOK_SECONDS = 0.2
_BATCHES = re.compile(r"^plafond_batch_events_count\{.*\} [1-9]", re.MULTILINE)
_VERSION = re.compile(r"^plafond_contract_version\{.*\} (\S+)", re.MULTILINE)
_TRIES = 20


class Disks:
    """A small disk (tmpfs) for each server, which can be full; only root may mount them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.mounted: list[str] = []

    def mount(self) -> None:
        """Mount them where that is allowed; `mounted` says which."""
        if os.geteuid() != 0:
            return
        for name in SERVERS:
            owner = self._place(name).stat()
            options = f"size={DISK},mode=0755,uid={owner.st_uid},gid={owner.st_gid}"
            if not self._mount("-t", "tmpfs", "-o", options, "tmpfs", str(self._place(name))):
                self.mounted.append(name)

    def fill(self, name: str) -> None:
        """Leave next to no byte free. What is written meanwhile makes the size too small, so it is tried again."""
        for _ in range(_TRIES):
            status = os.statvfs(self._place(name))
            used = (status.f_blocks - status.f_bfree) * status.f_frsize // 1024
            error = self._mount("-o", f"remount,size={used + _SLACK_KIB}k", str(self._place(name)))
            if not error:
                return
        raise StackError(f"the small disk of {name} can't be made full: {error}")

    def free(self, name: str) -> None:
        """Give the disk its size back."""
        if error := self._mount("-o", f"remount,size={DISK}", str(self._place(name))):
            raise StackError(f"the small disk of {name} can't be made large again: {error}")

    def unmount(self) -> None:
        """Take them away, with what is on them."""
        for name in self.mounted:
            run(["umount", "-l", str(self._place(name))])
        self.mounted = []

    def _place(self, name: str) -> Path:
        """Return where a server's data are: PostgreSQL's elsewhere, where its account can't reach the folder."""
        folder = (self._folder / name).resolve()
        if name == "postgres":
            return home(folder, server_account())
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @staticmethod
    def _mount(*words: str) -> str:
        result = run(["mount", *words])
        return (result.stderr.strip() or "refused") if result.returncode else ""


class World:
    """The stack, its proxies, and a supervisor that starts again what ends by itself, as systemd would."""

    def __init__(self, folder: Path) -> None:
        self.disks = Disks(folder)
        self.disks.mount()
        self.stack = LocalStack(folder)
        kafka, self._kafka_second, postgres, *self._ports = free_ports(3 + 2 * len(SERVICES))
        self.stack.kafka.proxied = (self._kafka_second, kafka)
        self.kafka = Proxy(kafka, self._kafka_second)
        self.postgres = Proxy(postgres, 0)
        self.clock = folder / "clock"
        self.restarts: list[str] = []
        self.poison = 0
        self.contract = low_ceilings()
        self.latest: Callable[[], datetime] = lambda: FIRST_HOUR
        self.awards: list[str] = []
        self._probes: dict[str, str] = {}
        self._wanted: set[str] = set()
        self._starting = asyncio.Lock()  # so that nothing is started twice

    def up(self) -> Plafond:
        """Start the servers and make the services known, each with a second worker."""
        plafond = servers(self.stack)
        self.postgres.target = Addresses.port_of(self.stack.database_url.rpartition("/")[0])
        self.set_clock(0)
        gateway = Addresses.port_of(plafond.addresses.gateway)
        for number, name in enumerate(SERVICES):
            self._add(name, name, Addresses.port_of(plafond.addresses.probes[name]), gateway, "1")
            port, second_gateway = self._ports[2 * number : 2 * number + 2]
            self._add(f"{name}-{SECOND}", name, port, second_gateway, "2")
        return plafond

    async def open(self) -> None:
        """Open the proxies."""
        await self.kafka.start()
        await self.postgres.start()

    async def start(self, *names: str) -> None:
        """Start services or servers that don't run, and keep them running from now on."""
        async with self._starting:
            await asyncio.to_thread(self.stack.start_service, *names)
            self._wanted |= set(names)

    async def stop(self, *names: str) -> None:
        """Stop services or servers cleanly."""
        self._wanted -= set(names)
        await asyncio.to_thread(self.stack.stop_service, *names)

    async def kill(self, *names: str) -> None:
        """End services or servers at once."""
        self._wanted -= set(names)
        await asyncio.to_thread(self.stack.kill_service, *names)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a service that runs."""
        os.kill(self.stack.identity(name).pid, number)

    async def has_worked(self, name: str) -> bool:
        """Wait until a service has done a batch since its start; False when it takes too long."""
        for _ in range(int(WORK_SECONDS_MAX / _LOOK_SECONDS)):
            answer = await self._answer(name)
            if answer and _BATCHES.search(answer.text):
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def version_of(self, name: str) -> int | None:
        """Return the contract version that a service works with; None when it does not answer."""
        answer = await self._answer(name)
        found = _VERSION.search(answer.text) if answer else None
        return int(float(found[1])) if found else None

    async def clock_of(self, name: str) -> float | None:
        """Return by how many seconds a service's clock is off; None when it does not answer."""
        answer = await self._answer(name)
        if answer is None:
            return None
        return (parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)).total_seconds()

    async def asked(self, statement: str, *parameters: object) -> Any:
        """Return the one value that a statement selects."""
        connection = await connect(self.stack.database_url)
        try:
            return await connection.fetchval(statement, *parameters)
        finally:
            await connection.close()

    async def _answer(self, name: str) -> httpx.Response | None:
        """Return what a service's probes say; None when it is away."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            try:
                return await client.get(self._probes[name])
            except httpx.TransportError:
                return None

    def set_clock(self, seconds: int) -> None:
        """Let the services' clocks be off by so many seconds."""
        self.clock.write_text(f"{seconds:+d}\n", "ascii")

    async def supervise(self) -> None:
        """Start again what ended by itself, and note it, until cancelled."""
        while True:
            await asyncio.sleep(_SUPERVISE_SECONDS)
            async with self._starting:
                await self._start_what_ended()

    async def close(self) -> None:
        """Stop all services, then the proxies that they used."""
        await self.stop(*(name for name in self.stack.running() if name not in SERVERS))
        await self.kafka.stop()
        await self.postgres.stop()

    async def _start_what_ended(self) -> None:
        for name in sorted(self._wanted - set(self.stack.running())):
            self.restarts += [name] if name not in SERVERS else []  # a server may end when its disk is full
            await asyncio.to_thread(self._start_again, name)

    def _start_again(self, name: str) -> None:
        try:
            self.stack.start_service(name)
        except StackError:
            return  # it is wanted still, and tried again

    def _add(self, name: str, service: str, port: int, gateway: int, instance: str) -> None:
        url = urlsplit(self.stack.database_url)
        environment = {
            "PLAFOND_PORT": str(port),
            "PLAFOND_GATEWAY_PORT": str(gateway),
            "PLAFOND_INSTANCE": instance,
            "PLAFOND_KAFKA": f"{LOOPBACK}:{self.kafka.port}",
            "PLAFOND_DATABASE_URL": url._replace(
                netloc=f"{url.username}:{url.password}@{LOOPBACK}:{self.postgres.port}"
            ).geturl(),
        }
        self._probes[name] = f"http://{LOOPBACK}:{port}/metrics"
        command = [sys.executable, "-m", "services.chaos.clock", str(self.clock), "run", service]
        self.stack.add(name, command, environment, f"http://{LOOPBACK}:{port}/readyz")
