"""Charge models: the charges of any events, in any order, add up to the price of their sum."""

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.money import ZERO, multiply, total
from services.contract.problems import Problem
from services.contract.reading import Section
from services.contract.tariff import ChargeModel, Step, charge
from services.contract.tariff.graduated import Graduated, Tier
from services.contract.tariff.models import MODELS
from services.contract.tariff.per_unit import PerUnit

PRICES = st.decimals(0, 10**9, places=12)
BOUNDS = st.lists(st.decimals(Decimal("1e-15"), 10**6, places=15), max_size=5, unique=True).map(sorted)
QUANTITIES = st.decimals(-(10**6), 10**6, places=15)


@st.composite
def graduated(draw: st.DrawFn) -> Graduated:
    bounds = [*draw(BOUNDS), None]
    return Graduated(tuple(Tier(bound, draw(PRICES)) for bound in bounds))


EACH_MODEL: dict[str, st.SearchStrategy[ChargeModel]] = {"per_unit": PRICES.map(PerUnit), "graduated": graduated()}
ANY_MODEL = st.one_of(*EACH_MODEL.values())


def test_each_model_is_tested():
    assert set(EACH_MODEL) == set(MODELS)


@given(ANY_MODEL, st.lists(QUANTITIES, max_size=20), st.randoms(use_true_random=False))
def test_charges_add_up_to_the_price_of_the_sum(model: ChargeModel, quantities: list[Decimal], chance: random.Random):
    for _ in range(2):
        meter, charged = ZERO, ZERO
        for quantity in quantities:
            after = total([meter, quantity])
            charged = total([charged, charge(model, meter, after)])
            meter = after
        assert charged == model.amount(total(quantities))
        chance.shuffle(quantities)


@given(ANY_MODEL, QUANTITIES)
def test_steps_add_up_to_the_amount(model: ChargeModel, quantity: Decimal):
    steps = model.steps(quantity)
    assert total(step.amount for step in steps) == model.amount(quantity)
    assert total(step.quantity for step in steps) == quantity
    assert all(multiply(step.quantity, step.price) == step.amount for step in steps)


@given(ANY_MODEL)
def test_nothing_costs_nothing(model: ChargeModel):
    assert model.amount(ZERO) == 0


@given(ANY_MODEL, QUANTITIES, QUANTITIES)
def test_more_never_costs_less(model: ChargeModel, one: Decimal, other: Decimal):
    assert model.amount(min(one, other)) <= model.amount(max(one, other))


TIERS = Graduated(
    (Tier(Decimal(100), Decimal("0.06")), Tier(Decimal(500), Decimal("0.05")), Tier(None, Decimal("0.04")))
)


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("0", "0"),
        ("99.999999999", "5.99999999994"),
        ("100", "6"),  # the hundredth unit is still in the first tier
        ("100.000000001", "6.00000000005"),
        ("500", "26"),
        ("500.000000001", "26.00000000004"),
        ("1000", "46"),
        ("-10", "-0.6"),  # a correction, at the first tier
    ],
)
def test_a_tier_holds_its_upper_bound(quantity: str, amount: str):
    assert TIERS.amount(Decimal(quantity)) == Decimal(amount)


def test_the_reckoning_of_a_tiered_amount():
    assert TIERS.steps(Decimal(600)) == [
        Step("up to 100", Decimal(100), Decimal("0.06"), Decimal(6)),
        Step("above 100 up to 500", Decimal(400), Decimal("0.05"), Decimal(20)),
        Step("above 500", Decimal(100), Decimal("0.04"), Decimal(4)),
    ]
    assert [step.what for step in TIERS.steps(Decimal(100))] == ["up to 100"]


def test_a_charge_across_a_bound():
    assert charge(TIERS, Decimal(90), Decimal(110)) == Decimal("1.1")  # 10 x 0.06 + 10 x 0.05
    assert charge(TIERS, Decimal(110), Decimal(90)) == Decimal("-1.1")


def test_every_mistake_in_tiers_is_noted():
    problems: list[Problem] = []
    tiers = [{"up_to": "10", "price": "x"}, {"up_to": "5", "price": 1, "cap": 3}, {"up_to": 0, "price": 1}, {}]
    Graduated.read(Section({"tiers": tiers}, "price", problems))
    assert {each.place for each in problems} == {
        "price.tiers[0].price", "price.tiers[1].up_to", "price.tiers[1].cap", "price.tiers[2].up_to",
        "price.tiers[3].price",
    }  # fmt: skip
