"""What processes cost: CPU time and memory, from /proc."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from services.stack.process import Identity

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 0.5
_MIB = 1024


def cpu_seconds(identity: Identity) -> float:
    """Return the CPU time of a process and all that it started, those that have ended included."""
    return sum(map(_cpu_seconds, identity.family()))


def _cpu_seconds(member: Identity) -> float:
    try:
        text = Path(f"/proc/{member.pid}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, text.rpartition(")")[2].split()[11:15])) / _TICKS


def memory_mib(identity: Identity) -> float:
    """Return the memory of a process and all that it started; what they share counts once (proportional set size)."""
    return sum(map(_memory_mib, identity.family()))


def _memory_mib(member: Identity) -> float:
    try:
        text = Path(f"/proc/{member.pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return next((int(line.split()[1]) / _MIB for line in text.splitlines() if line.startswith("Pss:")), 0.0)


class Costs:
    """Measures processes from `with` to its end: CPU seconds, and memory at its highest, by name."""

    def __init__(self, processes: Mapping[str, Identity]) -> None:
        self._processes = processes
        self.cpu: dict[str, float] = {}
        self.memory: dict[str, float] = dict.fromkeys(processes, 0.0)
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._before = {name: cpu_seconds(each) for name, each in self._processes.items()}
        self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cpu = {name: cpu_seconds(each) - self._before[name] for name, each in self._processes.items()}
        self._ended.set()
        self._sampler.join()

    def _sample(self) -> None:
        while True:
            for name, each in self._processes.items():
                self.memory[name] = max(self.memory[name], memory_mib(each))
            if self._ended.wait(_SAMPLE_SECONDS):
                return
