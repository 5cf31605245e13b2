"""plafond contract apply --dry-run: what a contract would move, and what it would cost where it is refused."""

from dataclasses import asdict
from typing import Any

import typer

from services import contract_store
from services.commands.servers import on_database
from services.commands.unpriced import say_unpriced, unpriced_data
from services.contract.currencies import amount_text
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import subtract
from services.contract.problems import Problem
from services.contract_store import ContractError
from services.invoicing.moves import Move, moves, priced_otherwise
from services.invoicing.used import Unpriced
from services.output import Column, console, print_json, show
from services.postgres import Connection

_MOVES = [
    Column("month", "month"), Column("state", "state"), Column("institution", "institution", whole=True),
    Column("now", "now", right=True), Column("then", "then", right=True),
    Column("difference", "difference", right=True),
]  # fmt: skip


def try_out(file: str, text: str, database_url: str, *, as_json: bool) -> list[Problem]:
    """Show what applying a contract would move; return why it can't be applied, if so."""

    async def work(connection: Connection) -> tuple[list[Problem], list[Move], list[Unpriced], str]:
        newest = await contract_store.newest(connection)
        try:
            contract = await contract_store.check(connection, text)
        except ContractError as error:
            refused = load(text)
            if newest is None or not isinstance(refused, Contract) or refused.code != newest.contract.code:
                raise
            return error.problems, *await priced_otherwise(connection, newest.contract, refused), refused.currency
        found = [] if newest is None else await moves(connection, newest.contract, contract)
        return [], found, [], contract.currency

    problems, found, unpriced, currency = on_database(database_url, work)
    rows = [_row(each, currency) for each in found]
    if as_json:
        _print_json(problems, rows, unpriced)
    elif problems:
        title = f"{file} can't be applied; what was priced would cost otherwise under it, {currency}"
        _show(rows, title, f"{file} can't be applied; nothing that was priced would cost anything else")
        say_unpriced(unpriced)
    else:
        title = f"{file} can be applied, and would move statements, {currency}"
        _show(rows, title, f"{file} can be applied; no statement moves")
    return problems


def _row(move: Move, currency: str) -> dict[str, Any]:
    return {
        **asdict(move),
        "state": "closed" if move.is_closed else "open",
        "difference": subtract(move.then, move.now),
        "currency": currency,
    }


def _print_json(problems: list[Problem], rows: list[dict[str, Any]], unpriced: list[Unpriced]) -> None:
    if problems:
        said = [{"place": each.place, "found": each.found, "wanted": each.wanted} for each in problems]
        print_json({"ok": False, "problems": said, "would_cost": rows, "unpriced": unpriced_data(unpriced)})
        raise typer.Exit(1)
    print_json({"ok": True, "moves": rows})


def _show(rows: list[dict[str, Any]], title: str, nothing: str) -> None:
    if not rows:
        console.print(nothing, markup=False, highlight=False)
        return
    money = ("now", "then", "difference")
    show([row | {name: amount_text(row[name], row["currency"]) for name in money} for row in rows], _MOVES, title=title)
    console.print("now and then are all that is owed for the month's use, invoiced or not", highlight=False)
    if any(row["is_closed"] for row in rows):
        console.print("what a closed month differs by goes on the next invoice", highlight=False)
