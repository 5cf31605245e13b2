"""Reading the tariffs of a contract file: what is around each charge model's own keys."""

from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal

from services.contract.model import Price, Scope, Tariff
from services.contract.money import HUNDRED, ZERO
from services.contract.problems import one_of, show
from services.contract.reading import Section
from services.contract.tariff.models import MODELS

PERCENT_DIGITS = 4
PERCENT_MAX = Decimal(1000)


def read_tariffs(document: Section, awards: Collection[str], items: Collection[str]) -> tuple[Tariff, ...]:
    """Read [[tariffs]]; a date that can't be read stands as date.min, an award as ""."""
    tariffs = []
    for section in document.tables("tariffs", at_least=1, label="award valid_from"):
        award = section.reference("award", awards, "awards (lot/supplier)")
        valid_from = section.day("valid_from")
        prices = section.child("prices")
        tariffs.append(Tariff(award or "", valid_from or date.min, _prices(section, prices, items) if prices else {}))
        section.done()
    return tuple(tariffs)


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


def read_price(section: Section, item: str) -> Price | None:
    """Read one item's price; None, with the mistakes noted, where there is none to be read."""
    kind = section.choice("model", list(MODELS))
    scope = section.choice("scope", list(Scope), default=Scope.INSTITUTION)
    free = section.quantity("free", required=False)
    percent = section.number("percent_of_list", PERCENT_DIGITS, ZERO, PERCENT_MAX, required=False)
    if kind is None:
        return None
    section.percent = HUNDRED if percent is None else percent
    model = MODELS[kind].read(section)
    section.done()
    return Price(item, Scope(scope), model, free or ZERO, section.percent) if model and scope else None


def _item_form(item: str, table: object, items: Collection[str]) -> str:
    """Say what would be right; `[tariffs.prices.vm.small]` without quotes is taken for an item `vm`."""
    dotted = [f"{item}.{key}" for key in table if f"{item}.{key}" in items] if isinstance(table, Mapping) else []
    return f'quotes: [tariffs.prices."{dotted[0]}"]' if dotted else one_of(items, "items", item)
