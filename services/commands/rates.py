"""plafond contract rates: the lines of [[rates]] out of the table of the European Central Bank."""

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Annotated

import typer

from services.commands.month_range import months_given
from services.contract.money import CURRENCY_DIGITS, plain
from services.contract.months import first_day
from services.output import fail


def rates_command(
    file: Annotated[Path, typer.Argument(help="eurofxref-hist.csv, as the European Central Bank offers it.")],
    currency: Annotated[str, typer.Option(help="The currency's code, like USD.")],
    first: Annotated[str, typer.Option("--from", help="The first month, like 2016-01.")],
    last: Annotated[str, typer.Option("--to", help="The last month.")],
) -> None:
    """Print [[rates]] for a contract in euro: for each month the last reference rate published before it began.

    Example: `plafond contract rates eurofxref-hist.csv --currency USD --from 2016-01 --to 2016-12 >> cloud-i.toml`
    """
    months = months_given(first, last)
    if currency not in CURRENCY_DIGITS:
        fail(f"currency {currency!r} is not known; known: {', '.join(sorted(CURRENCY_DIGITS))}", 2)
    published = dict(_published(file, currency))
    lines = []
    for month in months:
        before = [day for day in published if day < first_day(month)]
        if not before or max(before) < first_day(month) - timedelta(days=31):
            fail(f"{file}: no rate of {currency} in the month before {month}; wanted a table that goes back so far")
        lines.append(f'[[rates]]\ncurrency = "{currency}"\nmonth = "{month}"\nrate = "{published[max(before)]}"\n')
    typer.echo("\n".join(lines), nl=False)


def _published(file: Path, currency: str) -> Iterator[tuple[date, str]]:
    """Yield the days with a rate; the table has N/A where a currency had none."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, skipinitialspace=True)
            if not {"Date", currency} <= set(reader.fieldnames or ()):
                fail(f"{file}: no columns Date and {currency}; wanted the table eurofxref-hist.csv")
            for row in reader:
                if row[currency] not in {"N/A", "", None}:
                    yield date.fromisoformat(row["Date"]), plain(Decimal(row[currency]))
    except (OSError, ValueError, DecimalException, csv.Error) as error:
        fail(f"{file}: can't be read: {error}")
