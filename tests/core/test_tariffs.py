"""Charge models: the charges of any events, in any order, add up to the price of their sum."""

import random
import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.money import ONE, ZERO, multiply, total
from services.contract.price import Price, Scope
from services.contract.problems import Problem
from services.contract.reading import Section
from services.contract.tariff import ChargeModel, Step, charge
from services.contract.tariff.flat import Flat
from services.contract.tariff.graduated import Graduated
from services.contract.tariff.models import MODELS
from services.contract.tariff.package import Package
from services.contract.tariff.per_unit import PerUnit
from services.contract.tariff.percentage import Percentage
from services.contract.tariff.stairstep import Stairstep
from services.contract.tariff.tariffs import read_price
from services.contract.tariff.tiers import Tier
from services.contract.tariff.volume import Volume

PRICES = st.decimals(0, 10**9, places=12)
BOUNDS = st.lists(st.decimals(Decimal("1e-15"), 10**6, places=15), max_size=5, unique=True).map(sorted)
QUANTITIES = st.decimals(-(10**6), 10**6, places=15)


@st.composite
def tiers(draw: st.DrawFn, *, fees: bool = True) -> tuple[Tier, ...]:
    bounds = [*draw(BOUNDS), None]
    return tuple(Tier(bound, draw(PRICES), draw(PRICES) if fees else ZERO) for bound in bounds)


EACH_MODEL: dict[str, st.SearchStrategy[ChargeModel]] = {
    "per_unit": PRICES.map(PerUnit),
    "graduated": tiers().map(Graduated),
    "volume": tiers().map(Volume),
    "package": st.builds(Package, st.decimals(Decimal("1e-9"), 10**6, places=9), PRICES),
    "stairstep": tiers(fees=False).map(Stairstep),
    "flat": st.builds(Flat, PRICES, st.booleans(), st.integers(28, 31)),
    "percentage": st.builds(
        Percentage, st.decimals(Decimal("0.0001"), 1000, places=4), st.just(()), st.just(ZERO) | PRICES, st.none()
    )
    | st.builds(lambda some, more: Percentage(Decimal(3), (), some, some + more), PRICES, PRICES),
}
ANY_MODEL = st.builds(
    Price, st.just("item"), st.sampled_from(Scope), st.one_of(*EACH_MODEL.values()),
    st.one_of(st.just(ZERO), st.decimals(0, 10**6, places=15)),
)  # fmt: skip
RISING = ANY_MODEL.filter(lambda price: price.model.kind in {"per_unit", "graduated", "package", "flat", "percentage"})


def test_each_model_is_tested():
    assert set(EACH_MODEL) == set(MODELS)


@given(ANY_MODEL, st.lists(QUANTITIES, max_size=20), st.randoms(use_true_random=False))
def test_charges_add_up_to_the_price_of_the_sum(model: Price, quantities: list[Decimal], chance: random.Random):
    for _ in range(2):
        meter, charged = ZERO, ZERO
        for quantity in quantities:
            after = total([meter, quantity])
            charged = total([charged, charge(model, meter, after)])
            meter = after
        assert charged == model.amount(total(quantities))
        chance.shuffle(quantities)


@given(ANY_MODEL, QUANTITIES)
def test_steps_add_up_to_the_amount(model: Price, quantity: Decimal):
    steps = model.steps(quantity)
    assert total(step.amount for step in steps) == model.amount(quantity)
    if model.model.kind in {"per_unit", "graduated", "volume"}:
        assert total(step.quantity for step in steps if step.per == "unit") == quantity
    assert all(multiply(step.quantity, step.price) == step.amount for step in steps)


@given(ANY_MODEL)
def test_nothing_costs_nothing(model: Price):
    assert model.amount(ZERO) == 0


@given(RISING, QUANTITIES, QUANTITIES)
def test_more_never_costs_less(model: Price, one: Decimal, other: Decimal):
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


EXAMPLES = re.findall(r"```toml\n(.*?)```\n\n\| quantity \| amount \|\n\| ---: \| ---: \|\n((?:\|[^\n]*\|\n)+)",
                      (Path(__file__).parents[2] / "docs" / "tariffs.md").read_text("utf-8"), re.DOTALL)  # fmt: skip


EVENTS = re.findall(r"```toml\n([^`]*?)```\n\n\| event \| billed \|\n\| ---: \| ---: \|\n((?:\|[^\n]*\|\n)+)",
                    (Path(__file__).parents[2] / "docs" / "tariffs.md").read_text("utf-8"), re.DOTALL)  # fmt: skip


RESERVED = re.findall(r"```toml\n([^`]*?)```\n\n\| quantity \| amount \| due unused \|\n[^\n]*\n((?:\|[^\n]*\|\n)+)",
                      (Path(__file__).parents[2] / "docs" / "tariffs.md").read_text("utf-8"), re.DOTALL)  # fmt: skip


@pytest.mark.parametrize(("text", "table"), RESERVED)
def test_what_is_due_unused_is_as_documented(text: str, table: str):
    price = read(text).on_meter("*")
    for line in table.splitlines():
        quantity, amount, unused = (Decimal(cell) for cell in line.strip("| ").split("|"))
        assert price.amount(quantity) == amount
        assert price.due(quantity) == amount + unused


def test_what_an_event_is_billed_for_is_as_documented():
    [(text, table)] = EVENTS
    for line in table.splitlines():
        quantity, billed = (Decimal(cell) for cell in line.strip("| ").split("|"))
        assert read(text).billed(quantity) == billed


