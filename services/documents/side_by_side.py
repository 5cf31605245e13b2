"""Making invoices of a large month by several processes, the largest first, so that none is waited for alone."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

from services.documents.files import Names, Result, Task, export_invoice

SIDE_BY_SIDE_LINES = 5_000
"""From so many lines on, invoices are made by several processes at a time."""


def export_side_by_side(names: Names, tasks: Sequence[Task], out: Path) -> Iterator[Result]:
    """Export invoices: a large month side by side, the largest invoices first, so that none is waited for alone."""
    sizes = [len(each.issued.statement.lines) for each in tasks]
    if sum(sizes) < SIDE_BY_SIDE_LINES:
        yield from (export_invoice(names, each, out) for each in tasks)
        return
    by_size = sorted(tasks, key=lambda each: -len(each.issued.statement.lines))
    workers = min(len(os.sched_getaffinity(0)), len(tasks))
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (names,)) as pool:
        yield from pool.map(partial(_export_here, out), by_size)


_names: list[Names] = []


def _begin(names: Names) -> None:
    """Keep in a process of the pool what all its invoices need, and end it with the process that began it.

    One that was killed leaves its pool waiting for work for ever.
    """
    _names[:] = [names]
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent: BaseProcess | None) -> None:
    assert parent is not None, "it was begun by another process"
    parent.join()
    os._exit(1)


def _export_here(out: Path, task: Task) -> Result:
    return export_invoice(_names[0], task, out)
