"""Our own usage columns, in CSV or Parquet: one row an event, every field as text.

No quantity passes through a float: CSV is read as text, Parquet's DECIMAL is written out digit by digit,
and a DOUBLE is refused.
"""

import csv

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from services.offline.lines import Line, Unread
from services.offline.source import Source, UsageFileError
from services.reasons import Reason, Refusal

COLUMNS = ("id", "provider", "time", "subject", "lot", "item", "quantity", "region")
OPTIONAL_COLUMNS = ("resource", "corrects")
_DELIMITERS = (",", ";", "\t")
_TEXT_TYPES = {"VARCHAR", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
               "UBIGINT", "UHUGEINT"}  # fmt: skip

_BAD_ROWS = """
select line, any_value(error_type), any_value(csv_line), any_value(error_message)
from bad_row group by line order by line
"""


def read_csv(database: DuckDBPyConnection, source: Source, nulls: list[str] | None = None) -> DuckDBPyRelation:
    """Read a CSV file with a header, all columns as text; what is no row of it is in `bad_rows` once it is read."""
    delimiter, names = _header(database, source)
    again = sorted({name for name in names if names.count(name) > 1})
    if again:
        raise source.error(f"more than one column {', '.join(again)}")
    try:
        return database.read_csv(
            str(source.path), header=True, auto_detect=False, columns=dict.fromkeys(names, "VARCHAR"), sep=delimiter,
            quotechar='"', escapechar='"', na_values=nulls or [""], strict_mode=True,
            store_rejects=True, rejects_table="bad_row", rejects_scan="bad_scan",
        )  # fmt: skip
    except duckdb.Error as error:
        raise unreadable(source, error) from error


def forget_bad_rows(database: DuckDBPyConnection) -> None:
    """Begin a file: what was noted of an earlier one is gone."""
    database.execute("drop table if exists bad_row; drop table if exists bad_scan")


def bad_rows(database: DuckDBPyConnection, source: Source) -> list[Line]:
    """Return the lines of the CSV file just read that are no rows of it; raises UsageFileError for an open quote."""
    [(there,)] = database.execute("select count(*) from duckdb_tables() where table_name = 'bad_row'").fetchall()
    if not there:
        return []
    found = []
    for number, kind, text, why in database.execute(_BAD_ROWS).fetchall():
        if kind == "UNQUOTED VALUE" and "\n" in text.strip():
            raise source.error(f"line {number}: a quote that is opened here is never closed")
        reason = Reason.TOO_LARGE if kind == "LINE SIZE OVER MAXIMUM" else Reason.MALFORMED
        found.append(Line(number, Unread(text.strip().encode(), Refusal(reason, why), number)))
    return found


def read_parquet(database: DuckDBPyConnection, source: Source) -> DuckDBPyRelation:
    """Read a Parquet file."""
    try:
        return database.read_parquet(str(source.path))
    except duckdb.Error as error:
        raise unreadable(source, error) from error


def own_columns(source: Source, rows: DuckDBPyRelation) -> DuckDBPyRelation:
    """Return the ten fields of a usage event, all text; columns of other names are left out."""
    types = {name.lower(): str(kind) for name, kind in zip(rows.columns, rows.types, strict=True)}
    missing = [name for name in COLUMNS if name not in types]
    if missing:
        raise source.error(
            f"no column {', '.join(missing)}; wanted {', '.join(COLUMNS)} and maybe {', '.join(OPTIONAL_COLUMNS)}"
        )
    fields = [
        _as_text(source, name, types[name]) if name in types else f"'' as {name}"
        for name in (*COLUMNS, *OPTIONAL_COLUMNS)
    ]
    fields[COLUMNS.index("provider")] = "'/providers/' || coalesce(cast(provider as varchar), '') as source"
    return rows.project(", ".join(fields))


def unreadable(source: Source, error: Exception) -> UsageFileError:
    """Return the error of a file that DuckDB can't read, on one line."""
    said = " ".join(line.strip() for line in str(error).splitlines()[:4] if line.strip())
    return source.error(f"can't be read: {said[:500]}")


def _header(database: DuckDBPyConnection, source: Source) -> tuple[str, list[str]]:
    """Return the delimiter (comma, semicolon or tab, whichever makes most columns) and the names in the first line."""
    try:
        found = database.read_csv(
            str(source.path), header=False, auto_detect=False, columns={"line": "VARCHAR"}, sep="\x01",
            quotechar="", escapechar="", strict_mode=False,
        ).limit(1).fetchall()  # fmt: skip
    except duckdb.Error as error:
        raise unreadable(source, error) from error
    line = found[0][0] if found else None
    if not line:
        raise source.error("empty; wanted a header")
    readings = [(sep, next(csv.reader([line.removeprefix("\ufeff")], delimiter=sep), [])) for sep in _DELIMITERS]
    return max(readings, key=lambda reading: len(reading[1]))


def _as_text(source: Source, name: str, kind: str) -> str:
    if kind in _TEXT_TYPES or (name == "quantity" and kind.startswith("DECIMAL")):
        return f"coalesce(cast({name} as varchar), '') as {name}"
    if name == "time" and kind == "TIMESTAMP WITH TIME ZONE":
        return "coalesce(strftime(time, '%Y-%m-%dT%H:%M:%S.%fZ'), '') as time"
    wanted = {"quantity": "text or DECIMAL: a float has lost digits", "time": "text or a timestamp with time zone"}
    raise source.error(f"column {name} is {kind}; wanted {wanted.get(name, 'text')}")
