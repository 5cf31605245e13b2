"""plafond compare: which supplier of a lot would have been cheapest."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from services.commands import chart
from services.commands.month_range import months_given, refuse_outside
from services.commands.rates_missing import warn_of_rates
from services.commands.servers import DatabaseOption, on_database
from services.contract.model import Contract
from services.contract.money import plain, subtract
from services.contract_store import newest
from services.invoicing.compare import Comparison, compare
from services.invoicing.dues import Due
from services.output import Column, JsonOption, euros, fail, print_json, show
from services.postgres import Connection

_MONEY = ("usage", "promised", "amount", "difference")
_COLUMNS = [
    Column("award", "award", whole=True), Column("usage", "usage", right=True),
    Column("promised", "promised besides", right=True), Column("amount", "due", right=True),
    Column("difference", "difference", right=True), Column("missing", "can't be had there"),
    Column("elsewhere", "not in these regions"),
]  # fmt: skip
_BESIDES = [
    Column("under", "under", whole=True), Column("award", "to", whole=True), Column("item", "item"),
    Column("why", "for"), Column("amount", "amount", right=True), Column("due", "due with"),
]  # fmt: skip
_AS_USED = "as used"


def compare_command(
    lot: Annotated[str, typer.Option(help="The lot's code.")],
    institution: Annotated[str, typer.Option(help="The institution's code.")],
    month: Annotated[str, typer.Option(help="The month of use, like 2016-03.")],
    database_url: DatabaseOption,
    out: Annotated[
        Path | None, typer.Option(help="Write comparison.csv and comparison.svg into this folder, too.", metavar="DIR")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Price what an institution used of a lot under each supplier's offer; the most suitable and cheapest comes first.

    All is as the close would make it: the institution's own use moves to one award, what others used stays where it
    was, and what is promised to any award of the lot (reserved capacity, minimums, credit) counts and is listed.
    An item that a supplier does not price is made up of the parts that the contract's equivalences name. Shared pools
    are left out.

    Examples:

    `plafond compare --lot 2 --institution EP --month 2016-03`

    `plafond compare --lot 2 --institution EP --month 2016-03 --out offers`
    """
    months_given(month, month)

    async def work(connection: Connection) -> tuple[Contract, Comparison]:
        stored = await newest(connection)
        if stored is None:
            fail("no contract is applied yet: run `plafond contract apply FILE`")
        contract = stored.contract
        for what, code, known in (("lot", lot, contract.lots), ("institution", institution, contract.institutions)):
            if code not in known:
                fail(f"no {what} {code!r} in the contract; known: {', '.join(sorted(known))}", 2)
        refuse_outside(contract, month)
        return contract, await compare(connection, contract, lot, institution, month)

    contract, made = on_database(database_url, work)
    if out is not None:
        title = f"{institution}, lot {lot} in {month}: as used, and under each award, {contract.currency}"
        _write(out, title, made, contract.currency)
    if as_json:
        about = {"lot": lot, "institution": institution, "month": month, "currency": contract.currency}
        print_json(about | _as_data(made))
    else:
        _show(made, f"{institution}'s own use of lot {lot} in {month}, {contract.currency}")
    warn_of_rates(made.provisional)


def _as_data(made: Comparison) -> dict[str, Any]:
    return {
        "as_used": _due(made.as_used),
        "offers": [
            {"award": each.award, **_due(each.due), "difference": subtract(each.due.amount, made.as_used.amount),
             "missing": list(each.missing), "elsewhere": list(each.elsewhere), "suits": each.suits}
            for each in made.offers
        ],
    }  # fmt: skip


def _due(due: Due) -> dict[str, Any]:
    besides = [
        {"award": each.award, "item": each.item, "why": each.why, "amount": each.amount, "due": each.due}
        for each in due.besides
    ]
    return {"usage": due.usage, "promised": due.promised, "amount": due.amount, "besides": besides}


def _show(made: Comparison, title: str) -> None:
    data = _as_data(made)
    rows = [{"award": _AS_USED, **data["as_used"], "missing": [], "elsewhere": []}, *data["offers"]]
    shown = [
        row | {name: euros(row[name]) for name in _MONEY if name in row}
        | {name: ", ".join(row[name]) for name in ("missing", "elsewhere")}
        for row in rows
    ]  # fmt: skip
    show(shown, _COLUMNS, title=title)
    besides = list(_besides(rows))
    if besides:
        show(besides, _BESIDES, title="\nPromised besides; what is due with a later month is not in the sums above")


def _besides(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for row in rows:
        for each in row["besides"]:
            yield each | {"under": row["award"], "amount": euros(each["amount"])}


def _write(out: Path, title: str, made: Comparison, currency: str) -> None:
    head = ["award", "usage", "promised", "amount", "as_used", "difference", "currency", "missing", "elsewhere"]
    as_used = made.as_used.amount
    rows: Sequence[Sequence[str]] = [
        [each.award, plain(each.due.usage), plain(each.due.promised), plain(each.due.amount), plain(as_used),
         plain(subtract(each.due.amount, as_used)), currency, " ".join(each.missing), " ".join(each.elsewhere)]
        for each in made.offers
    ]  # fmt: skip
    drawn = [(each.award if each.suits else f"{each.award} *", as_used, each.due.amount) for each in made.offers]
    names = (_AS_USED, "under this award (*: without what can't be had)")
    chart.write(out, "comparison", head, rows, chart.bars(title, names, drawn))
