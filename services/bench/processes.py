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
    """Measures processes from `with` to its end: CPU seconds, and memory, by name.

    `progress` is set from outside, in events that are done, so that memory can be told by how far the work has come.
    """

    def __init__(self, processes: Mapping[str, Identity]) -> None:
        self._processes = dict(processes)
        self._before: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.progress = 0
        self._samples: list[tuple[int, dict[str, float]]] = []
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._before = {name: cpu_seconds(each) for name, each in self._processes.items()}
        self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cpu = {name: cpu_seconds(each) - self._before.get(name, 0.0) for name, each in self._processes.items()}
        self._ended.set()
        self._sampler.join()

    def add(self, processes: Mapping[str, Identity]) -> None:
        """Measure more processes, which were started after `with` began: all that they have used counts."""
        self._processes = {**self._processes, **processes}

    def memory(self, first: int = 0, last: int | None = None) -> dict[str, float]:
        """Return memory in MiB at its highest, by name, while `progress` was between two numbers of events."""
        highest = dict.fromkeys(self._processes, 0.0)
        for progress, sample in self._samples:
            if first <= progress and (last is None or progress <= last):
                highest |= {name: max(highest[name], mib) for name, mib in sample.items()}
        return highest

    def _sample(self) -> None:
        while True:
            progress = self.progress
            self._samples.append((progress, {name: memory_mib(each) for name, each in self._processes.items()}))
            if self._ended.wait(_SAMPLE_SECONDS):
                return
