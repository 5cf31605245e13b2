"""The local stack: Kafka, PostgreSQL and any number of our services, without Docker.

Law: what was started is in the state file before anything waits for it, so `down` finds it, also from another process
and after a crash of the one that started it. As a context manager it leaves nothing running.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from services.stack.kafka import KafkaBroker
from services.stack.postgres import PostgresServer
from services.stack.process import Identity, Process, StackError, free_ports, port_is_free
from services.stack.service import Service
from services.stack.state import Record, StateFile, locked

DATABASE = "plafond"
SERVERS = ("kafka", "postgres")
_PORTS = ("kafka", "kafka-controller", "postgres")
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Part(Protocol):
    """Something that the stack starts and stops."""

    process: Process | None

    def launch(self) -> Process:
        """Start it without waiting."""

    def wait_until_ready(self) -> None:
        """Wait until it can be used."""

    def stop(self) -> None:
        """Stop it cleanly."""

    def kill(self) -> None:
        """End it at once."""


class LocalStack:
    """The stack whose data, logs and state are in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self._state = StateFile(self.folder / "state.json")
        ports = self._state.read().ports
        kafka, controller, postgres = (ports.get(name, 0) for name in _PORTS)
        self.kafka = KafkaBroker(self.folder / "kafka", kafka, controller, log=self.logs / "kafka.log")
        self.postgres = PostgresServer(self.folder / "postgres", postgres, log=self.logs / "postgres.log")
        self._parts: dict[str, Part] = {"kafka": self.kafka, "postgres": self.postgres}
        self._handlers: dict[signal.Signals, Any] = {}
        self._pending: list[Future[object]] = []
        self._hold = ExitStack()

    @property
    def bootstrap_servers(self) -> str:
        """Return where Kafka is."""
        return self.kafka.bootstrap_servers

    @property
    def database_url(self) -> str:
        """Return where our database is."""
        return self.postgres.url(DATABASE)

    def running(self) -> list[str]:
        """Return the names of what runs, in the order it was started."""
        return [name for name, record in self._state.read().processes.items() if record.process().alive]

    def identity(self, name: str) -> Identity:
        """Return the process of a service or server that runs; raises StackError when it does not."""
        process = self._part(name).process
        if process is None or not process.alive:
            raise StackError(f"{name} does not run in {self.folder}")
        return process.identity

    def up_servers(self) -> list[str]:
        """Start those of Kafka and PostgreSQL that don't run, and return their names; empty: both run already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.folder / "up.lock", wait=False):
                missing = [name for name in SERVERS if name not in self.running()]
                self._choose_ports(missing)
                self._together(self._start, missing)
                self.postgres.create_database(DATABASE)
                return missing
        except BlockingIOError:
            raise StackError(f"the stack in {self.folder} is being started by another process") from None

    def add(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        ready_url: str | None = None,
    ) -> None:
        """Make a service known; PLAFOND_KAFKA and PLAFOND_DATABASE_URL will tell it where the servers are."""
        if name in SERVERS:
            raise StackError(f"a service can't be named {name}")
        log = self.logs / f"{name}.log"
        self._parts[name] = Service(
            name, command, log, lambda: {**self.environment(), **(environment or {})}, ready_url
        )

    def environment(self) -> dict[str, str]:
        """Return what a service's environment says of the servers; they must have been up once."""
        return {"PLAFOND_KAFKA": self.bootstrap_servers, "PLAFOND_DATABASE_URL": self.database_url}

    def start_service(self, *names: str) -> None:
        """Start services (or servers) by name, all at once, and wait until they are ready; those that run stay."""
        self._together(self._start, [name for name in names if self._part(name) and name not in self.running()])

    def stop_service(self, *names: str) -> None:
        """Stop services (or servers) by name, cleanly."""
        self._together(lambda name: self._part(name).stop(), names)
        self._forget(names)

    def kill_service(self, *names: str) -> None:
        """End services (or servers) by name at once (SIGKILL)."""
        self._together(lambda name: self._part(name).kill(), names)
        self._forget(names)

    def held(self) -> ExitStack:
        """Keep other commands from starting or stopping the stack until this is closed; ends with the process, too.

        Raises StackError where another command has it.
        """
        hold = ExitStack()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            hold.enter_context(locked(self.folder / "run.lock", wait=False))
        except BlockingIOError:
            raise StackError(
                f"a command works with the stack in {self.folder}: wait for its end, or stop it with Ctrl-C"
            ) from None
        return hold

    def down(self) -> list[str]:
        """Stop all that runs, the services before the servers, and return the names."""
        names = self.running()
        services = [name for name in names if name not in SERVERS]
        for group in (services, [name for name in names if name in SERVERS]):
            self._together(self._stop_recorded, group)
        self._forget(self._state.read().processes)
        return names

    def __enter__(self) -> Self:
        if names := self.running():
            raise StackError(f"the stack in {self.folder} runs already ({', '.join(names)}): take it down first")
        self._hold = self.held()
        if threading.current_thread() is threading.main_thread():
            self._take_signals()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)
        try:
            self.down()
            wait(self._pending)  # what a Ctrl-C found half started is recorded now
            self.down()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._handlers = {}
            self._hold.close()

    def _take_signals(self) -> None:
        """Leave the context on SIGTERM and SIGHUP as on Ctrl-C; what was ignored (nohup) stays ignored."""
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *_SIGNALS)}
        for number in _SIGNALS:
            if self._handlers[number] is not signal.SIG_IGN:
                signal.signal(number, _leave)

    def _part(self, name: str) -> Part:
        if name not in self._parts:
            raise StackError(f"the stack has no service {name}; it has {', '.join(self._parts)}")
        part = self._parts[name]
        record = self._state.read().processes.get(name)
        if record is not None and (part.process is None or Record.of(part.process) != record):
            part.process = record.process()
        return part

    def _start(self, name: str) -> None:
        part = self._part(name)
        process = part.launch()
        with self._state.change() as state:
            state.processes.pop(name, None)
            state.processes[name] = Record.of(process)
        part.wait_until_ready()

    def _stop_recorded(self, name: str) -> None:
        """Stop a part in its own way; a service that another process added, as any process is stopped."""
        if name in self._parts:
            self._part(name).stop()
        elif record := self._state.read().processes.get(name):
            record.process().stop()

    def _forget(self, names: Iterable[str]) -> None:
        if gone := list(names):
            with self._state.change() as state:
                state.processes = {name: record for name, record in state.processes.items() if name not in gone}

    def _choose_ports(self, servers: Sequence[str]) -> None:
        """Keep a server's ports from last time where they are free, else take others."""
        with self._state.change() as state:
            others = [port for port in free_ports(2 * len(_PORTS)) if port not in state.ports.values()]
            for name, other in zip(_PORTS, others, strict=False):
                port = state.ports.get(name)
                if name.partition("-")[0] in servers and (port is None or not port_is_free(port)):
                    state.ports[name] = other
            self.kafka.port, self.kafka.controller_port, self.postgres.port = (state.ports[name] for name in _PORTS)

    def _together(self, action: Callable[[str], object], names: Sequence[str]) -> None:
        """Act on all at once, and wait for all; then raise the first error.

        The work is done in threads, which no signal interrupts: a Ctrl-C never comes between the start of a process
        and its record.
        """
        if not names:
            return
        pool = ThreadPoolExecutor(len(names), "stack")
        futures = [pool.submit(action, name) for name in names]
        self._pending = [future for future in self._pending if not future.done()] + futures
        pool.shutdown(wait=False)
        wait(futures)
        for future in futures:
            future.result()


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
