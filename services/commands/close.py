"""plafond close: close a month, or ask what is in its way."""

from collections.abc import Sequence
from typing import Annotated

import typer

from services.closing.checklist import as_data, checklist
from services.closing.close import NotCleanError, close_checked
from services.closing.due import Outcome, close_due
from services.closing.model import Item, is_clean
from services.commands.month import refuse_no_month, show_totals, totals_data
from services.commands.servers import DatabaseOption, on_contract
from services.contract.model import Contract
from services.contract_store import StoredContract
from services.invoicing.close import CloseError, Invoice
from services.output import Column, JsonOption, console, fail, print_json, show
from services.postgres import Connection

REASON_MAX = 500
_COLUMNS = [
    Column("weight", "", whole=True), Column("check", "check"), Column("about", "about"), Column("found", "found"),
    Column("wanted", "wanted"),
]  # fmt: skip


def close_command(
    database_url: DatabaseOption,
    month: Annotated[str | None, typer.Argument(help="The month, like 2016-03.", metavar="MONTH")] = None,
    due: Annotated[bool, typer.Option("--due", help="Instead: every month whose grace is over, in order.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Close nothing: print the month's checklist.")] = False,
    override: Annotated[
        str | None,
        typer.Option(help="Close it although the checklist is not clean, for this reason.", metavar="REASON"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Close a month: settle what is provisional, number the invoices, and let nothing change any more.

    Its checklist must be clean, or be overridden with a reason that stays on record, with who gave it. What is refused
    (a missing rate, less than nothing used, an earlier month that is open) can't be overridden. Exit status 1: a month
    was not closed, or with --check its checklist is not clean.

    Examples: `plafond close 2016-03 --check`, `plafond close 2016-03`, `plafond close --due`,
    `plafond close 2016-03 --override "gigas has confirmed by phone that it delivered nothing"`
    """
    if (month is None) is not due or (due and (check or override is not None)) or (check and override is not None):
        fail("name one MONTH, with --check or --override or neither; or give --due alone", 2)
    if override is not None and not 0 < len(override.strip()) <= REASON_MAX:
        fail(f"--override: wanted a reason of 1 to {REASON_MAX} characters", 2)
    if month is None:
        _close_due(database_url, as_json=as_json)
        return
    refuse_no_month(month)
    if check:
        _check(database_url, month, as_json=as_json)
    else:
        _close(database_url, month, override and override.strip(), as_json=as_json)


def _check(database_url: str, month: str, *, as_json: bool) -> None:
    async def work(connection: Connection, stored: StoredContract) -> list[Item]:
        return await checklist(connection, stored, month)

    items = on_contract(database_url, work)
    if as_json:
        print_json([as_data(each) for each in items])
    else:
        show_checklist(items, f"Checklist of {month}")
    if not is_clean(items):
        raise typer.Exit(1)


def show_checklist(items: Sequence[Item], title: str) -> None:
    """Print a checklist, and what it comes to."""
    if items:
        show([as_data(each) for each in items], _COLUMNS, title=title)
    if is_clean(items):
        console.print("clean: it can be closed", style="bold green")
    else:
        console.print("not clean: what is refused can't be overridden, what holds can", style="bold red")


def _close(database_url: str, month: str, override: str | None, *, as_json: bool) -> None:
    async def work(connection: Connection, stored: StoredContract) -> tuple[Contract, list[Invoice]]:
        return stored.contract, await close_checked(connection, stored, month, override)

    try:
        contract, invoices = on_contract(database_url, work)
    except NotCleanError as error:
        if not as_json:
            show_checklist(error.items, f"Checklist of {month}")
        fail(str(error))
    except CloseError as error:
        fail(str(error))
    show_totals(contract, invoices, title=f"Invoices of {month}", as_json=as_json)


def _close_due(database_url: str, *, as_json: bool) -> None:
    async def work(connection: Connection, stored: StoredContract) -> tuple[Contract, Outcome]:
        return stored.contract, await close_due(connection, stored)

    contract, (closed, held) = on_contract(database_url, work)
    if as_json:
        print_json([{"month": month, "invoices": totals_data(contract, invoices)} for month, invoices in closed])
    for month, invoices in () if as_json else closed:
        show_totals(contract, invoices, title=f"Invoices of {month}", as_json=False)
    if held:
        fail(str(held[1]))
    if not closed and not as_json:
        console.print("no month is due")
