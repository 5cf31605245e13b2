"""plafond reconcile-usage: a provider's own monthly totals beside what was taken of it."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from services.commands.reconcile import CsvOption, MapOption, number_given, write
from services.commands.servers import DatabaseOption, on_database
from services.contract.money import plain
from services.contract.months import first_day
from services.contract.problems import one_of
from services.contract_store import newest
from services.invoicing.documents import table_csv
from services.output import Column, JsonOption, console, fail, print_json, require_writable, show
from services.postgres import Connection
from services.reconciliation.model import InvoiceError
from services.reconciliation.read import contents, names_in
from services.reconciliation.record import digest
from services.reconciliation.usage import Allowed, State, UsageRow, agree, read_totals
from services.reconciliation.usage_record import compared, keep

_CSV = (
    "provider",
    "month",
    "state",
    "lot",
    "item",
    "subject",
    "unit",
    "theirs",
    "ours",
    "difference",
    "late",
    "refused",
)
_COLUMNS = [
    Column("state", "what"), Column("lot", "lot", whole=True), Column("item", "item", whole=True),
    Column("subject", "for"), Column("theirs", "theirs", right=True), Column("ours", "taken", right=True),
    Column("difference", "difference", right=True), Column("late", "late", right=True, spare=True),
    Column("refused", "refused"),
]  # fmt: skip


def reconcile_usage_command(
    provider: Annotated[str, typer.Argument(help="The provider's code.", metavar="PROVIDER")],
    file: Annotated[Path, typer.Argument(help="Its totals: CSV with item and quantity, maybe lot, subject, unit.")],
    month: Annotated[str, typer.Option(help="The month of use, like 2016-03.")],
    database_url: DatabaseOption,
    mapping: MapOption = None,
    tolerance: Annotated[str, typer.Option(help="How much a total may differ, in the item's unit.")] = "0",
    tolerance_percent: Annotated[str, typer.Option(help="The same in % of what was taken; the larger holds.")] = "0",
    csv_file: CsvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a provider's own totals of a month with what was taken of its usage, and keep the result on record.

    Beside a difference stands what of it was refused, by reason, and what came after the month was closed. Rows are as
    fine as the file's: by item, institution or department. The exit status is 0 where all agrees, 1 where something
    differs, 2 where the file can't be used.

    Examples:

    `plafond reconcile-usage numergy totals.csv --month 2016-03`

    `plafond reconcile-usage numergy totals.csv --month 2016-03 --map numergy.toml --tolerance-percent 0.01 --json`
    """
    try:
        first_day(month)
    except ValueError as error:
        fail(str(error), 2)
    allowed = Allowed(number_given("--tolerance", tolerance), number_given("--tolerance-percent", tolerance_percent))
    if csv_file:
        require_writable(csv_file)

    async def work(connection: Connection) -> list[UsageRow]:
        return await _compare(connection, provider, file, month, mapping, allowed)

    try:
        rows = on_database(database_url, work)
    except InvoiceError as error:
        fail(str(error), 2)
    made = [_row(provider, month, row) for row in rows]
    if csv_file:
        write(csv_file, table_csv(_CSV, made).encode())
    if as_json:
        print_json({"provider": provider, "month": month, "agrees": agree(rows), "rows": [_data(row) for row in rows]})
    else:
        _show(provider, month, rows, made)
    if not agree(rows):
        raise typer.Exit(1)


async def _compare(
    connection: Connection, provider: str, file: Path, month: str, mapping: Path | None, allowed: Allowed
) -> list[UsageRow]:
    stored = await newest(connection)
    if stored is None:
        fail("no contract was applied yet: `plafond contract apply FILE`")
    contract = stored.contract
    if provider not in contract.providers:
        raise InvoiceError(
            f"found the provider {provider!r}; wanted {one_of(contract.providers, 'providers', provider)}"
        )
    data = contents(file)
    theirs = read_totals(data, str(file), contract, provider, month, names_in(mapping))
    rows = await compared(connection, contract, provider, month, theirs, allowed)
    await keep(connection, provider, month, digest(data), allowed, rows)
    return rows


def _show(provider: str, month: str, rows: list[UsageRow], made: list[dict[str, str]]) -> None:
    odd = [shown for row, shown in zip(rows, made, strict=True) if row.state is not State.AGREES or row.refused]
    if odd:
        columns = [each for each in _COLUMNS if any(row[each.key] not in {"", "0"} for row in odd)]
        show(odd, columns, title=f"{provider}'s totals for {month}")
    differ = sum(not agree([row]) for row in rows)
    verdict = f"{differ} of {len(rows)} totals differ" if differ else f"all {len(rows)} totals agree"
    console.print(verdict, style="bold", highlight=False)


def _row(provider: str, month: str, row: UsageRow) -> dict[str, str]:
    refused = ", ".join(f"{plain(quantity)} {reason}" for reason, quantity in sorted(row.refused.items()))
    values = (provider, month, row.state.value, *row.key, row.unit, _or_empty(row.theirs), plain(row.ours),
              plain(row.difference), plain(row.late), refused)  # fmt: skip
    return dict(zip(_CSV, values, strict=True))


def _data(row: UsageRow) -> dict[str, Any]:
    return {
        "state": row.state.value,
        **row.key._asdict(),
        "unit": row.unit,
        "theirs": row.theirs,
        "ours": row.ours,
        "difference": row.difference,
        "late": row.late,
        "refused": dict(row.refused),
    }


def _or_empty(number: Decimal | None) -> str:
    return "" if number is None else plain(number)
