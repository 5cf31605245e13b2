"""Child processes that outlive a Ctrl-C and can be stopped from another process.

Law: a signal is only ever sent to the process that was recorded. Pids are used again, so a process is known by its
pid together with the time it started (from /proc). Every process leads a session of its own, so stopping it also
stops what it started.
"""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.03
_KILL_SECONDS = 10
_PORT_FIRST = 15_000
_LOG_LINES = 12


class StackError(Exception):
    """The local stack could not do what was asked; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that a program runs under, where that is not one's own."""

    user: int
    group: int


class _Stat(NamedTuple):
    """What /proc says about a process."""

    state: str
    parent: int
    session: int
    started: str


def _stat(pid: int) -> _Stat | None:
    """Read /proc; None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return _Stat(fields[0], int(fields[1]), int(fields[3]), f"{_boot()}/{fields[19]}")


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:8]


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can't be mistaken for a later one with the same pid."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state not in "ZX"

    @property
    def stopped(self) -> bool:
        """Whether a signal (SIGSTOP) has stopped it."""
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state == "T"

    def family(self) -> list["Identity"]:
        """Return it with all that it started: its session, and its children that left the session."""
        own = _stat(self.pid)
        if own is None or own.started != self.started:
            return []
        stats = {int(path.name): stat for path in Path("/proc").glob("[0-9]*") if (stat := _stat(int(path.name)))}
        found = {self.pid}
        while more := {pid for pid, stat in stats.items() if stat.session in found or stat.parent in found} - found:
            found |= more
        return [Identity(pid, stats[pid].started) for pid in found if pid in stats]


class Process:
    """A program in a session of its own, its output in a log file."""

    def __init__(self, identity: Identity, log: Path, handle: "subprocess.Popen[bytes] | None" = None) -> None:
        self.identity = identity
        self.log = log
        self._handle = handle
        self._log_start = 0

    @classmethod
    def start(
        cls,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        account: Account | None = None,
    ) -> Self:
        """Start a program; `environment` is added to one's own. Raises StackError when it can't be started."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            log_start = output.tell()
            try:
                handle = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(environment or {})},
                    cwd=folder,
                    start_new_session=True,
                    user=account.user if account else None,
                    group=account.group if account else None,
                    extra_groups=[] if account else None,
                )
            except OSError as error:
                raise StackError(f"{command[0]} could not be started: {error}") from error
        stat = _stat(handle.pid)
        assert stat is not None, "a child that nobody waited for has an entry in /proc"
        process = cls(Identity(handle.pid, stat.started), log, handle)
        process._log_start = log_start
        return process

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.identity.alive

    def output(self) -> str:
        """Return what it wrote since it was started from here."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", errors="replace")

    def stop(self, seconds: float = 10, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end; after `seconds` kill what is left of it. Nothing happens when it has ended."""
        family = self.identity.family()
        with suppress(ProcessLookupError):
            if family:
                os.killpg(self.identity.pid, number)
        if not _ended(family, seconds):
            self._end(family + self.identity.family())
        self._reap()

    def kill(self) -> None:
        """End it and all that it started at once (SIGKILL)."""
        self._end(self.identity.family())
        self._reap()

    def _end(self, family: list[Identity]) -> None:
        for member in family:
            with suppress(ProcessLookupError):
                if member.alive:
                    os.kill(member.pid, signal.SIGKILL)
        if not _ended(family, _KILL_SECONDS):
            raise StackError(f"process {self.identity.pid} can't be killed; its log is {self.log}")

    def _reap(self) -> None:
        if self._handle is not None:
            self._handle.wait()


def _ended(family: list[Identity], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(member.alive for member in family):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    account: Account | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, out of reach of a Ctrl-C, and return what it said."""
    return subprocess.run(
        list(command),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        start_new_session=True,
        user=account.user if account else None,
        group=account.group if account else None,
        extra_groups=[] if account else None,
    )


def wait_until(condition: Callable[[], bool], seconds: float, what: str, process: Process) -> None:
    """Wait for `what`; raises StackError with the log's last lines when the process ends or time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if not process.alive:
            raise StackError(f"{what}: the process ended. {_last_lines(process)}")
        if time.monotonic() > deadline:
            raise StackError(f"{what}: not after {seconds:g} s. {_last_lines(process)}")
        time.sleep(_POLL_SECONDS)


def _last_lines(process: Process) -> str:
    lines = process.output().splitlines()[-_LOG_LINES:]
    return "\n    ".join([f"The last lines of {process.log}:", *lines])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port of this machine's loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def require_free(port: int, what: str) -> None:
    """Raise StackError unless the port is free."""
    if not port_is_free(port):
        raise StackError(
            f"{what} can't start: port {port} is taken by another program; stop that, or give another port"
        )


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, all different.

    They lie below the range that the system gives to outgoing connections: there, a client that tries to reach a
    server that is down could be given the server's own port, and keep the server from coming back.
    """
    limit = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    candidates = list(range(_PORT_FIRST, limit)) if limit > _PORT_FIRST + 1000 else list(range(1024, 65536))
    random.shuffle(candidates)
    ports = [port for _, port in zip(range(count), filter(port_is_free, candidates), strict=False)]
    if len(ports) < count:
        raise StackError(f"no {count} free ports on {LOOPBACK}")
    return ports
