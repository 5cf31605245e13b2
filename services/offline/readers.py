"""Usage files of every form as the same events.

Law: a file's rows all come out, each as the ten fields of a usage event in the sender's own text, in the order
of the file; nothing is judged here, so that every form meets the same core.
"""

import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from services.contract.problems import Problem
from services.contract.reading import Section
from services.ingest.events import UsageEvent
from services.offline import focus, lines, opendc, tables
from services.offline.focus import FocusMap
from services.offline.lines import Unread
from services.offline.opendc import OpenDCMap
from services.offline.source import Format, Source, UsageFileError, sources

BATCH_SIZE = 20_000
Mapping = FocusMap | OpenDCMap


@contextmanager
def workplace(threads: int | None = None) -> Iterator[tuple[DuckDBPyConnection, Path]]:
    """Open a DuckDB in memory that may spill to a folder, and the folder; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="plafond-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": str(Path(folder) / "spill"),
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
        }
        if threads:
            settings["threads"] = threads
        with duckdb.connect(config=settings) as database:
            database.execute("set TimeZone = 'UTC'")
            yield database, Path(folder)


def events(
    files: Iterable[str], form: Format | None = None, mapping: Mapping | None = None
) -> Iterator[list[UsageEvent | Unread]]:
    """Read files one after the other in batches, for sending; `Unread` is a line that is no event."""
    with workplace() as (database, folder):
        for source in sources(list(files), folder):
            yield from read(database, source, form, mapping)


def read(
    database: DuckDBPyConnection, source: Source, form: Format | None, mapping: Mapping | None
) -> Iterator[list[UsageEvent | Unread]]:
    """Read one file in batches."""
    found = columns(database, source, form, mapping)
    if found is None:
        yield from ([each.event for each in batch] for batch in lines.batches(source))
        return
    try:
        found.rows.create_view("incoming", replace=True)
        result = database.execute("from incoming")
        while fetched := result.fetchmany(BATCH_SIZE):
            yield [UsageEvent(*fields) for fields in fetched]
        yield [each.event for each in tables.bad_rows(database, source)]
    except duckdb.Error as error:
        raise tables.unreadable(source, error) from error


class Columns(NamedTuple):
    """A file's events in ten columns, in the order of the file, and the line that the first one stands on."""

    rows: DuckDBPyRelation
    first_line: int


def columns(
    database: DuckDBPyConnection, source: Source, form: Format | None, mapping: Mapping | None
) -> Columns | None:
    """Return a file's events as columns; None for JSON lines, which are read one by one."""
    tables.forget_bad_rows(database)
    try:
        form = form or source.guess()
    except (OSError, EOFError, ValueError) as error:
        raise source.error(f"can't be read: {error}") from error
    if form is Format.JSONL:
        return None
    if form in {Format.PARQUET, Format.OPENDC}:
        rows = tables.read_parquet(database, source)
        if form is Format.OPENDC or set(opendc.TRACE) <= set(rows.columns):
            return Columns(opendc.usage(database, source, rows, _opendc_map(source, mapping)), 1)
        if set(opendc.META) <= set(rows.columns):
            raise source.error("describes the machines of an OpenDC trace; give the trace, …_trace.parquet")
        return Columns(tables.own_columns(source, rows), 1)
    rows = tables.read_csv(database, source)
    if form is Format.FOCUS or set(focus.HEADER) <= set(rows.columns):
        bill = tables.read_csv(database, source, focus.NULLS)
        return Columns(focus.usage(database, source, bill, mapping if isinstance(mapping, FocusMap) else FocusMap()), 2)
    return Columns(tables.own_columns(source, rows), 2)


def read_mapping(path: Path) -> Mapping:
    """Read a mapping file; every mistake in it is in the error."""
    try:
        table = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise UsageFileError(f"{path}: can't be read: {error}") from error
    problems: list[Problem] = []
    section = Section(table, "", problems)
    form = section.choice("format", [Format.FOCUS, Format.OPENDC])
    mapping: Mapping = OpenDCMap.read(section) if form == Format.OPENDC else FocusMap.read(section)
    if problems:
        raise UsageFileError("\n".join(f"{path}: {problem}" for problem in problems))
    return mapping


def _opendc_map(source: Source, mapping: Mapping | None) -> OpenDCMap:
    if not isinstance(mapping, OpenDCMap):
        raise source.error('an OpenDC trace names no customers; give --map with format = "opendc" and [[tenants]]')
    return mapping
