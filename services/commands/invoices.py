"""plafond invoices: the documents of a closed month."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from services.commands.month import refuse_no_month
from services.commands.servers import DatabaseOption, on_contract, on_database
from services.contract.currencies import amount_text, money_text
from services.contract.money import total
from services.contract_store import StoredContract
from services.documents.closed_month import ExportError
from services.documents.export import Exported, export_month
from services.documents.files import UnwritableError
from services.documents.pro_forma import export_pro_forma
from services.output import Column, JsonOption, console, counted, errors, fail, print_json, show
from services.postgres import Connection

app = typer.Typer(help="Write the documents of a month.", no_args_is_help=True, rich_markup_mode="markdown")

COLUMNS = [
    Column("number", "number", whole=True), Column("document", "document", whole=True),
    Column("institution", "institution", whole=True), Column("name", "name", cut=True),
    Column("lines", "lines", right=True), Column("total", "total", right=True), Column("state", "", whole=True),
]  # fmt: skip


@app.command("export")
def export_command(
    month: Annotated[str, typer.Option(help="The month, like 2016-03; it must be closed.")],
    out: Annotated[Path, typer.Option(help="The folder to write into.")],
    database_url: DatabaseOption,
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Leave what lies there as it was exported first, and make the rest.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write every invoice of a month, and what each supplier is expected to invoice.

    Into `OUT/<institution>/<number>` as .xml (UBL, EN 16931 and Peppol BIS), .pdf (with the e-invoice in it), .csv,
    .xlsx, .json and FOCUS 1.2 and 1.4; into `OUT/suppliers/<award>.csv`; and FOCUS of the whole month. A currency of
    more than two decimals has no e-invoice. What was exported before comes to the same bytes. An institution whose
    invoice lacks something is named with what it lacks, the others go on, and the exit status is 1.

    Example: `plafond invoices export --month 2016-03 --out invoices`
    """
    refuse_no_month(month)

    async def work(connection: Connection) -> Exported:
        return await export_month(connection, month, out, only_missing=only_missing)

    try:
        exported = on_database(database_url, work)
    except ExportError as error:
        fail(str(error))
    except UnwritableError as error:
        fail(str(error), 2)
    if as_json:
        print_json(exported_data(exported, out))
    else:
        _show(exported, month, out)
    _end(exported)


def _end(exported: Exported) -> None:
    """End with status 2 where a file can't be written, 1 where a document lacks something."""
    if exported.left_out:
        raise typer.Exit(1 if exported.is_written else 2)


@app.command("preview")
def preview_command(
    month: Annotated[str, typer.Option(help="The month, like 2016-03; it must not be closed.")],
    out: Annotated[Path, typer.Option(help="The folder to write into.")],
    database_url: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Write what every invoice of an open month would be if it were closed now: pro forma, without a number.

    Into `OUT/<institution>/pro-forma-<month>` as .pdf, .csv, .xlsx and .json; there is no e-invoice, which could be
    booked by mistake. Nothing is kept. An institution whose invoice would lack something is named, and the exit status
    is 1.

    Example: `plafond invoices preview --month 2016-03 --out preview`
    """
    refuse_no_month(month)

    async def work(connection: Connection, stored: StoredContract) -> Exported:
        return await export_pro_forma(connection, stored, month, datetime.now(UTC), out)

    try:
        exported = on_contract(database_url, work)
    except ExportError as error:
        fail(str(error))
    except UnwritableError as error:
        fail(str(error), 2)
    if as_json:
        print_json(exported_data(exported, out))
    else:
        _show(exported, month, out)
    _end(exported)


def exported_data(exported: Exported, out: Path) -> dict[str, Any]:
    """Return what an export came to as plain data."""
    documents = {each.statement.institution: each.document.value for each in exported.invoices}
    return {
        "out": str(out),
        "files": exported.files,
        "invoices": [
            {
                "number": each.number,
                "document": documents[each.institution],
                "institution": each.institution,
                "sha256": {form: digest.hex() for form, digest in each.made.items()},
                "problems": each.problems,
            }
            for each in exported.results
        ],
        "suppliers": [
            {"award": each.number, "sha256": {form: digest.hex() for form, digest in each.made.items()},
             "problems": each.problems}
            for each in exported.suppliers
        ],
        "month": {
            "sha256": {name: digest.hex() for name, digest in exported.whole.made.items()},
            "problems": exported.whole.problems,
        } if exported.whole else None,
    }  # fmt: skip


def _show(exported: Exported, month: str, out: Path) -> None:
    contract = exported.contract
    rows = [
        {
            "number": invoice.number,
            "document": invoice.document,
            "institution": result.institution,
            "name": contract.institutions[result.institution].name,
            "lines": len(invoice.statement.lines),
            "total": amount_text(invoice.statement.total, contract.currency),
            "state": "left out" if result.problems else "",
        }
        for invoice, result in zip(exported.invoices, exported.results, strict=True)
    ]
    show(rows, COLUMNS, title=f"Documents of {month}")
    whole = total(each.statement.total for each in exported.invoices)
    institutions = len({row["institution"] for row in rows})
    heads = counted(institutions, "institution")
    console.print(f"{heads}, {money_text(whole, contract.currency)} without VAT",
                  style="bold", highlight=False)  # fmt: skip
    console.print(f"wrote {counted(exported.files, 'file')} to {out}", highlight=False, soft_wrap=True)
    show_left_out(exported)


def show_left_out(exported: Exported) -> None:
    """Say on standard error what was not written, and why."""
    for each in exported.left_out:
        for problem in each.problems:
            errors.print(
                f"{each.institution or each.number}: {problem}",
                style="red",
                highlight=False,
                soft_wrap=True,
                markup=False,
            )
