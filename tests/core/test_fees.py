"""Fees on other charges: whatever order usage comes in, a fee is on what was charged, once."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of
from services.contract.fees import fee_quantities, is_fee
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import ZERO, add, total
from services.contract.problems import Problem
from services.contract.succession import edited
from services.invoicing.settle import settle
from services.rating.meter import charges

SMALL = (Path(__file__).parents[1] / "data" / "small.toml").read_text("utf-8")
FEES = """
[[items]]
code = "support"
name = "Support"
unit = "EUR"

[[items]]
code = "handling"
name = "Handling, on support and traffic"
unit = "EUR"

[[tariffs]]
award = "2/BETA"
valid_from = 2016-03-15
[tariffs.prices.vm]
model = "graduated"
tiers = [{ up_to = "100", price = "0.06" }, { price = "0.05", fee = "2" }]
[tariffs.prices.traffic]
model = "per_unit"
price = "0.09"
[tariffs.prices.support]
model = "percentage"
percent = "3"
scope = "SCOPE"
floor = "5"
cap = "40"
[tariffs.prices.handling]
model = "percentage"
percent = "0.75"
of = ["support", "traffic"]
"""
MARCH = ("2016-03", "2016-03-15")


def contract(scope: str = "institution") -> Contract:
    loaded = load(SMALL + FEES.replace("SCOPE", scope))
    assert isinstance(loaded, Contract), loaded
    return loaded


ALONE, TOGETHER = contract(), contract("contract")
EVENTS = st.lists(
    st.tuples(
        st.builds(
            lambda item, subject: ChargeKey("2/BETA", item, *MARCH, subject),
            st.sampled_from(["vm", "traffic"]),
            st.sampled_from(sorted(ALONE.subjects)),
        ),
        st.decimals("-100", "1000", places=6),
    ),
    max_size=15,
)


def test_a_fee_and_a_fee_on_that_fee_by_hand():
    used = {
        ChargeKey("2/BETA", item, *MARCH, "EP"): Decimal(quantity)
        for item, quantity in (("vm", 300), ("traffic", 1000))
    }
    owed = {key.item: share for key, share in settle(ALONE, MARCH[0], used).items()}
    assert (owed["vm"].amount, owed["traffic"].amount) == (Decimal(18), Decimal(90))  # 100 x 0.06 + 200 x 0.05 + 2
    assert (owed["support"].quantity, owed["support"].amount) == (Decimal(108), Decimal(5))  # 3.24, below the floor
    assert (owed["handling"].quantity, owed["handling"].amount) == (Decimal(95), Decimal("0.7125"))


@given(EVENTS)
def test_charged_event_by_event_a_fee_comes_to_what_is_settled(events: list[tuple[ChargeKey, Decimal]]):
    meters: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    charged: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    quantities: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    for key, quantity in events:
        quantities[key] = add(quantities[key], quantity)
        made = charges(ALONE, {key: quantity}, meters)
        for number in range(ALONE.fee_rounds):
            on = fee_quantities(ALONE, number, {each.key: each.amount for each in made})
            made += charges(ALONE, on, meters)
        for each in made:
            meters[each.meter] = add(meters[each.meter], each.quantity)
            charged[each.key] = add(charged[each.key], each.amount)
    owed = settle(ALONE, MARCH[0], quantities)
    for item in ("vm", "traffic", "support", "handling"):
        settled = total(share.amount for key, share in owed.items() if key.item == item)
        assert settled == total(amount for key, amount in charged.items() if key.item == item)


@given(EVENTS)
def test_who_shares_a_fee_pays_the_price_of_the_whole(events: list[tuple[ChargeKey, Decimal]]):
    quantities: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    for key, quantity in events:
        quantities[key] = add(quantities[key], quantity)
    owed = settle(TOGETHER, MARCH[0], quantities)
    usage = total(share.amount for key, share in owed.items() if key.item in {"vm", "traffic"})
    meter = meter_of(TOGETHER, ChargeKey("2/BETA", "support", *MARCH, "EP"))
    assert meter.scope == "*"
    fee = total(share.amount for key, share in owed.items() if key.item == "support")
    assert fee == price_of(TOGETHER, meter).amount(usage)


@given(EVENTS)
def test_fees_among_the_quantities_are_reckoned_anew(events: list[tuple[ChargeKey, Decimal]]):
    quantities = dict(events)
    stale = {ChargeKey("2/BETA", "support", *MARCH, "EP"): Decimal(10**6)}
    assert settle(ALONE, MARCH[0], quantities | stale) == settle(ALONE, MARCH[0], quantities)


def test_fees_are_told_from_usage():
    assert [item for tariff in ALONE.tariffs_by_award["2/BETA"] for item in tariff.metered] == ["vm", "traffic"] * 2
    assert is_fee(ALONE, ChargeKey("2/BETA", "support", *MARCH, "EP"))
    assert not is_fee(ALONE, ChargeKey("2/BETA", "vm", *MARCH, "EP"))


def test_a_fee_added_to_a_tariff_in_use_edits_it():
    without = load(SMALL + FEES.partition("[tariffs.prices.support]")[0])
    assert isinstance(without, Contract)
    day = ALONE.tariffs_by_award["2/BETA"][-1].valid_from
    assert edited(without, ALONE, "2/BETA", day) == ["handling", "support"]


@pytest.mark.parametrize(
    ("old", "new", "place", "found"),
    [
        ('of = ["support", "traffic"]', 'of = ["handling"]', "handling", "'handling', the fee itself"),
        ('of = ["support", "traffic"]', 'of = ["disk"]', "handling", "'disk'"),
        ('scope = "SCOPE"', 'of = ["handling"]', "handling", "a circle: handling, support"),
        (
            'scope = "SCOPE"',
            'of = ["handling"]\n[tariffs.prices.disk]\nmodel = "percentage"\npercent = "1"\nof = ["support"]',
            "handling",
            "a circle: handling, support",
        ),
    ],
)
def test_a_fee_that_can_t_be_reckoned_is_refused(old: str, new: str, place: str, found: str):
    problems = load(SMALL + FEES.replace(old, new).replace("SCOPE", "institution"))
    assert isinstance(problems, list)
    assert [(each.place, each.found) for each in problems if isinstance(each, Problem)] == [
        (f"tariffs[2/BETA 2016-03-15].prices[{place}].of", found)
    ]
