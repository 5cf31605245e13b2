"""plafond statement, ceilings, alerts: what finance and the coordinator ask for."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from services.commands.month_range import refuse_outside
from services.commands.rates_missing import warn_of_rates
from services.commands.servers import DatabaseOption, on_contract, on_database
from services.commands.since_closed import show_since
from services.contract.charges import ProvisionalRate
from services.contract.currencies import amount_text, money_text
from services.contract.model import Contract
from services.contract.money import plain, round_half_up, subtract, total
from services.contract.months import first_day
from services.contract_store import StoredContract
from services.invoicing.ceilings import Standing
from services.invoicing.close import Invoice
from services.invoicing.documents import ceiling_row, due, line_row, statement_csv, statement_json
from services.invoicing.issued import IssuedDocument, issued_since
from services.invoicing.provisional import provisional
from services.invoicing.read import ceilings_of, statements_of
from services.invoicing.statement import Line
from services.output import Column, JsonOption, console, counted, fail, print_json, show
from services.postgres import Connection

QUANTITY_DIGITS_SHOWN = 3
"""Decimals of a quantity in a table; CSV and JSON have all of them."""

MonthArgument = Annotated[str, typer.Argument(help="The month, like 2016-03.", metavar="MONTH")]
InstitutionOption = Annotated[str | None, typer.Option(help="Only this institution.")]

TOTAL_COLUMNS = [
    Column("number", "number", whole=True), Column("document", "document", whole=True),
    Column("institution", "institution", whole=True),
    Column("name", "name", cut=True),
    Column("lines", "lines", right=True), Column("total", "total", right=True),
]  # fmt: skip
LINE_COLUMNS = [
    Column("line", "line", right=True), Column("award", "award", whole=True), Column("item", "item", whole=True),
    Column("whose", "for"), Column("used", "of month", whole=True), Column("quantity", "quantity", right=True),
    Column("unit", "unit", cut=True), Column("tariff", "prices of", whole=True, spare=True),
    Column("in_currency", "in currency", right=True, spare=True), Column("amount", "amount", right=True),
]  # fmt: skip
CEILING_COLUMNS = [
    Column("level", "level"), Column("code", "code"), Column("ceiling", "ceiling", right=True),
    Column("spent", "spent", right=True), Column("left", "left", right=True), Column("per_cent", "%", right=True),
]  # fmt: skip


def statement_command(
    month: MonthArgument,
    database_url: DatabaseOption,
    institution: InstitutionOption = None,
    out: Annotated[Path | None, typer.Option(help="Write CSV and JSON files into this folder instead.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show statements: as they stand while the month is open, as invoiced once it is closed.

    `plafond explain` tells how a line comes about, by its number.

    Examples: `plafond statement 2016-03` for all totals, `plafond statement 2016-03 --institution EP` for the lines,
    `plafond statement 2016-03 --out statements` for CSV and JSON files.
    """
    refuse_no_month(month)

    async def work(
        connection: Connection, stored: StoredContract
    ) -> tuple[Contract, list[Invoice], list[IssuedDocument], list[ProvisionalRate]]:
        invoices = await statements_of(connection, stored.contract, month)
        if not invoices:  # what comes late goes on invoices of months after the contract, too
            refuse_outside(stored.contract, month)
        if any(each.number for each in invoices):
            return stored.contract, invoices, await issued_since(connection, month), []
        return stored.contract, invoices, [], await provisional(connection, stored.contract, month)

    contract, invoices, since, rates = on_contract(database_url, work)
    warn_of_rates(rates)
    if institution is not None:
        if institution not in contract.institutions:
            fail(f"the contract knows no institution {institution!r}")
        invoices = [each for each in invoices if each.statement.institution == institution]
    if out is not None:
        _write_or_fail(contract, invoices, out)
    elif institution is None:
        show_totals(contract, invoices, title=f"Statements of {month}, {_state(invoices)}", as_json=as_json)
    else:
        _show_lines(contract, invoices, month, as_json=as_json)
    if out is None and not as_json:
        show_since(contract, since, institution)


