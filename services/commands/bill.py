"""plafond bill: usage files priced under a contract, without any server."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from services.commands.contract_file import contract_in
from services.commands.month_range import months_given, refuse_outside
from services.commands.rates_missing import warn_of_rates
from services.contract.currencies import amount_text, money_text
from services.contract.model import Contract
from services.contract.money import plain, total
from services.offline.bill import Bill, bill, read_usage
from services.offline.readers import read_mapping, workplace
from services.offline.source import Format, UsageFileError
from services.offline.write import summary, write
from services.output import Column, JsonOption, console, counted, errors, fail, print_json, show
from services.reasons import TEXTS, Reason

_CAME_IN = [Column("what", "what"), Column("events", "events", right=True)]
_REASONS = [Column("reason", "reason"), Column("events", "events", right=True), Column("text", "which means")]
_TOTALS = [
    Column("month", "month"), Column("institution", "institution"), Column("lines", "lines", right=True),
    Column("total", "total", right=True),
]  # fmt: skip
_CEILINGS = [
    Column("level", "level"), Column("code", "code"), Column("ceiling", "ceiling", right=True),
    Column("spent", "spent", right=True), Column("left", "left", right=True), Column("per_cent", "%", right=True),
]  # fmt: skip


def bill_command(
    contract: Annotated[Path, typer.Option(help="The contract file.", metavar="FILE")],
    usage: Annotated[list[str], typer.Option(help="A usage file; - is standard input. Repeatable.", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="Where the statements go.", metavar="DIR")],
    month: Annotated[str | None, typer.Option(help="Write only this month's statements, like 2016-03.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Bill what is promised until this month, where usage ends before it.")
    ] = None,
    form: Annotated[Format | None, typer.Option("--format", help="The files' form; else it is found out.")] = None,
    mapping: Annotated[
        Path | None, typer.Option("--map", help="For FOCUS and OpenDC files: what they don't say.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Price usage files under a contract and write statements, rejections and ceilings.

    What was promised (reserved capacity, minimums, prepaid credit) is in it until the last month with usage, or with
    --until until a later one, as it would be if each month were closed.

    Usage comes as CSV, Parquet, JSON lines of CloudEvents, a cloud bill in FOCUS form, or an OpenDC trace; .gz and .zst
    too. All files are taken together: tiers and ceilings count everything, whatever --month writes. The folder then
    holds this bill alone: what an earlier one wrote there goes. Exit status 1: there was usage, and none of it could be
    billed.

    Examples:

    `plafond bill --contract deploy/contracts/cloud-i.toml --usage march.csv --out bills`

    `plafond bill --contract deploy/contracts/cloud-i.toml --usage march.csv --until 2016-12 --out bills`

    `zcat *.jsonl.gz | plafond bill --contract deploy/contracts/cloud-i.toml --usage - --month 2016-03 --out bills`

    `plafond bill --contract deploy/contracts/cloud-i.toml --usage deploy/usage/bitbrains_small_trace.parquet
    --map deploy/usage/bitbrains.toml --out bills`
    """
    agreed = contract_in(contract)
    for each in filter(None, (month, until)):
        months_given(each, each)
        refuse_outside(agreed, each)
    try:
        with workplace() as place, _progress() as report:
            read = read_usage(place, usage, form, read_mapping(mapping) if mapping else None, report)
            made = bill(agreed, read, datetime.now(UTC), report, until or "")
            made, left_out = _of_month(made, month)
            report("writing")
            files, gone = write(out, agreed, read, made)
    except UsageFileError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror or error}")
    except duckdb.OutOfMemoryException as error:
        fail(f"not enough memory or disk: {str(error).splitlines()[0]}")
    if as_json:
        print_json(summary(agreed, read, made))
    else:
        _show(agreed, made)
        console.print(f"\n{counted(files, 'file')} in {out}", highlight=False, markup=False)
        if gone:
            console.print(f"{counted(gone, 'file')} of an earlier bill there went", highlight=False)
        _warn(made, left_out)
    if made.read and not made.accepted:
        fail("nothing of the usage could be billed: rejections.csv says why")


def _of_month(made: Bill, month: str | None) -> tuple[Bill, list[str]]:
    """Return the bill with one month's statements, and the months that are left out."""
    if month is None:
        return made, []
    kept = {key: each for key, each in made.statements.items() if key == month}
    return replace(made, statements=kept), [key for key in made.statements if key != month]


def _warn(made: Bill, left_out: list[str]) -> None:
    """Say on standard error what a reader of the tables would miss."""
    if left_out:
        errors.print(f"not written, as --month asks: the statements of {', '.join(left_out)}", highlight=False)
    warn_of_rates(made.provisional)
    for key, quantity in made.below_zero():
        what = f"{key.subject} {key.item} of {key.month} under {key.award}"
        errors.print(
            f"more was taken back than used: {what}: {plain(quantity)}", style="red", highlight=False, soft_wrap=True
        )


def _show(contract: Contract, made: Bill) -> None:
    came_in = {"accepted": made.accepted, "repeats": made.repeats, "rejected": sum(made.rejected.values())}
    rows = [{"what": what, "events": f"{events:,}"} for what, events in ({"read": made.read} | came_in).items()]
    show(rows, _CAME_IN, title="Usage")
    if made.rejected:
        reasons = [
            {"reason": each, "events": f"{events:,}", "text": TEXTS[Reason(each)]}
            for each, events in made.rejected.items()
        ]
        show(reasons, _REASONS, title="\nRejected")
    totals = [
        {"month": month, "institution": each.institution, "lines": len(each.lines),
         "total": amount_text(each.total, contract.currency)}
        for month, statements in made.statements.items()
        for each in statements
    ]  # fmt: skip
    show(totals, _TOTALS, title=f"\nStatements, {contract.currency}")
    whole = total(each.total for statements in made.statements.values() for each in statements)
    heads = counted(len(totals), "statement")
    console.print(f"{heads}, {money_text(whole, contract.currency)}", style="bold", highlight=False)
    ceilings = [
        {
            "level": each.key.level.value,
            "code": each.key.code,
            "ceiling": None if each.ceiling is None else amount_text(each.ceiling, contract.currency),
            "spent": amount_text(each.spent, contract.currency),
            "left": None if each.left is None else amount_text(each.left, contract.currency),
            "per_cent": each.per_cent,
        }
        for each in made.standings
    ]
    show(ceilings, _CEILINGS, title=f"\nCeilings, {contract.currency}")


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with errors.status("starting") as status:
        yield lambda what: status.update(f"{what} …")
