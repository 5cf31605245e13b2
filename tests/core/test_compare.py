"""Offers compared: what is missing is made up of equivalent parts, or named."""

from datetime import date
from decimal import Decimal

import pytest

from services.contract.load import load
from services.contract.model import Contract
from services.invoicing.compare import Used, made_of, offer
from tests.conftest import SMALL

EQUIVALENCES = """
[[items]]
code = "big"
name = "A big machine"
unit = "hour"
[[equivalences]]
item = "big"
parts = { vm = "4", disk = "100" }
[[equivalences]]
item = "traffic"
parts = { vm = "0.5" }
"""
FIRST, SECOND = date(2016, 1, 1), date(2016, 3, 15)


def contract(text: str = SMALL + EQUIVALENCES) -> Contract:
    loaded = load(text)
    assert isinstance(loaded, Contract), loaded
    return loaded


def test_an_item_is_itself_or_made_up_of_parts_that_are_all_priced():
    agreed = contract()
    assert made_of(agreed, "1/ALPHA", "vm", FIRST) == {"vm": 1}
    assert made_of(agreed, "1/ALPHA", "big", FIRST) == {"vm": 4, "disk": 100}
    assert made_of(agreed, "2/ALPHA", "big", FIRST) is None  # it has no disk
    assert made_of(agreed, "2/BETA", "traffic", FIRST) == {"traffic": 1}
    assert made_of(agreed, "2/ALPHA", "disk", FIRST) is None
    assert made_of(agreed, "2/ALPHA", "vm", None) is None


def test_an_offer_by_hand():
    agreed = contract()
    used = [
        Used("vm", "fr-paris", "EP", FIRST, Decimal(100), 2),
        Used("big", "fr-paris", "EP", SECOND, Decimal("0.5"), 3),
        Used("traffic", "fr-paris", "EP", FIRST, Decimal(10), 1),
    ]
    made = offer(agreed, "1/ALPHA", "2016-03", used)
    # 200 x 0.10, 10 x 0.5 x 0.10, and 1.5 big machines of 4 x 0.08 + 100 x 0.0003 each
    assert (made.amount, made.missing, made.elsewhere) == (Decimal("21.025"), (), ())
    assert made.suits
    other = offer(agreed, "2/ALPHA", "2016-03", [each for each in used if each.tariff == FIRST])
    assert (other.amount, other.missing) == (Decimal("10.25"), ())
    short = offer(agreed, "2/ALPHA", "2016-03", used)
    assert (short.missing, short.suits) == (("big",), False)


def test_regions_that_an_award_does_not_offer_are_named():
    agreed = contract(
        SMALL.replace(
            'supplier = "ALPHA"\nproviders = ["alpha"]\nceiling',
            'supplier = "ALPHA"\nregions = ["fr-paris"]\nproviders = ["alpha"]\nceiling',
        )
    )
    other = next(code for code in agreed.regions if code != "fr-paris")
    made = offer(agreed, "1/ALPHA", "2016-03", [Used("vm", other, "EP", FIRST, Decimal(1), 1)])
    assert (made.elsewhere, made.suits) == ((other,), False)


@pytest.mark.parametrize(
    ("old", "new", "place", "found"),
    [
        ('item = "traffic"', 'item = "big"', "equivalences[big].item", "'big' again"),
        ('vm = "4"', 'gpu = "4"', "equivalences[big].parts.gpu", "an unknown item"),
        ('vm = "4"', 'vm = "0"', "equivalences[big].parts.vm", "0"),
        ('item = "traffic"', 'item = "tape"', "equivalences[tape].item", "'tape'"),
    ],
)
def test_bad_equivalences_are_refused_with_their_place(old: str, new: str, place: str, found: str):
    problems = load(SMALL + EQUIVALENCES.replace(old, new))
    assert isinstance(problems, list)
    assert [(each.place, each.found) for each in problems] == [(place, found)]
