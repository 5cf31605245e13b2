"""plafond compare: which supplier of a lot would have been cheapest."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from services.commands import chart
from services.commands.month_range import months_given, refuse_outside
from services.commands.rates_missing import warn_of_rates
from services.commands.servers import DatabaseOption, on_database
from services.contract.currencies import amount_text, money_text
from services.contract.model import Contract
from services.contract.money import plain, subtract
from services.contract_store import newest
from services.invoicing.compare import Comparison, Offer, compare
from services.invoicing.dues import Due
from services.output import Column, JsonOption, console, fail, print_json, show, text
from services.postgres import Connection

_MONEY = ("usage", "promised", "amount", "difference")
_COLUMNS = [
    Column("award", "award", whole=True), Column("complete", "complete", whole=True),
    Column("usage", "usage", right=True), Column("promised", "promised besides", right=True),
    Column("amount", "due", right=True), Column("difference", "difference", right=True), Column("lacks", "lacks"),
]  # fmt: skip
_BESIDES = [
    Column("under", "under", whole=True), Column("award", "to", whole=True), Column("item", "item"),
    Column("why", "for"), Column("amount", "amount", right=True), Column("due", "due with"),
]  # fmt: skip
_AS_USED = "as used"
_YES_NO = {True: "yes", False: "no"}


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
    """Price what an institution used of a lot under each supplier's offer; the cheapest that has all of it comes first.

    All is as the close would make it: the institution's own use moves to one award, what others used stays where it
    was, and what is promised to any award of the lot (reserved capacity, minimums, credit) counts and is listed.
    An item that a supplier does not price is made up of the parts that the contract's equivalences name. An offer that
    lacks some of the items or regions is incomplete: what is due there is for the rest alone, so it comes last, without
    a difference, and is never the cheapest. Shared pools are left out.

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
        _write(out, title, made, contract)
    if as_json:
        about = {"lot": lot, "institution": institution, "month": month, "currency": contract.currency}
        print_json(about | _as_data(made, contract))
    else:
        _show(made, f"{institution}'s own use of lot {lot} in {month}, {contract.currency}", contract)
    warn_of_rates(made.provisional)


def _as_data(made: Comparison, contract: Contract) -> dict[str, Any]:
    return {
        "as_used": _due(made.as_used),
        "cheapest": list(made.cheapest),
        "offers": [
            {"award": each.award, "complete": each.complete, **_due(each.due), "difference": _difference(made, each),
             "missing": [
                 {"item": item, "quantity": quantity, "unit": contract.items[item].unit}
                 for item, quantity in each.missing.items()
             ], "elsewhere": list(each.elsewhere)}
            for each in made.offers
        ],
        "provisional_rates": [each._asdict() for each in made.provisional],
    }  # fmt: skip


def _difference(made: Comparison, offer: Offer) -> Decimal | None:
    """Return by how much an offer is dearer than what was used; None where it is for a part of that."""
    return subtract(offer.due.amount, made.as_used.amount) if offer.complete else None


def _due(due: Due) -> dict[str, Any]:
    besides = [
        {"award": each.award, "item": each.item, "why": each.why, "amount": each.amount, "due": each.due}
        for each in due.besides
    ]
    return {"usage": due.usage, "promised": due.promised, "amount": due.amount, "besides": besides}


def _show(made: Comparison, title: str, contract: Contract) -> None:
    data = _as_data(made, contract)
    rows = [{"award": _AS_USED, **data["as_used"], "difference": None}, *data["offers"]]
    lacks = {each.award: _lacks(each, contract) for each in made.offers}
    shown = [
        row | {name: None if row[name] is None else amount_text(row[name], contract.currency) for name in _MONEY}
        | {"complete": _YES_NO.get(row.get("complete")), "lacks": lacks.get(row["award"])}
        for row in rows
    ]  # fmt: skip
    show(shown, _COLUMNS, title=title)
    console.print(_verdict(made, contract.currency), style="bold", markup=False, highlight=False, soft_wrap=True)
    besides = list(_besides(rows, contract.currency))
    if besides:
        show(besides, _BESIDES, title="\nPromised besides; what is due with a later month is not in the sums above")


def _verdict(made: Comparison, currency: str) -> str:
    """Say which complete offer is the cheapest, and what the amounts of the others are."""
    if not made.anything_used:
        return "Nothing of this lot was used in the month: there is nothing to compare."
    amounts = {each.award: each.due.amount for each in made.offers}
    cheapest = made.cheapest
    said = (
        f"Cheapest complete offer: {' and '.join(cheapest)}, {money_text(amounts[cheapest[0]], currency)}."
        if cheapest
        else "No offer is complete, so none is the cheapest."
    )
    if all(each.complete for each in made.offers):
        return said
    return f"{said} An incomplete offer is not for all that was used: what is due there can't be compared."


def _lacks(offer: Offer, contract: Contract) -> str:
    regions = f"regions {', '.join(offer.elsewhere)}" if offer.elsewhere else ""
    return "; ".join(filter(None, [_missing(offer, contract), regions]))


def _missing(offer: Offer, contract: Contract) -> str:
    return ", ".join(
        f"{item} ({plain(quantity)} {contract.items[item].unit})" for item, quantity in offer.missing.items()
    )


def _besides(rows: Iterable[dict[str, Any]], currency: str) -> Iterable[dict[str, Any]]:
    for row in rows:
        for each in row["besides"]:
            yield each | {"under": row["award"], "amount": amount_text(each["amount"], currency)}


def _write(out: Path, title: str, made: Comparison, contract: Contract) -> None:
    head = [
        "award", "complete", "cheapest", "usage", "promised", "amount", "as_used", "difference", "currency", "missing",
        "elsewhere",
    ]  # fmt: skip
    as_used = made.as_used.amount
    rows = [
        [each.award, _YES_NO[each.complete], _YES_NO[each.award in made.cheapest], plain(each.due.usage),
         plain(each.due.promised), plain(each.due.amount), plain(as_used), text(_difference(made, each)),
         contract.currency, _missing(each, contract), " ".join(each.elsewhere)]
        for each in made.offers
    ]  # fmt: skip
    drawn = [(each.award, as_used, each.due.amount) for each in made.offers]
    notes = {
        each.award: chart.note(f"incomplete, not to be compared: lacks {_lacks(each, contract)}")
        for each in made.offers
        if not each.complete
    }
    names = (_AS_USED, "under this award" + (" (dashed: an incomplete offer)" if notes else ""))
    chart.write(out, "comparison", head, rows, chart.bars(title, names, drawn, contract.currency, notes))
