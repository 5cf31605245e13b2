"""Reading the tariffs of a contract file: what is around each charge model's own keys."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.contract.model import Tariff
from services.contract.money import HUNDRED, HUNDREDTH, ONE, ZERO, add, multiply, plain
from services.contract.price import Indexed, Price, Scope
from services.contract.problems import one_of, show
from services.contract.reading import Section
from services.contract.tariff.dear import refuse_dear
from services.contract.tariff.models import MODELS
from services.contract.tariff.percentage import Percentage, fee_rounds
from services.contract.tariff.reserved import read_reserved
from services.contract.tariff.unused_fee import read_unused_fee

PERCENT_DIGITS = 4
FIFTY = Decimal(50)
PERCENT_MAX = Decimal(1000)


class _Table(NamedTuple):
    """A tariff as it stands in the file, and what its prices are multiplied with."""

    award: str
    valid_from: date
    section: Section
    factor: Decimal
    own_meters: bool
    indexed: tuple[Indexed, ...] = ()


def read_tariffs(
    document: Section, awards: Collection[str], items: Collection[str], own_currency: str
) -> tuple[Tariff, ...]:
    """Read [[tariffs]] and [[indexation]]; a date that can't be read stands as date.min, an award as ""."""
    tables = []
    for section in document.tables("tariffs", at_least=1, label="award valid_from"):
        award = section.reference("award", awards, "awards (lot/supplier)")
        day, own_meters = section.day("valid_from") or date.min, section.flag("own_meters")
        tables.append(_Table(award or "", day, section, ONE, own_meters))
    for section in sorted(document.tables("indexation", label="award valid_from"), key=_day_of):
        tables += _indexed(section, awards, tables)
    return tuple(_tariff(each, items, own_currency) for each in tables)


def _day_of(section: Section) -> str:
    return str(section.table.get("valid_from"))


def _indexed(section: Section, awards: Collection[str], tables: list[_Table]) -> list[_Table]:
    """Return the tariff in force with its prices changed by a percentage from a day on."""
    award = section.reference("award", awards, "awards (lot/supplier)")
    day, percent = section.day("valid_from"), section.number("percent", PERCENT_DIGITS, -FIFTY, FIFTY)
    own_meters = section.flag("own_meters")
    section.done()
    if award is None or day is None or percent is None:
        return []
    begun = [each for each in tables if each.award == award and each.valid_from <= day]
    if not begun:
        section.problem("valid_from", str(day), f"a day on which {award} has a tariff to be changed")
        return []
    base = max(begun, key=lambda each: each.valid_from)
    if base.valid_from == day:
        if base.indexed:
            section.problem("valid_from", f"{day} again", f"a day on which no other indexation of {award} begins")
        else:
            form = f"a day on which no tariff of {award} begins: its prices are as they stand"
            section.problem("valid_from", str(day), form)
        return []
    factor = multiply(base.factor, add(ONE, multiply(percent, HUNDREDTH)))
    indexed = (*base.indexed, Indexed(day, percent))
    return [base._replace(valid_from=day, factor=factor, own_meters=own_meters, indexed=indexed)]


def _tariff(table: _Table, items: Collection[str], own_currency: str) -> Tariff:
    section = replace(table.section, index=table.factor)
    currency = section.currency("currency", default=own_currency)
    rate = section.choice("rate", ["month", "latest"], required=False)
    priced = section.child("prices")
    prices = _prices(section, priced, items) if priced else {}
    if table.indexed:
        prices = {item: replace(price, indexed=table.indexed) for item, price in prices.items()}
    if currency not in {own_currency, None}:
        prices = {item: _in_currency(price, currency, rate == "latest") for item, price in prices.items()}
    elif rate is not None and currency is not None:
        section.problem("rate", show(rate), "no such key: the prices are in the contract's own currency")
    fees = fee_rounds({item: price.model for item, price in prices.items()}, section)
    section.done()
    return Tariff(table.award, table.valid_from, prices, fees, table.own_meters)


def _prices(tariff: Section, prices: Section, items: Collection[str]) -> dict[str, Price]:
    made = {}
    for item, table in prices.table.items():
        if item not in items:
            prices.problem(item, "an unknown item", _item_form(item, table, items))
            if not isinstance(table, Mapping) or "model" not in table:
                continue
        if not isinstance(table, Mapping):
            prices.problem(item, show(table), "a table with model and its prices")
        elif price := read_price(tariff.inside(f"prices[{item}]", table), item):
            made[item] = price
    return made


def _in_currency(price: Price, currency: str | None, latest_rate: bool) -> Price:
    """Return the price in a currency; a fee is on charges that are converted already."""
    if isinstance(price.model, Percentage):
        return price
    return replace(price, currency=currency, latest_rate=latest_rate)


def read_price(section: Section, item: str) -> Price | None:
    """Read one item's price; None, with the mistakes noted, where there is none to be read."""
    price = _read_price(section, item)
    if price is None or isinstance(price.model, Percentage) or (section.percent, section.index) == (HUNDRED, ONE):
        return price
    as_listed = {key: value for key, value in section.table.items() if key != "percent_of_list"}
    listed = replace(section, table=as_listed, problems=[], percent=HUNDRED, index=ONE, _seen=set())
    return replace(price, listed=_read_price(listed, item))


def _read_price(section: Section, item: str) -> Price | None:
    kind = section.choice("model", list(MODELS))
    scope = section.choice("scope", list(Scope), default=Scope.INSTITUTION)
    free = section.quantity("free", required=False)
    percent = section.number("percent_of_list", PERCENT_DIGITS, ZERO, PERCENT_MAX, required=False)
    minimum = section.quantity("minimum", required=False)
    increment = section.quantity("increment", required=False)
    if kind is None:
        return None
    section.percent = HUNDRED if percent is None else percent
    model = MODELS[kind].read(section)
    reserved = read_reserved(section, together=scope == Scope.CONTRACT)
    fee_payers, first_fee = read_unused_fee(section, model, scope or "") if model else (frozenset[str](), ZERO)
    section.done()
    if model is None or scope is None:
        return None
    if isinstance(model, Percentage) and (minimum or increment):
        section.problem(
            "minimum" if minimum else "increment",
            plain(minimum or increment or ZERO),
            "no such key: a fee has no events",
        )
    if isinstance(model, Percentage) and item in model.of:
        section.problem("of", f"{show(item)}, the fee itself", "other items")
    if isinstance(model, Percentage) and reserved:
        section.problem("reserved", "units of a fee", "no such key: a fee is on money, of which nothing is reserved")
    if not isinstance(model, Percentage):
        refuse_dear(section, model, reserved)
    return Price(
        item, Scope(scope), model, free or ZERO, section.percent, minimum=minimum or ZERO, increment=increment or ZERO,
        reserved=reserved, fee_payers=fee_payers, first_fee=first_fee,
    )  # fmt: skip


def _item_form(item: str, table: object, items: Collection[str]) -> str:
    """Say what would be right; `[tariffs.prices.vm.small]` without quotes is taken for an item `vm`."""
    dotted = [f"{item}.{key}" for key in table if f"{item}.{key}" in items] if isinstance(table, Mapping) else []
    return f'quotes: [tariffs.prices."{dotted[0]}"]' if dotted else one_of(items, "items", item)
