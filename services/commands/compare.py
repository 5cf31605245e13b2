"""plafond compare: which supplier of a lot would have been cheapest."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from services.commands import chart
from services.commands.month_range import months_given
from services.commands.servers import DatabaseOption, on_database
from services.contract.model import Contract
from services.contract.money import plain, subtract
from services.contract_store import newest
from services.invoicing.compare import Offer, compare
from services.output import Column, JsonOption, console, euros, fail, print_json, show
from services.postgres import Connection

_COLUMNS = [
    Column("award", "award", whole=True), Column("amount", "amount", right=True),
    Column("difference", "difference", right=True), Column("missing", "can't be had there"),
    Column("elsewhere", "not in these regions"),
]  # fmt: skip


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

    An item that a supplier does not price is made up of the parts that the contract's equivalences name. Tiers that
    several institutions reach together are reckoned for this one alone, and shared pools are left out.

    Examples:

    `plafond compare --lot 2 --institution EP --month 2016-03`

    `plafond compare --lot 2 --institution EP --month 2016-03 --out offers`
    """
    months_given(month, month)

    async def work(connection: Connection) -> tuple[Contract, Decimal, list[Offer]]:
        stored = await newest(connection)
        if stored is None:
            fail("no contract is applied yet: run `plafond contract apply FILE`")
        contract = stored.contract
        for what, code, known in (("lot", lot, contract.lots), ("institution", institution, contract.institutions)):
            if code not in known:
                fail(f"no {what} {code!r} in the contract; known: {', '.join(sorted(known))}", 2)
        return contract, *await compare(connection, contract, lot, institution, month)

    contract, paid, offers = on_database(database_url, work)
    if out is not None:
        title = f"{institution}, lot {lot} in {month}: charged, and under each award, {contract.currency}"
        _write(out, title, paid, offers, contract.currency)
    if as_json:
        print_json(
            {
                "lot": lot, "institution": institution, "month": month, "currency": contract.currency,
                "charged": plain(paid),
                "offers": [
                    {"award": each.award, "amount": plain(each.amount), "missing": list(each.missing),
                     "elsewhere": list(each.elsewhere), "suits": each.suits}
                    for each in offers
                ],
            }
        )  # fmt: skip
        return
    console.print(
        f"{institution} was charged {euros(paid)} {contract.currency} for its own use of lot {lot} in {month}",
        highlight=False,
    )
    rows = [
        {"award": each.award, "amount": euros(each.amount), "difference": euros(subtract(each.amount, paid)),
         "missing": ", ".join(each.missing), "elsewhere": ", ".join(each.elsewhere)}
        for each in offers
    ]  # fmt: skip
    show(rows, _COLUMNS, title="\nWhat it would cost under each award")


def _write(out: Path, title: str, paid: Decimal, offers: Sequence[Offer], currency: str) -> None:
    head = ["award", "amount", "charged", "difference", "currency", "missing", "elsewhere"]
    rows = [
        [each.award, plain(each.amount), plain(paid), plain(subtract(each.amount, paid)), currency,
         " ".join(each.missing), " ".join(each.elsewhere)]
        for each in offers
    ]  # fmt: skip
    drawn = [(each.award if each.suits else f"{each.award} *", paid, each.amount) for each in offers]
    names = ("charged", "under this award (*: without what can't be had)")
    chart.write(out, "comparison", head, rows, chart.bars(title, names, drawn))
