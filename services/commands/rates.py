"""plafond contract rates: the lines of [[rates]] out of the table of the European Central Bank."""

import csv
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Annotated

import typer

from services.commands.month_range import months_given
from services.contract.currencies import CURRENCY_DIGITS
from services.contract.load import RATE_MAX, RATE_MIN
from services.contract.money import plain
from services.contract.months import first_day
from services.contract.problems import one_of
from services.output import fail

FRIDAY = 5


def rates_command(
    file: Annotated[Path, typer.Argument(help="eurofxref-hist.csv, as the European Central Bank offers it.")],
    currency: Annotated[str, typer.Option(help="The currency's code, like USD.")],
    first: Annotated[str, typer.Option("--from", help="The first month, like 2016-01.")],
    last: Annotated[str, typer.Option("--to", help="The last month.")],
) -> None:
    """Print the rates of a contract in euro: each month has the last reference rate published before it began.

    A table that ends before that day is refused, and so is a currency that had no rate on it.

    Example: `plafond contract rates eurofxref-hist.csv --currency USD --from 2016-01 --to 2016-12 >> cloud-i.toml`
    """
    months = months_given(first, last)
    if currency not in CURRENCY_DIGITS:
        fail(f"--currency: found {currency!r}; wanted {one_of(CURRENCY_DIGITS, 'currencies of ISO 4217', currency)}", 2)
    published = dict(_published(file, currency))
    lines = [
        f'[[rates]]\ncurrency = "{currency}"\nmonth = "{month}"\nrate = "{_rate(file, published, currency, month)}"\n'
        for month in months
    ]
    typer.echo("\n".join(lines), nl=False)


def _rate(file: Path, published: Mapping[date, str | None], currency: str, month: str) -> str:
    """Return the rate of the last day of the table before a month; ends the command where that day can't be known."""
    begins = first_day(month)
    days = [day for day in published if day < begins]
    if not days or max(days) < begins - timedelta(days=31):
        fail(f"{file}: no day in the month before {month}; wanted a table that goes back so far")
    last = max(days)
    after = (last + timedelta(days=number) for number in range(1, (begins - last).days))
    if max(published) < begins and any(day.isoweekday() <= FRIDAY for day in after):
        fail(f"{file}: ends with {last}; wanted a table with the last day before {month} on which rates were published")
    rate = published[last]
    if rate is None:
        fail(
            f"{file}: no rate of {currency} on {last}, the last day before {month}; wanted a currency that had one then"
        )
    return rate


def _published(file: Path, currency: str) -> Iterator[tuple[date, str | None]]:
    """Yield the days of the table, each with the currency's rate; the table has N/A where it had none."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, skipinitialspace=True)
            if not {"Date", currency} <= set(reader.fieldnames or ()):
                fail(f"{file}: no columns Date and {currency}; wanted the table eurofxref-hist.csv")
            for row in reader:
                has_rate = row[currency] not in {"N/A", "", None}
                yield date.fromisoformat(row["Date"]), _sound(file, row["Date"], row[currency]) if has_rate else None
    except (OSError, ValueError, DecimalException, csv.Error) as error:
        fail(f"{file}: can't be read: {error}")


def _sound(file: Path, day: str, written: str) -> str:
    """Return a rate that a contract may have; ends the command where the table has none like that."""
    rate = Decimal(written)
    if rate.is_nan() or not RATE_MIN <= rate <= RATE_MAX:
        fail(f"{file}: found the rate {written} on {day}; wanted one from {RATE_MIN:f} to {plain(RATE_MAX)}, or N/A")
    return plain(rate)