@given(QUANTITIES, st.decimals(0, 100, places=6), st.decimals(0, 100, places=6))
def test_an_event_is_billed_for_whole_increments_and_its_opposite_for_the_opposite(
    quantity: Decimal, minimum: Decimal, increment: Decimal
):
    price = Price("item", Scope.INSTITUTION, PerUnit(ZERO), minimum=minimum, increment=increment)
    billed = price.billed(quantity)
    assert price.billed(-quantity) == -billed
    assert abs(billed) >= abs(quantity)
    if quantity and increment and abs(billed) != minimum:
        assert billed % increment == 0
        assert abs(billed) < abs(quantity) + increment
    if not quantity or (not minimum and not increment):
        assert billed == quantity


def test_every_model_is_documented():
    assert {tomllib.loads(text)["model"] for text, _ in EXAMPLES} == set(MODELS)


@pytest.mark.parametrize(("text", "table"), EXAMPLES)
def test_the_documentation_says_what_is_reckoned(text: str, table: str):
    price = read(text).in_month("2016-03")
    for line in table.splitlines():
        quantity, amount = (Decimal(cell) for cell in line.strip("| ").split("|"))
        assert price.amount(quantity) == amount
        assert charge(price, Decimal(17), quantity) == amount - price.amount(Decimal(17))


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ('model = "package"\nsize = "0"\nprice = "1"', "size", "0"),
        ('model = "package"\nprice = "1"', "size", "nothing"),
        ('model = "package"\nsize = "-1"\nprice = "1"', "size", "'-1'"),
        ('model = "per_unit"\nprice = "1"\nfree = "-1"', "free", "'-1'"),
        ('model = "per_unit"\nprice = "1"\npercent_of_list = "-1"', "percent_of_list", "'-1'"),
        ('model = "per_unit"\nprice = "1"\npercent_of_list = "1000.1"', "percent_of_list", "'1000.1'"),
        ('model = "stairstep"\ntiers = [{ price = "1", fee = "2" }]', "tiers[0].fee", "an unknown key"),
        ('model = "volume"\ntiers = [{ up_to = "5", price = "1" }]', "tiers[0].up_to", "5: usage above it has no price"),
        ('model = "volume"\ntiers = []', "tiers", "[]"),
        ('model = "graduated"\ntiers = [{ price = "1", fee = "-2" }]', "tiers[0].fee", "'-2'"),
        ('model = "per_unit"\nprice = "1"\ntiers = []', "tiers", "an unknown key"),
        ('model = "bundle"', "model", "'bundle'"),
        ('model = "flat"\nprice = "1"\nby_days = "yes"', "by_days", "'yes'"),
        ('model = "flat"', "price", "nothing"),
        ('model = "percentage"\npercent = "3"\nincrement = "1"', "increment", "1"),
        ('model = "per_unit"\nprice = "1"\nminimum = "-1"', "minimum", "'-1'"),
        ('model = "percentage"\npercent = "0"', "percent", "'0'"),
        ('model = "percentage"\npercent = "3"\nof = []', "of", "[]"),
        ('model = "percentage"\npercent = "3"\nfloor = "5"\ncap = "4"', "floor", "5, above the cap"),
        ('model = "percentage"\npercent = "3"\npercent_of_list = "90"', "percent_of_list", "90"),
    ],
)  # fmt: skip
def test_a_bad_price_is_refused_with_its_place(text: str, place: str, found: str):
    problems: list[Problem] = []
    read_price(Section(tomllib.loads(text), "", problems), "item")
    assert [(each.place, each.found) for each in problems] == [(place, found)]


@given(
    st.sampled_from([text for text, _ in EXAMPLES if '"percentage"' not in text and "by_days" not in text]),
    st.decimals(0, 1000, places=4),
    QUANTITIES,
)
def test_a_percentage_of_the_list_is_that_part_of_the_amount(text: str, percent: Decimal, quantity: Decimal):
    listed = {key: value for key, value in tomllib.loads(text).items() if key != "percent_of_list"}
    part = read_price(Section({**listed, "percent_of_list": percent}, "", []), "item")
    whole = read_price(Section(listed, "", []), "item")
    assert part is not None
    assert whole is not None
    assert part.amount(quantity) == multiply(whole.amount(quantity), multiply(percent, Decimal("0.01")))


def test_a_percentage_of_the_list_is_rounded_to_12_decimals_half_up():
    text = 'model = "per_unit"\npercent_of_list = "50"\nprice = "{}"'
    assert read(text.format("0.000000000001")).amount(ONE) == Decimal("1e-12")
    odd = read(text.format("0.019876543215"))
    assert odd.amount(ONE) == Decimal("0.009938271608")
    assert odd.steps(ONE)[0].listed == Decimal("0.019876543215")


def read(text: str) -> Price:
    problems: list[Problem] = []
    price = read_price(Section(tomllib.loads(text), "", problems), "item")
    assert not problems
    assert price is not None
    return price


def test_every_mistake_in_tiers_is_noted():
    problems: list[Problem] = []
    tiers = [{"up_to": "10", "price": "x"}, {"up_to": "5", "price": 1, "cap": 3}, {"up_to": 0, "price": 1}, {}]
    Graduated.read(Section({"tiers": tiers}, "price", problems))
    assert {each.place for each in problems} == {
        "price.tiers[0].price", "price.tiers[1].up_to", "price.tiers[1].cap", "price.tiers[2].up_to",
        "price.tiers[3].price",
    }  # fmt: skip
