"""plafond simulate: what past usage would cost under another contract."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.commands import chart
from services.commands.contract_file import contract_in
from services.commands.month_range import months_given, refuse_outside
from services.commands.rates_missing import warn_of_rates
from services.commands.servers import DatabaseOption, on_database
from services.commands.unpriced import left_out, say_unpriced, unpriced_data
from services.contract.currencies import amount_text
from services.contract.model import Contract
from services.contract.money import ZERO, plain, quotient, subtract, total
from services.contract_store import newest
from services.invoicing.simulate import Simulation, simulate
from services.output import Column, JsonOption, console, counted, fail, print_json, show
from services.postgres import Connection

_COLUMNS = [
    Column("institution", "institution", whole=True), Column("now", "now", right=True),
    Column("then", "then", right=True), Column("difference", "difference", right=True),
    Column("per_cent", "%", right=True), Column("left_out", "left out then"),
]  # fmt: skip


def simulate_command(
    contract: Annotated[Path, typer.Option(help="The other contract's file.", metavar="FILE")],
    database_url: DatabaseOption,
    first: Annotated[str, typer.Option("--from", help="The first month, like 2016-01.")],
    last: Annotated[str | None, typer.Option("--to", help="The last month; else the first alone.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write simulation.csv and simulation.svg into this folder, too.", metavar="DIR")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Price past usage under another contract (other prices, another offer, other splits) beside what it costs.

    Nothing is posted. Minimums and prepaid credit count as if each contract had been in force from its first day, with
    what earlier months used and drew. Exit status 1: for some usage the other contract has no price; it is named, and
    left out there.

    Examples:

    `plafond simulate --contract offer.toml --from 2016-01 --to 2016-06`

    `plafond simulate --contract offer.toml --from 2016-03 --out whatif`
    """
    months = months_given(first, last or first)
    other = contract_in(contract)

    async def work(connection: Connection) -> tuple[Contract, Simulation]:
        stored = await newest(connection)
        if stored is None:
            fail("no contract is applied yet: run `plafond contract apply FILE`")
        refuse_outside(stored.contract, months[0], months[-1])
        return stored.contract, await simulate(connection, stored.contract, other, months)

    agreed, made = on_database(database_url, work)
    if agreed.currency != other.currency:
        fail(f"{contract} is in {other.currency}, the contract in force in {agreed.currency}: that can't be compared")
    if out is not None:
        _write(out, agreed, made, f"{first} to {months[-1]}, {agreed.currency}")
    if as_json:
        print_json(_as_data(agreed, made))
    else:
        _show(agreed, made, f"{first} to {months[-1]}" if len(months) > 1 else first)
    warn_of_rates(made.provisional)
    say_unpriced(made.unpriced)
    if made.unpriced:
        raise typer.Exit(1)


def _show(contract: Contract, made: Simulation, when: str) -> None:
    rows = [_row(*each) for each in made.by_institution()]
    shown = [
        row
        | {name: amount_text(row[name], contract.currency) for name in ("now", "then", "difference")}
        | {"left_out": left_out(made.unpriced, row["institution"])}
        for row in rows
    ]
    columns = _COLUMNS if made.unpriced else _COLUMNS[:-1]
    show(shown, columns, title=f"Usage of {when}, {contract.currency}")
    whole = _row("all", total(row["now"] for row in rows), total(row["then"] for row in rows))
    heads = counted(len(rows), "institution")
    now, then, difference = (amount_text(whole[name], contract.currency) for name in ("now", "then", "difference"))
    console.print(
        f"{heads}: {now} now, {then} then, {difference} {contract.currency} ({whole['per_cent'] or 'no'} %)",
        style="bold", highlight=False, soft_wrap=True,
    )  # fmt: skip


def _row(institution: str, now: Any, then: Any) -> dict[str, Any]:
    difference = subtract(then, now)
    per_cent = f"{quotient(difference * 100, now):+z.2f}" if now else ""
    return {"institution": institution, "now": now, "then": then, "difference": difference, "per_cent": per_cent}


def _as_data(contract: Contract, made: Simulation) -> dict[str, Any]:
    return {
        "currency": contract.currency,
        "institutions": [_row(*each) for each in made.by_institution()],
        "months": [
            {"month": month, **_row(institution, made.now.get(key, ZERO), made.then.get(key, ZERO))}
            for key in sorted(made.now.keys() | made.then.keys())
            for month, institution in [key]
        ],
        "unpriced": unpriced_data(made.unpriced),
        "provisional_rates": [each._asdict() for each in made.provisional],
    }


def _write(out: Path, contract: Contract, made: Simulation, when: str) -> None:
    head = ["month", "institution", "now", "then", "difference", "currency", "left_out"]
    rows = [
        [row["month"], row["institution"], *(plain(row[name]) for name in ("now", "then", "difference")),
         contract.currency, left_out(made.unpriced, row["institution"], row["month"])]
        for row in _as_data(contract, made)["months"]
    ]  # fmt: skip
    names = ("now", "under the other contract")
    notes = {
        institution: chart.note(f"not to be compared: without {lacking}")
        for institution, *_ in made.by_institution()
        if (lacking := left_out(made.unpriced, institution))
    }
    drawn = chart.bars(f"What past usage would cost: {when}", names, made.by_institution(), contract.currency, notes)
    chart.write(out, "simulation", head, rows, drawn)
