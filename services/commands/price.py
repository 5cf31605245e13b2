"""plafond price: what a quantity costs, and how that comes about."""

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from services.commands.contract_file import contract_in
from services.contract.model import Award, Contract, Tariff
from services.contract.money import ZERO, add, plain
from services.contract.months import midnight
from services.contract.tariff import Step, charge
from services.ingest.decide import read_quantity
from services.output import Column, JsonOption, console, fail, print_json, show
from services.reasons import Refusal

_STEPS = [
    Column("what", "part"), Column("quantity", "quantity", right=True), Column("price", "price", right=True),
    Column("amount", "amount", right=True),
]  # fmt: skip


def price_command(
    contract: Annotated[Path, typer.Option(help="The contract file.", metavar="FILE")],
    award: Annotated[str, typer.Option(help="Lot and supplier, like 2/CTA.")],
    item: Annotated[str, typer.Option(help="The item's code.")],
    quantity: Annotated[str, typer.Option(help="How much, in the item's unit.")],
    before: Annotated[str, typer.Option(help="How much the meter shows already in this month.")] = "0",
    day: Annotated[
        datetime | None,
        typer.Option(
            "--date", formats=["%Y-%m-%d"], help="The day of use; without it today, or the contract's nearest."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a quantity of an item costs, and how that amount comes about.

    Examples:

    `plafond price --contract deploy/contracts/cloud-i.toml --award 2/CTA --item vm.small --quantity 1234.5`

    `plafond price --contract cloud-i.toml --award 2/CTA --item vm.small --quantity 10 --before 1000 --date 2016-03-01`
    """
    agreed = contract_in(contract)
    amounts = [_number("--quantity", quantity), _number("--before", before)]
    when = day.date() if day else min(max(datetime.now(UTC).date(), agreed.starts), agreed.ends - timedelta(days=1))
    tariff = _tariff(agreed, _award(agreed, award), when)
    found = _priced(agreed, tariff, item, *amounts)
    if as_json:
        print_json(found)
        return
    unit, currency = agreed.items[item].unit, agreed.currency
    heading = f"{item} under {award}, tariff from {tariff.valid_from}, {found['model']}"
    console.print(heading, style="bold", highlight=False, markup=False)
    if found["before"]:
        show(found["steps_before"], _STEPS, title=f"\nBefore: {plain(found['before'])} {unit}")
    show(found["steps"], _STEPS, title=f"\nAfter: {plain(found['after'])} {unit}")
    console.print(f"\n{quantity} {unit} cost {plain(found['amount'])} {currency}", style="bold", highlight=False)


def _priced(contract: Contract, tariff: Tariff, item: str, quantity: Decimal, before: Decimal) -> dict[str, Any]:
    """Return the amount and its reckoning, as plain data."""
    if item not in tariff.prices:
        _unknown("item", item, f"priced by {tariff.award} from {tariff.valid_from}", sorted(tariff.prices))
    model = tariff.prices[item].model
    after = add(before, quantity)
    return {
        "amount": charge(model, before, after),
        "currency": contract.currency,
        "award": tariff.award,
        "item": item,
        "unit": contract.items[item].unit,
        "tariff": tariff.valid_from,
        "model": model.kind,
        "before": before,
        "after": after,
        "steps_before": _rows(model.steps(before)) if before else [],
        "steps": _rows(model.steps(after)),
    }


def _rows(steps: list[Step]) -> list[dict[str, Any]]:
    return [asdict(step) for step in steps]


def _award(contract: Contract, code: str) -> Award:
    if code not in contract.awards:
        _unknown("award", code, "in the contract", sorted(contract.awards))
    return contract.awards[code]


def _tariff(contract: Contract, award: Award, day: date) -> Tariff:
    instant = midnight(day, contract.zone)
    if not contract.covers(instant):
        last = contract.ends - timedelta(days=1)
        fail(f"the contract doesn't run on {day}: it runs from {contract.starts} to {last}")
    tariff = contract.tariff_at(award.code, instant)
    if tariff is None:
        known = ", ".join(str(each.valid_from) for each in contract.tariffs_by_award[award.code])
        fail(f"{award.code} has no tariff on {day}; its tariffs begin on: {known or 'no day'}")
    return tariff


def _number(option: str, text: str) -> Decimal:
    read = read_quantity(text)
    if isinstance(read, Refusal):
        fail(f"{option}: {read.explanation}", 2)
    return Decimal(read) if read else ZERO


def _unknown(what: str, code: str, where: str, known: list[str]) -> NoReturn:
    fail(f"no {what} {code!r} {where}; known: {', '.join(known) or 'none'}")
