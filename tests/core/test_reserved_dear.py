"""What is reserved costs at most what it costs otherwise, in every charge model."""

import tomllib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.money import add, multiply, subtract
from services.contract.problems import Problem
from services.contract.reading import Section
from services.contract.tariff.tariffs import read_price

MODELS = {
    'model = "per_unit"\nprice = "0.05"': ("100", "5"),
    'model = "graduated"\ntiers = [{ up_to = "9", price = "0.06", fee = "1" }, { price = "0.05", fee = "2" }]': (
        "100",
        "9",
    ),
    'model = "volume"\ntiers = [{ up_to = "9", price = "0.06" }, { price = "0.05", fee = "2" }]': ("100", "8"),
    'model = "package"\nsize = "30"\nprice = "2"': ("100", "8"),
    'model = "stairstep"\ntiers = [{ up_to = "9", price = "1" }, { price = "7" }]': ("100", "7"),
    'model = "flat"\nprice = "150"': ("100", "150"),
    'model = "flat"\nprice = "280"\nby_days = true': ("10", "100"),
}


def problems(model: str, quantity: str, price: Decimal) -> list[Problem]:
    found: list[Problem] = []
    reserved = f'reserved = [{{ quantity = "{quantity}", price = "{price:f}" }}]'
    read_price(Section(tomllib.loads(f'scope = "contract"\n{model}\n{reserved}'), "", found), "item")
    return found


@pytest.mark.parametrize("model", MODELS)
def test_what_is_dearer_than_without_is_refused(model: str):
    quantity, most = MODELS[model]
    price = Decimal(most) / Decimal(quantity)
    assert problems(model, quantity, price) == []
    [found] = problems(model, quantity, add(price, Decimal("0.01")))
    assert (found.place, found.wanted) == (
        "reserved[0].price", f"at most {most} in all, which they cost without a reservation",
    )  # fmt: skip


@given(st.sampled_from(sorted(MODELS)), st.integers(1, 40), st.decimals("0.01", 20, places=2), st.integers(0, 200))
def test_what_is_refused_would_never_be_cheaper(model: str, quantity: int, price: Decimal, used: int):
    if not problems(model, str(quantity), price):
        return
    alone = read_price(Section(tomllib.loads(model), "", []), "item")
    assert alone is not None
    alone = alone.in_month("2015-02")
    beyond = alone.amount(max(Decimal(0), subtract(Decimal(used), Decimal(quantity))))
    assert add(multiply(Decimal(quantity), price), beyond) >= alone.amount(Decimal(used))
