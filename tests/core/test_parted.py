"""Prices that begin within a month: what counts by the month counts twice only where that is said."""

from decimal import Decimal
from pathlib import Path

import pytest

from services.contract.charges import ChargeKey
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import total
from services.contract.problems import Problem
from services.invoicing.settle import settle

SMALL = (Path(__file__).parents[1] / "data" / "small.toml").read_text("utf-8")
FEE = '[tariffs.prices.traffic]\nmodel = "percentage"\npercent = "3"\n'
BY_THE_MONTH = {
    "a price for the month": 'model = "flat"\nprice = "150"',
    "a price for the whole of a tier": 'model = "stairstep"\ntiers = [{ price = "7" }]',
    "a fee on entering a tier": 'model = "volume"\ntiers = [{ price = "1", fee = "2" }]',
    "free units": 'model = "per_unit"\nprice = "1"\nfree = "5"',
    "free units, a fee on entering a tier": 'model = "graduated"\nfree = "5"\ntiers = [{ price = "1", fee = "2" }]',
}
BY_USE = [
    'model = "per_unit"\nprice = "1"\nminimum = "2"',
    'model = "flat"\nprice = "150"\nby_days = true',
    'model = "graduated"\ntiers = [{ up_to = "5", price = "2" }, { price = "1" }]',
    'model = "package"\nsize = "5"\nprice = "1"',
]


def tariff(day: str, price: str, more: str = "", after: str = "") -> str:
    head = f'\n[[tariffs]]\naward = "2/ALPHA"\nvalid_from = {day}\n{after}'
    return f"{head}[tariffs.prices.disk]\n{price}\n{more}"


def indexed(day: str, after: str = "") -> str:
    return f'\n[[indexation]]\naward = "2/ALPHA"\nvalid_from = {day}\npercent = "1"\n{after}'


def problems(*tables: str) -> list[Problem]:
    loaded = load(SMALL + "".join(tables))
    return [] if isinstance(loaded, Contract) else loaded


@pytest.mark.parametrize("what", BY_THE_MONTH)
def test_what_counts_by_the_month_is_not_counted_twice_unsaid(what: str):
    first, price = tariff("2016-03-01", BY_THE_MONTH[what]), BY_THE_MONTH[what]
    (found,) = problems(first, tariff("2016-03-15", price))
    assert found == Problem(
        "tariffs[2/ALPHA 2016-03-15].prices[disk]",
        f"{what}, which would count twice in 2016-03: with new prices meters begin anew",
        "prices from the first of a month, or own_meters = true beside valid_from if that is agreed",
    )
    (found,) = problems(first, indexed("2016-03-15"))
    assert found.place == "indexation[2/ALPHA 2016-03-15].prices[disk]"
    (found,) = problems(first, tariff("2016-03-10", BY_USE[0], after=""), tariff("2016-03-15", price))
    assert found.place == "tariffs[2/ALPHA 2016-03-15].prices[disk]", "another tariff lies between the two"
    for fine in (
        tariff("2016-03-15", price, after="own_meters = true\n"),
        indexed("2016-03-15", "own_meters = true\n"),
        tariff("2016-04-01", price),
        indexed("2016-04-01"),
        tariff("2016-03-15", BY_USE[0]) + tariff("2016-04-15", price),
    ):
        assert problems(first, fine) == []


def test_own_meters_holds_for_the_prices_it_is_said_of():
    price = BY_THE_MONTH["a price for the month"]
    agreed = tariff("2016-03-15", price, after="own_meters = true\n")
    (found,) = problems(agreed, indexed("2016-03-20"))
    assert found.place == "indexation[2/ALPHA 2016-03-20].prices[disk]"


@pytest.mark.parametrize("limit", ['floor = "5"', 'cap = "5"'])
def test_the_floor_and_cap_of_a_fee_are_by_the_month(limit: str):
    first, second = (tariff(f"2016-03-{day}", BY_USE[0], FEE + limit) for day in ("01", "15"))
    (found,) = problems(first, second)
    assert found.place == "tariffs[2/ALPHA 2016-03-15].prices[traffic]"
    assert problems(first.replace(limit, ""), second) == []


@pytest.mark.parametrize("price", BY_USE)
def test_what_counts_by_use_goes_on_with_a_new_price(price: str):
    assert problems(tariff("2016-03-01", price), tariff("2016-03-15", price)) == []


def test_where_it_is_said_each_part_of_the_month_counts_by_itself():
    price = BY_THE_MONTH["a price for the month"]
    contract = load(SMALL + tariff("2016-03-01", price) + tariff("2016-03-15", price, after="own_meters = true\n"))
    assert isinstance(contract, Contract)
    days = ("2016-03-01", "2016-03-15")
    used = {ChargeKey("2/ALPHA", "disk", "2016-03", day, "EP"): Decimal(1) for day in days}
    assert total(share.amount for share in settle(contract, "2016-03", used).values()) == 300