def ceilings_command(database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Show every ceiling: what is spent, what is left.

    Example: `plafond ceilings --json`
    """

    async def work(connection: Connection, stored: StoredContract) -> tuple[Contract, list[Standing]]:
        return stored.contract, await ceilings_of(connection, stored.contract)

    contract, found = on_contract(database_url, work)
    show_ceilings(contract, found, as_json=as_json)


def alerts_command(database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Show the alerts that were raised, newest first.

    Example: `plafond alerts`
    """

    async def work(connection: Connection) -> list[dict[str, Any]]:
        rows = await connection.fetch(
            "select raised_at, level, code, threshold, ceiling, spent, currency, published_at "
            "from invoicing.alert order by raised_at desc, level, code, threshold desc"
        )
        return [dict(row) for row in rows]

    columns = [
        Column("raised_at", "raised", whole=True), Column("level", "level"), Column("code", "code"),
        Column("threshold", "%", right=True), Column("spent", "spent", right=True),
        Column("ceiling", "ceiling", right=True), Column("published_at", "published"),
    ]  # fmt: skip
    rows = on_database(database_url, work)
    if not as_json:
        money = ("spent", "ceiling")
        rows = [row | {name: amount_text(row[name], row["currency"]) for name in money} for row in rows]
    show(rows, columns, title="Alerts", as_json=as_json)


def totals_data(contract: Contract, invoices: list[Invoice], *, as_json: bool = True) -> list[dict[str, Any]]:
    """Return each institution's total, for machines or for people."""

    def written(amount: Decimal) -> str:
        return due(contract, amount) if as_json else amount_text(amount, contract.currency)

    return [
        {
            "number": each.number,
            "document": each.document,
            "institution": each.statement.institution,
            "name": contract.institutions[each.statement.institution].name,
            "lines": len(each.statement.lines),
            "total": written(each.statement.total),
            "exact_total": plain(each.statement.exact),
            "currency": contract.currency,
        }
        for each in invoices
    ]


def show_totals(contract: Contract, invoices: list[Invoice], *, title: str, as_json: bool) -> None:
    """Print each institution's total."""
    rows = totals_data(contract, invoices, as_json=as_json)
    columns = TOTAL_COLUMNS if any(row["number"] for row in rows) else TOTAL_COLUMNS[2:]
    show(rows, columns, title=title, as_json=as_json)
    if not as_json:
        whole = sum((each.statement.total for each in invoices), Decimal(0))
        heads = counted(len(invoices), "institution")
        console.print(f"{heads}, {money_text(whole, contract.currency)}", style="bold", highlight=False)
        show_rounding(contract, invoices)


def show_rounding(contract: Contract, invoices: list[Invoice]) -> None:
    """Say by how much rounding each line once moves the sum away from what the ledger holds, if it does."""
    exact = total(each.statement.exact for each in invoices)
    rounding = subtract(total(each.statement.total for each in invoices), exact)
    if rounding:
        lines = sum(len(each.statement.lines) for each in invoices)
        console.print(
            f"{plain(exact)} {contract.currency} in the ledger; {counted(lines, 'line')}, each rounded once: "
            f"{plain(rounding) if rounding < 0 else '+' + plain(rounding)}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def show_ceilings(contract: Contract, found: list[Standing], *, as_json: bool) -> None:
    """Print ceilings, and the levels without one that have spending."""
    if as_json:
        print_json([ceiling_row(contract, each) for each in found])
        return
    rows = [
        {
            "level": each.key.level,
            "code": each.key.code,
            "ceiling": "" if each.ceiling is None else amount_text(each.ceiling, contract.currency),
            "spent": amount_text(each.spent, contract.currency),
            "left": "" if each.left is None else amount_text(each.left, contract.currency),
            "per_cent": "" if each.per_cent is None else f"{each.per_cent:.2f}",
        }
        for each in found
    ]
    show(rows, CEILING_COLUMNS, title=f"Ceilings, {contract.currency}")


def _show_lines(contract: Contract, invoices: list[Invoice], month: str, *, as_json: bool) -> None:
    if as_json:
        print_json([statement_data(contract, each) for each in invoices])
        return
    if not invoices:
        console.print(f"no usage in {month}")
    for each in invoices:
        name = contract.institutions[each.statement.institution].name
        rows = [
            line_row(contract, each.statement, line)
            | {
                "line": str(number),
                "whose": ", ".join(filter(None, (line.key.department, line.key.pool and f"pool {line.key.pool}"))),
                "used": line.key.month if line.key.month != month else "",
                "quantity": f"{round_half_up(line.quantity, QUANTITY_DIGITS_SHOWN):z,f}",
                "in_currency": _in_currency(line),
                "amount": amount_text(line.amount, contract.currency),
            }
            for number, line in enumerate(each.statement.lines, start=1)
        ]
        filled = [column for column in LINE_COLUMNS if any(row[column.key] for row in rows)]
        show(rows, filled, title=f"{_title(each)} {month} {name}")
        console.print(f"total {money_text(each.statement.total, contract.currency)}", style="bold", highlight=False)
        show_rounding(contract, [each])


def statement_data(contract: Contract, invoice: Invoice) -> dict[str, Any]:
    """Return a statement as plain data, with its number and what it is for finance."""
    return {"number": invoice.number, "document": invoice.document, **statement_json(contract, invoice.statement)}


def _title(invoice: Invoice) -> str:
    return f"{invoice.document.capitalize()} {invoice.number}" if invoice.number else "Open"


def _in_currency(line: Line) -> str:
    if line.conversion is None:
        return ""
    made = line.conversion
    of = f" of {made.rate_month}" if made.rate_month else ""
    return f"{money_text(made.amount, made.currency)} at {plain(made.rate)}{of}"


def _write_or_fail(contract: Contract, invoices: list[Invoice], out: Path) -> None:
    try:
        _write(contract, invoices, out)
    except OSError as error:
        fail(f"{error.filename or out}: can't be written: {error.strerror or error}", 2)


def _write(contract: Contract, invoices: list[Invoice], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for each in invoices:
        name = each.statement.institution
        (out / f"{name}.csv").write_text(statement_csv(contract, [each.statement]), "utf-8", newline="")
        data = statement_data(contract, each)
        (out / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", "utf-8")
    (out / "statements.csv").write_text(
        statement_csv(contract, [each.statement for each in invoices]), "utf-8", newline=""
    )
    console.print(f"wrote {2 * len(invoices) + 1} files to {out}", highlight=False)


def _state(invoices: list[Invoice]) -> str:
    return "closed" if any(each.number for each in invoices) else "as they stand"


def refuse_no_month(month: str) -> None:
    """End the command where a month is not written as one."""
    try:
        first_day(month)
    except ValueError as error:
        fail(str(error), 2)
