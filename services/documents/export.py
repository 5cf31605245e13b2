"""Exporting a closed month: every invoice in all its forms, and what each supplier is expected to invoice.

Law: whatever keeps one institution's documents from being made, the others are made; and what was exported once comes
to the same bytes each time, or is not written and said.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

from services import contract_store
from services.contract.model import Contract
from services.contract.money import total
from services.documents.files import Names, Recorded, Result, Task, compare, export_invoice, write_whole
from services.documents.make import Issued
from services.documents.model import Preceding
from services.documents.parked import park
from services.documents.suppliers import supplier_csvs
from services.invoicing.close import Invoice
from services.invoicing.read import invoices_of
from services.postgres import Connection

SIDE_BY_SIDE_LINES = 5_000
"""From so many lines on, invoices are made by several processes at a time."""
SUPPLIERS = "suppliers"
_ONE_AT_A_TIME = "select pg_advisory_lock(hashtext('documents'))"
_NEXT_ONE = "select pg_advisory_unlock(hashtext('documents'))"
_CLOSED = "select version, closed_at from invoicing.month where month = $1 and closed_at is not null"
_ISSUED = "select number, institution, month, issued_at, total from invoicing.invoice where month <= $1"
_RECORDED = "select name, form, sha256, version, made_at from invoicing.document where month = $1 order by name, form"
_RECORD = """
insert into invoicing.document (month, name, form, sha256, version)
select $1, name, form, sha256, version
from unnest($2::text[], $3::text[], $4::bytea[], $5::int[]) as made(name, form, sha256, version)
on conflict do nothing
"""


class ExportError(Exception):
    """The month can't be exported; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to: a result for each invoice by number, and for each award with anything to invoice."""

    contract: Contract
    invoices: tuple[Invoice, ...]
    results: tuple[Result, ...]
    suppliers: tuple[Result, ...]

    @property
    def files(self) -> int:
        """How many files were written."""
        return sum(len(each.made) for each in (*self.results, *self.suppliers))

    @property
    def left_out(self) -> list[Result]:
        """What could not be exported."""
        return [each for each in (*self.results, *self.suppliers) if each.problems]


@dataclass(frozen=True, slots=True)
class _Books:
    """A closed month: its invoices, when all were issued, and what was exported of it before, by name."""

    month: str
    version: int
    newest: int
    names: Names
    invoices: list[Invoice]
    issued: Mapping[str, Mapping[str, Preceding]]
    recorded: Mapping[str, Mapping[str, Recorded]]


async def export_month(connection: Connection, month: str, out: Path) -> Exported:
    """Write a closed month's documents into a folder and keep the SHA-256 of what is new.

    Raises ExportError while the month is open, UnwritableError where a file can't be written.
    """
    await connection.execute(_ONE_AT_A_TIME)
    try:
        books = await _read(connection, month)
        results = sorted(export_side_by_side(books.names, _tasks(books), out), key=lambda each: each.number)
        suppliers = _export_suppliers(books, out)
        await _record(connection, month, [*results, *suppliers])
        await park(connection, month, {(each.number, each.institution): each.problems for each in results})
        return Exported(books.names.closed, tuple(books.invoices), tuple(results), tuple(suppliers))
    finally:
        await connection.execute(_NEXT_ONE)


async def _read(connection: Connection, month: str) -> _Books:
    closed = await connection.fetchrow(_CLOSED, month)
    if closed is None:
        raise ExportError(
            f"{month} is not closed, so it has no invoices yet: `plafond close {month}` closes it, "
            f"`plafond statement {month}` shows it as it stands"
        )
    version = closed["version"]
    contract = await contract_store.load_version(connection, version, as_of=closed["closed_at"])
    newest = await contract_store.newest(connection)
    assert newest is not None, "a month was closed under a version"
    recorded = await _recorded(connection, month)
    parties = {newest.version: newest.contract, version: contract}
    for each in {first.version for forms in recorded.values() for first in forms.values()} - parties.keys():
        parties[each] = await contract_store.load_version(connection, each)
    invoices = await invoices_of(connection, month)
    days = await issued_until(connection, contract, month)
    return _Books(month, version, newest.version, Names(contract, parties), invoices, days, recorded)


async def _recorded(connection: Connection, month: str) -> dict[str, dict[str, Recorded]]:
    """Return what was exported of a month before, by name and form."""
    recorded: dict[str, dict[str, Recorded]] = {}
    for row in await connection.fetch(_RECORDED, month):
        first = Recorded(row["sha256"], row["version"], row["made_at"])
        recorded.setdefault(row["name"], {})[row["form"]] = first
    return recorded


def _tasks(books: _Books) -> list[Task]:
    """Return what is to be made: who is who by the version of the close, or by the newest where that lacks something.

    What was exported before is made by the version of then.
    """
    tasks = []
    invoiced = total(each.total for mine in books.issued.values() for each in mine.values())
    for each in books.invoices:
        forms = books.recorded.get(each.number, {})
        mine = books.issued[each.statement.institution]
        earlier = {when: preceding for when, preceding in mine.items() if when < books.month}
        issued = Issued(each.number, mine[books.month].issued, each.statement, earlier, invoiced)
        versions = {first.version for first in forms.values()} or dict.fromkeys((books.version, books.newest))
        tasks.append(Task(issued, tuple(versions), forms))
    return tasks


async def issued_until(connection: Connection, contract: Contract, month: str) -> dict[str, dict[str, Preceding]]:
    """Return all invoices up to a month, by institution and month."""
    found: dict[str, dict[str, Preceding]] = {}
    for row in await connection.fetch(_ISSUED, month):
        day = row["issued_at"].astimezone(contract.zone).date()
        found.setdefault(row["institution"], {})[row["month"]] = Preceding(row["number"], day, row["total"])
    return found


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


def _export_suppliers(books: _Books, out: Path) -> list[Result]:
    results = []
    statements = [each.statement for each in books.invoices]
    for award, text in supplier_csvs(books.names.closed, books.month, statements).items():
        found, differing = compare(award, {"csv": text}, books.recorded.get(award, {}))
        if not differing:
            write_whole(out / SUPPLIERS / f"{award}.csv", text)
        results.append(Result(award, "", books.version, {} if differing else found, tuple(differing)))
    return results


async def _record(connection: Connection, month: str, results: Sequence[Result]) -> None:
    rows = [(each.number, form, digest, each.version) for each in results for form, digest in each.made.items()]
    if rows:
        await connection.execute(_RECORD, month, *map(list, zip(*rows, strict=True)))
