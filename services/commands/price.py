"""plafond price: what a quantity costs, and how that comes about."""

import csv
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer

from services.commands.contract_file import contract_in
from services.commands.steps import show_steps
from services.contract.model import Award, Contract, Tariff
from services.contract.money import ZERO, add, plain, subtract
from services.contract.months import midnight, month_of
from services.contract.price import Price
from services.contract.problems import Problem, one_of
from services.contract.reading import Section
from services.contract.tariff import Step, charge
from services.contract.tariff.reserved import EVERYONE
from services.contract.tariff.tariffs import read_price
from services.ingest.decide import read_quantity
from services.output import JsonOption, console, fail, print_json
from services.reasons import Refusal


def price_command(
    contract: Annotated[Path | None, typer.Option(help="The contract file.", metavar="FILE")] = None,
    award: Annotated[str | None, typer.Option(help="With --contract: lot and supplier, like 2/CTA.")] = None,
    item: Annotated[
        str | None, typer.Option(help="The item's code; with --tariff the file's name, if nothing is said.")
    ] = None,
    tariff: Annotated[
        Path | None, typer.Option(help="Instead of a contract: a file with one item's price.", metavar="FILE")
    ] = None,
    quantity: Annotated[str | None, typer.Option(help="How much, in the item's unit.")] = None,
    before: Annotated[
        str | None, typer.Option(help="With --quantity: how much the meter shows already in this month, if any.")
    ] = None,
    meters: Annotated[
        str | None,
        typer.Option(
            help="Instead of --quantity: CSV with quantity and maybe before; - is standard input.", metavar="CSV"
        ),
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option(
            "--date", formats=["%Y-%m-%d"], help="The day of use; without it today, or the contract's nearest."
        ),
    ] = None,
    payer: Annotated[
        str | None, typer.Option(help="Who uses it, where some reserve it or owe it unused; * for all together.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a quantity of an item costs, and how that amount comes about.

    The price is an item's in a contract, or the one in a file with the same keys as in a contract. With --meters every
    row of a CSV file comes out again with its amount.

    Examples:

    `plafond price --contract deploy/contracts/cloud-i.toml --award 2/CTA --item vm.small --quantity 1234.5`

    `plafond price --contract cloud-i.toml --award 2/CTA --item vm.small --quantity 10 --before 1000 --date 2016-03-01`

    `plafond price --tariff offer.toml --quantity 250 --json`

    `plafond price --tariff offer.toml --meters meters.csv > priced.csv`
    """  # fmt: skip
    if (contract is None) == (tariff is None):
        fail("give a --contract or a --tariff", 2)
    if (quantity is None) == (meters is None):
        fail("give a --quantity or --meters", 2)
    if before is not None and meters is not None:
        fail("--before goes with --quantity; with --meters it is a column of the file", 2)
    if contract is not None and (award is None or item is None):
        fail("with --contract, give the --award and the --item", 2)
    agreed = contract_in(contract) if contract is not None else None
    price, about = _chosen(agreed, tariff, award, item, day.date() if day else None)
    _refuse_stranger(agreed, payer)
    price = _of_payer(price, payer)
    if meters is not None:
        _price_meters(price, meters, as_json=as_json)
        return
    found = _priced(price, _number("--quantity", quantity or ""), _number("--before", before or "0")) | about
    if "conversion" in found:
        found["conversion"] |= {each: price.in_currency(found[each]) for each in ("before", "after")}
    if as_json:
        print_json(found)
    else:
        _show(found)


def _refuse_stranger(agreed: Contract | None, payer: str | None) -> None:
    if agreed is None or payer is None or payer in {*agreed.subjects, EVERYONE}:
        return
    known = one_of(agreed.subjects, "institutions, departments and pools", payer)
    fail(f"--payer: found {payer!r}; wanted {known}", 2)


def _chosen(
    contract: Contract | None, tariff: Path | None, award: str | None, item: str | None, day: date | None
) -> tuple[Price, dict[str, Any]]:
    """Return the price in a file, or an item's in a contract and what that says around it."""
    if tariff is not None:
        return _of_a_month(_price_in(tariff, item or tariff.stem), day), {}
    assert contract is not None, "one of them is given"
    assert award is not None, "as the item, with a contract"
    assert item is not None, "as the award, with a contract"
    return _agreed(contract, award, item, day)


def _priced(price: Price, quantity: Decimal, before: Decimal) -> dict[str, Any]:
    """Return the amount and its reckoning, as plain data; the quantity is one event's."""
    billed = price.billed(quantity)
    after = add(before, billed)
    return {
        "amount": charge(price, before, after),
        "model": price.model.kind,
        "price": price.brief(),
        "quantity": quantity,
        "billed": billed,
        "before": before,
        "after": after,
        "steps_before": _rows(price.steps(before)) if before else [],
        "steps": _rows(price.steps(after)),
        "due_unused": subtract(price.due(after), price.amount(after)),
    }


def _show(found: dict[str, Any]) -> None:
    unit, currency = found.get("unit", "units"), found.get("currency", "")
    where = f"{found['item']} under {found['award']}, tariff from {found['tariff']}, " if "item" in found else ""
    console.print(f"{where}{found['model']}: {found['price']}", style="bold", highlight=False, markup=False)
    if found["before"]:
        show_steps(found["steps_before"], title=f"\nBefore: {plain(found['before'])} {unit}")
    show_steps(found["steps"], title=f"\nAfter: {plain(found['after'])} {unit}")
    if found["billed"] != found["quantity"]:
        console.print(f"\nbilled for {plain(found['billed'])} {unit}, as an event of that size is", highlight=False)
    console.print(
        f"\n{plain(found['quantity'])} {unit} cost {plain(found['amount'])} {currency}".rstrip(),
        style="bold", highlight=False,
    )  # fmt: skip
    if converted := found.get("conversion"):
        provisional = ", provisionally: the month has none of its own yet" if converted["provisional"] else ""
        console.print(
            f"converted at {plain(converted['rate'])} {converted['currency']} for 1 {currency}, "
            f"the rate of {converted['of_month']}{provisional}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    if found["due_unused"]:
        console.print(
            f"for what is due unused, {plain(found['due_unused'])} {currency}".rstrip() + " are due at the close",
            highlight=False,
        )


def _price_meters(price: Price, path: str, *, as_json: bool) -> None:
    try:
        if path == "-":
            _write_meters(price, sys.stdin, "standard input", as_json=as_json)
        else:
            with Path(path).open(encoding="utf-8-sig", newline="") as file:
                _write_meters(price, file, path, as_json=as_json)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fail(f"{path}: can't be read: {error}")


def _write_meters(price: Price, file: TextIO, name: str, *, as_json: bool) -> None:
    """Write every row with its amount; where one can't be priced, its line is named and none is written."""
    reader = csv.DictReader(file, strict=True)
    if reader.fieldnames is None or "quantity" not in reader.fieldnames:
        fail(f"{name}: no column quantity; wanted quantity, and maybe before and others")
    again = sorted({each for each in reader.fieldnames if reader.fieldnames.count(each) > 1})
    if again:
        fail(f"{name}: more than one column {', '.join(again)}; wanted each only once")
    if "amount" in reader.fieldnames:
        fail(f"{name}: a column amount, which is what is added; wanted another name for it")
    rows = list(_meters(price, reader, name))
    if as_json:
        print_json(rows)
        return
    writer = csv.DictWriter(sys.stdout, [*reader.fieldnames, "amount"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _meters(price: Price, reader: "csv.DictReader[str]", name: str) -> Iterator[dict[str, Any]]:
    for row in reader:
        place = f"{name}: line {reader.line_num}"
        if None in row or None in row.values():
            fail(f"{place}: not as many fields as the header has")
        before = _number(f"{place}: before", row.get("before") or "0", 1)
        after = add(before, price.billed(_number(f"{place}: quantity", row["quantity"], 1)))
        yield {**row, "amount": plain(charge(price, before, after))}


def _price_in(path: Path, item: str) -> Price:
    """Read a file with one item's price; every mistake in it is shown."""
    try:
        table = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (OSError, ValueError, RecursionError) as error:
        fail(f"{path}: can't be read: {error}")
    problems: list[Problem] = []
    if headers := [key for key, value in table.items() if isinstance(value, dict) or key in {"awards", "tariffs"}]:
        fail(
            f"{path}: found the table {headers[0]!r}; wanted the keys of one item's price alone, without a header: "
            "model = ... and what else stands below its [tariffs.prices.ITEM] in a contract"
        )
    price = read_price(Section(table, "", problems), item)
    if problems or price is None:
        fail("\n".join(f"{path}: {problem}" for problem in problems))
    return price


def _of_a_month(price: Price, day: date | None) -> Price:
    return price.in_month(month_of(day or datetime.now(UTC).date()))


def _of_payer(price: Price, payer: str | None) -> Price:
    """Return the price on a payer's meter; it must be said whose, unless what is due unused is due by all together."""
    payers = sorted({*price.reserved, *price.fee_payers} - {EVERYONE})
    if payer is None and payers:
        fail(f"something is due unused by {', '.join(payers)}: say whose use it is with --payer", 2)
    return price.on_meter(EVERYONE if payer is None else payer)


def _agreed(contract: Contract, award: str, item: str, day: date | None) -> tuple[Price, dict[str, Any]]:
    """Return an item's price in the tariff in force, and what the contract says around it."""
    when = day or min(max(datetime.now(UTC).date(), contract.starts), contract.ends - timedelta(days=1))
    tariff = _tariff(contract, _award(contract, award), when)
    if item not in tariff.prices:
        _unknown("item", item, f"priced by {tariff.award} from {tariff.valid_from}", sorted(tariff.prices))
    about = {
        "currency": contract.currency,
        "award": tariff.award,
        "item": item,
        "unit": contract.items[item].unit,
        "tariff": tariff.valid_from,
    }
    price, month = tariff.prices[item], month_of(when)
    rate = contract.rate(price.currency, month)
    priced = price.in_month(month, rate)
    if rate is not None:
        about["conversion"] = {
            "currency": price.currency, "rate": rate.rate, "of_month": rate.month, "provisional": priced.is_provisional,
        }  # fmt: skip
    return priced, about


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


def _number(what: str, text: str, status: int = 2) -> Decimal:
    read = read_quantity(text)
    if isinstance(read, Refusal):
        fail(f"{what}: {read.explanation}", status)
    return Decimal(read) if read else ZERO


def _unknown(what: str, code: str, where: str, known: list[str]) -> NoReturn:
    fail(f"no {what} {code!r} {where}; known: {', '.join(known) or 'none'}")
