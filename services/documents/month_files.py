"""Files of a whole month in FOCUS: what its invoices' files say, one after the other.

Law: they hold the rows of the invoices that were written, in the order of their numbers, and nothing else.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from services.documents.files import COST_AND_USAGE, FOCUS_1_2, INVOICE_DETAIL, Result, UnwritableError, write_whole
from services.documents.focus_1_4 import billing_period

_JOINED = {
    FOCUS_1_2: "focus-1.2.csv",
    COST_AND_USAGE: "focus-1.4/cost-and-usage.csv",
    INVOICE_DETAIL: "focus-1.4/invoice-detail.csv",
}
_BILLING_PERIOD = "focus-1.4/billing-period.csv"
MONTH_FILES = (*_JOINED.values(), _BILLING_PERIOD)


def write_month(out: Path, month: str, zone: ZoneInfo, issuer: str, issued: date, results: Sequence[Result]) -> int:
    """Write a month's files into a folder that has those of its invoices, and return how many."""
    made = sorted((each for each in results if each.made), key=lambda each: each.number)
    if not made:
        return 0
    for form, name in _JOINED.items():
        _join(out / name, (out / each.institution / f"{each.number}.{form}" for each in made))
    write_whole(out / _BILLING_PERIOD, billing_period(month, zone, issuer, issued))
    return len(MONTH_FILES)


def _join(path: Path, parts: Iterable[Path]) -> None:
    """Write CSV files one after the other, with the header of the first; raises UnwritableError where that can't be."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as whole:
            for number, each in enumerate(parts):
                with each.open("rb") as rows:
                    header = rows.readline()
                    whole.write(b"" if number else header)
                    whole.writelines(rows)
        part.replace(path)
    except OSError as error:
        raise UnwritableError(f"{path}: can't be written: {error.strerror or error}") from error
