"""Files of a whole month in FOCUS: what its documents' files say, one after the other.

Law: they hold the rows of the documents that were written, in the order of their numbers, and nothing else; of the same
documents they are the same bytes, or are not written and said.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

from services.documents.files import (
    COST_AND_USAGE,
    FOCUS_1_2,
    INVOICE_DETAIL,
    Recorded,
    Result,
    UnwritableError,
    differing,
)
from services.documents.focus_1_4 import billing_period

_JOINED = {
    FOCUS_1_2: "focus-1.2.csv",
    COST_AND_USAGE: "focus-1.4/cost-and-usage.csv",
    INVOICE_DETAIL: "focus-1.4/invoice-detail.csv",
}
_BILLING_PERIOD = "focus-1.4/billing-period.csv"
MONTH_FILES = (*_JOINED.values(), _BILLING_PERIOD)


def month_name(results: Sequence[Result]) -> str:
    """Return what a month's files are called in the ledger: documents are added to a month and never taken away, so
    their count tells which ones the files hold, where none is left out.
    """
    return f"month/{sum(bool(each.made) for each in results)}"


def write_month(
    out: Path, bounds: tuple[str, ZoneInfo], issuer: str, issued: date, results: Sequence[Result],
    recorded: Mapping[str, Recorded],
) -> Result:  # fmt: skip
    """Write a month's files into a folder that has those of its documents, unless they differ from what is `recorded`.

    `bounds` are the month and its zone. Raises UnwritableError where a file can't be written.
    """
    made = sorted((each for each in results if each.made), key=lambda each: each.number)
    parts: dict[str, Iterable[bytes]] = {
        name: _joined([out / each.institution / f"{each.number}.{form}" for each in made])
        for form, name in _JOINED.items()
    }
    parts[_BILLING_PERIOD] = [billing_period(*bounds, issuer, issued)]
    found = {name: _write_part(out / name, each) for name, each in parts.items()}
    problems = differing(found, recorded, "")
    for name in parts:
        _finish(out / name, keep=not problems)
    return Result(month_name(results), "", made[0].version, {} if problems else found, tuple(problems))


def _joined(files: Sequence[Path]) -> Iterable[bytes]:
    """Yield the lines of CSV files one after the other, with the header of the first."""
    for number, each in enumerate(files):
        with each.open("rb") as rows:
            header = rows.readline()
            yield b"" if number else header
            yield from rows


def _write_part(path: Path, lines: Iterable[bytes]) -> bytes:
    """Write a file beside where it is to be, and return its SHA-256: months are larger than what memory should hold."""
    digest = sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _part(path).open("wb") as whole:
            for each in lines:
                digest.update(each)
                whole.write(each)
    except OSError as error:
        raise UnwritableError(f"{path}: can't be written: {error.strerror or error}") from error
    return digest.digest()


def _finish(path: Path, *, keep: bool) -> None:
    try:
        if keep:
            _part(path).replace(path)
        else:
            _part(path).unlink()
    except OSError as error:
        raise UnwritableError(f"{path}: can't be written: {error.strerror or error}") from error


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
