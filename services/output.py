"""What commands print: a table for people, JSON for machines, errors on standard error.

Exit statuses: 0 done, 1 the answer is no (a contract with mistakes, an audit that breaks), 2 the call's words
are off, 3 a server could not be reached or refused.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.contract.money import plain

WORDS = 10
"""The least width of a column of words."""

console = Console(soft_wrap=False)
errors = Console(stderr=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column: the row's key, the heading, whether to align right, may be cut to fit, or must stay whole.

    A `spare` one is left out where the table is too wide otherwise, and that is said.
    """

    key: str
    heading: str
    right: bool = False
    cut: bool = False
    whole: bool = False
    spare: bool = False


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, title: str, as_json: bool = False) -> None:
    """Print rows as a table that fits the terminal, or as one JSON list."""
    rows = list(rows)
    if as_json:
        print_json(rows)
        return
    columns, left_out = _fitting(rows, columns)
    cells = _cells(rows, columns)
    console.print(title, style="bold", markup=False, highlight=False)
    table = Table(header_style="bold", box=None, pad_edge=False)
    numbers_fit = _needed(cells, columns) <= console.width  # else they go over several lines, and lose no digit
    for index, column in enumerate(columns):
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            overflow="ellipsis" if column.cut else "fold",
            no_wrap=(column.right and numbers_fit) or column.cut or column.whole,
            max_width=_room(cells, columns, index) if column.cut else None,
        )
    for row_cells in cells:
        table.add_row(*map(escape, row_cells))
    console.print(table)
    if left_out:
        console.print(f"left out of the narrow table: {', '.join(left_out)}", style="dim", highlight=False)


def _cells(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[list[str]]:
    return [[text(row.get(column.key)) for column in columns] for row in rows]


def _fitting(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> tuple[list[Column], list[str]]:
    """Return the columns that fit, without the last spare ones, and the headings of those."""
    kept = list(columns)
    left_out: list[str] = []
    while _needed(_cells(rows, kept), kept) > console.width and (spare := [each for each in kept if each.spare]):
        kept.remove(spare[-1])
        left_out.insert(0, spare[-1].heading)
    return kept, left_out


def _needed(cells: list[list[str]], columns: Sequence[Column]) -> int:
    """Return how wide a table must be for numbers to stay on one line, while words go over several."""
    return sum(
        2 + (max([len(column.heading), *(len(row[index]) for row in cells)]) if column.right or column.whole else WORDS)
        for index, column in enumerate(columns)
    )


def _room(cells: list[list[str]], columns: Sequence[Column], cut: int) -> int:
    """Return the width that is left for a column that may be cut, once the others have theirs."""
    others = sum(
        2 + max([len(column.heading), *(len(row[index]) for row in cells)])
        for index, column in enumerate(columns)
        if index != cut
    )
    return max(8, console.width - others)


def text(value: object) -> str:
    """Write one cell."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def print_json(data: object) -> None:
    """Print JSON: decimals as text, instants in RFC 3339."""
    typer.echo(json.dumps(data, default=_jsonable, ensure_ascii=False, indent=2))


def write_json(path: Path, data: object) -> None:
    """Write JSON to a file; one that can't be written ends the command with status 2."""
    try:
        path.write_text(json.dumps(data, default=_jsonable, ensure_ascii=False, indent=2) + "\n", "utf-8")
    except OSError as error:
        fail(f"{path}: can't be written: {error.strerror}", 2)


def require_writable(path: Path) -> None:
    """End the command with status 2 where a file can't be written, before work is done that it is to hold."""
    try:
        path.open("a").close()
    except OSError as error:
        fail(f"{path}: can't be written: {error.strerror}", 2)


def fail(message: str, status: int = 1) -> NoReturn:
    """Say on standard error what is wrong and end with that exit status."""
    errors.print(f"plafond: {escape(message)}", style="red", highlight=False, soft_wrap=True)
    raise typer.Exit(status)


def counted(number: int, what: str) -> str:
    """Write so many of something: 1 line, 2 lines."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def grouped(number: Decimal) -> str:
    """Write a number with all its digits, thousands apart."""
    return f"{Decimal(plain(number)):,f}"


def _jsonable(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")
