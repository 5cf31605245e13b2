"""Exporting a closed month: every invoice in all its forms, and what each supplier is expected to invoice.

Law: whatever keeps one institution's documents from being made, the others are made; and what was exported once comes
to the same bytes each time, or is not written and said.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

from services import contract_store
from services.contract.model import Contract
from services.contract.money import ZERO, total
from services.documents.corrections import corrections, set_off_on
from services.documents.files import (
    Names,
    Recorded,
    Result,
    Task,
    compare,
    export_invoice,
    lying_there,
    write_whole,
)
from services.documents.make import Issued, origins
from services.documents.model import Preceding
from services.documents.month_files import month_name, write_month
from services.documents.parked import park
from services.documents.suppliers import supplier_csvs
from services.invoicing.close import Invoice
from services.invoicing.credits import BorneBy
from services.invoicing.issued import IssuedDocument, issued_since
from services.invoicing.read import invoices_of
from services.invoicing.settle import PostingKey
from services.invoicing.statement import Statement
from services.postgres import Connection

SIDE_BY_SIDE_LINES = 5_000
"""From so many lines on, invoices are made by several processes at a time."""
SUPPLIERS = "suppliers"
_ONE_AT_A_TIME = "select pg_advisory_lock(hashtext('documents'))"
_NEXT_ONE = "select pg_advisory_unlock(hashtext('documents'))"
_CLOSED = "select version, closed_at from invoicing.month where month = $1 and closed_at is not null"
_ISSUED = "select number, institution, month, issued_at, total from invoicing.invoice where month <= $1"
# What was issued anew by the close of a month, of months before it, as the last that came counts.
_ANEW = """
select reissue.number, institution, month, reissue.issued_at
from invoicing.reissue join invoicing.credit_note as note on note.number = credit_note
where month < $1 and reissue.issued_at < $2 and borne_by = 'nobody' order by reissue.issued_at, reissue.number
"""
# What was credited by then and not charged again.
_CREDITED = """
select institution, sum(total) as credited, coalesce(sum(total) filter (where borne_by = 'supplier'), 0) as of_suppliers
from (
    select institution, total, borne_by, issued_at from invoicing.credit_note
    union all
    select institution, -total, borne_by, reissue.issued_at
    from invoicing.reissue join invoicing.credit_note on credit_note.number = credit_note
) as every
where borne_by <> 'nobody' and issued_at < $1 group by institution
"""
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
    """What an export came to: a result for each invoice by number, for each award with anything to invoice, and for the
    files of the whole month, if any document was written.
    """

    contract: Contract
    invoices: tuple[Invoice, ...]
    results: tuple[Result, ...]
    suppliers: tuple[Result, ...]
    whole: Result | None

    @property
    def files(self) -> int:
        """How many files were written."""
        return sum(len(each.made) for each in self._all)

    @property
    def left_out(self) -> list[Result]:
        """What could not be exported."""
        return [each for each in self._all if each.problems]

    @property
    def _all(self) -> tuple[Result, ...]:
        return (*self.results, *self.suppliers, *filter(None, [self.whole]))


@dataclass(frozen=True, slots=True)
class _Books:
    """A closed month: its invoices, what corrects them, when all were issued, and what was exported before, by name.

    `credited` is what was credited by the close, by institution, and `of_suppliers` what suppliers bear of it;
    `set_off` is what lines have been raised by, since it was credited before, and `not_of_suppliers` undoes what of
    that is between the coordinator and the institutions.
    """

    month: str
    version: int
    newest: int
    names: Names
    invoices: list[Invoice]
    since: list[IssuedDocument]
    issued: Mapping[str, Mapping[str, Preceding]]
    credited: Mapping[str, Decimal]
    of_suppliers: Decimal
    set_off: Mapping[PostingKey, Decimal]
    not_of_suppliers: Statement
    recorded: Mapping[str, Mapping[str, Recorded]]


async def export_month(connection: Connection, month: str, out: Path, *, only_missing: bool = False) -> Exported:
    """Write a closed month's documents into a folder and keep the SHA-256 of what is new.

    With `only_missing`, an invoice whose files lie there as they were exported first is not made again. Raises
    ExportError while the month is open, UnwritableError where a file can't be written.
    """
    await connection.execute(_ONE_AT_A_TIME)
    try:
        books = await _read(connection, month)
        tasks = _tasks(books)
        there = [each for task in tasks if (each := lying_there(task, out))] if only_missing else []
        known = {each.number for each in there}
        missing = [each for each in tasks if each.issued.number not in known]
        made = export_side_by_side(books.names, missing, out)
        results = sorted([*there, *made], key=lambda each: each.number)
        suppliers = _export_suppliers(books, out)
        await _record(connection, month, [*results, *suppliers])
        await park(connection, month, {(each.number, each.institution): each.problems for each in results})
        whole = _write_month(books, results, out)
        if whole and _is_complete(results):
            await _record(connection, month, [whole])
        every = sorted([*books.invoices, *(each.invoice for each in books.since)], key=lambda each: each.number)
        return Exported(books.names.closed, tuple(every), tuple(results), tuple(suppliers), whole)
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
    since = await issued_since(connection, month)
    used = {first.version for forms in recorded.values() for first in forms.values()}
    used |= {each.version for each in since if each.anew and each.version}
    for each in used - parties.keys():
        parties[each] = await contract_store.load_version(connection, each)
    invoices = await invoices_of(connection, month)
    days = await issued_until(connection, contract, month, closed["closed_at"])
    rows = await connection.fetch(_CREDITED, closed["closed_at"])
    return _Books(
        month, version, newest.version, Names(contract, parties), invoices, since, days,
        {row["institution"]: row["credited"] for row in rows}, total(row["of_suppliers"] for row in rows),
        *await set_off_on(connection, month), recorded,
    )  # fmt: skip


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
    shared = origins(each.statement for each in books.invoices)
    invoiced = total((*(each.total for mine in books.issued.values() for each in mine.values()), books.of_suppliers))
    for each in books.invoices:
        forms = books.recorded.get(each.number, {})
        mine = books.issued[each.statement.institution]
        earlier = {when: preceding for when, preceding in mine.items() if when < books.month}
        credited = books.credited.get(each.statement.institution, ZERO)
        day = mine[books.month].issued
        issued = Issued(each.number, day, each.statement, earlier, invoiced, shared, credited, set_off=books.set_off)
        tasks.append(Task(issued, _versions(books, each.number), forms))
    return [*tasks, *_since(books)]


def _since(books: _Books) -> list[Task]:
    """Return what is to be made of credit notes, and of what was issued anew."""
    own = {each.number: each for mine in books.issued.values() for each in mine.values()}
    return [
        Task(issued, _versions(books, issued.number), books.recorded.get(issued.number, {}))
        for issued in corrections(books.names.closed, own, books.since)
    ]


def _versions(books: _Books, number: str) -> tuple[int, ...]:
    """Return which contract versions may say who is who, the first first.

    That is the one that it was exported by before; of what was issued anew, the one of then; of a credit note, the one
    of what it takes back; else the one of the close, or the newest where that lacks something.
    """
    if forms := books.recorded.get(number):
        return tuple({first.version for first in forms.values()})
    for each in books.since:
        if each.number == number and each.anew and each.version:
            return tuple(dict.fromkeys((each.version, books.newest)))
        if each.number == number and each.corrects:
            return _versions(books, each.corrects)
    return tuple(dict.fromkeys((books.version, books.newest)))


async def issued_until(
    connection: Connection, contract: Contract, month: str, until: datetime
) -> dict[str, dict[str, Preceding]]:
    """Return all invoices up to a month, by institution and month; of those issued anew by then, the last number."""
    found: dict[str, dict[str, Preceding]] = {}
    for row in await connection.fetch(_ISSUED, month):
        day = row["issued_at"].astimezone(contract.zone).date()
        found.setdefault(row["institution"], {})[row["month"]] = Preceding(row["number"], day, row["total"])
    for row in await connection.fetch(_ANEW, month, until):
        day = row["issued_at"].astimezone(contract.zone).date()
        mine = found[row["institution"]]
        mine[row["month"]] = Preceding(row["number"], day, mine[row["month"]].total)
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
    statements = [*(each.statement for each in books.invoices), books.not_of_suppliers]
    for award, text in supplier_csvs(books.names.closed, books.month, statements).items():
        results.append(_supplier_file(books, award, text, out))
    for each in books.since:
        if each.borne_by == BorneBy.SUPPLIER:
            for award, text in supplier_csvs(books.names.closed, books.month, [each.statement]).items():
                results.append(_supplier_file(books, f"{award}/{each.number}", text, out))
    return results


def _supplier_file(books: _Books, name: str, text: bytes, out: Path) -> Result:
    found, others = compare(name, {"csv": text}, books.recorded.get(name, {}))
    if not others:
        write_whole(out / SUPPLIERS / f"{name}.csv", text)
    return Result(name, "", books.version, {} if others else found, tuple(others))


def _write_month(books: _Books, results: Sequence[Result], out: Path) -> Result | None:
    """Write the files of the whole month, if it has any document; who issues is told as on the first of these."""
    first = min((each for each in results if each.made), key=lambda each: each.number, default=None)
    if first is None:
        return None
    coordinator = books.names.parties[first.version].coordinator
    assert coordinator is not None, "the document has its seller from there"
    issued = max(mine[books.month].issued for mine in books.issued.values() if books.month in mine)
    recorded = books.recorded.get(month_name(results), {}) if _is_complete(results) else {}
    bounds = (books.month, books.names.closed.zone)
    return write_month(out, bounds, coordinator.party.legal_name, issued, results, recorded)


def _is_complete(results: Sequence[Result]) -> bool:
    """Tell whether every document was written: files of fewer are good to read, but none's to be held to."""
    return not any(each.problems for each in results)


async def _record(connection: Connection, month: str, results: Sequence[Result]) -> None:
    rows = [(each.number, form, digest, each.version) for each in results for form, digest in each.made.items()]
    if rows:
        await connection.execute(_RECORD, month, *map(list, zip(*rows, strict=True)))
