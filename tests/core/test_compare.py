"""Offers compared: what is missing is made up of equivalent parts, or named."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.charges import ChargeKey
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import add, total
from services.invoicing.committed import committed, owed_by_institution
from services.invoicing.compare import Comparison, Offer, Used, made_of, offer
from services.invoicing.dues import Due, Month, due
from services.invoicing.settle import settle
from tests.conftest import SMALL
from tests.core.test_commitments import MARCH, PROMISED

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


def month(agreed: Contract, quantities: dict[ChargeKey, Decimal] | None = None) -> Month:
    return Month(agreed, MARCH, "EP", ("1/ALPHA", "2/ALPHA", "2/BETA"), quantities or {}, {})


def test_an_offer_by_hand():
    agreed = contract()
    used = [
        Used("vm", "fr-paris", "EP", FIRST, Decimal(100), 2),
        Used("big", "fr-paris", "EP", SECOND, Decimal("0.5"), 3),
        Used("traffic", "fr-paris", "EP", FIRST, Decimal(10), 1),
    ]
    made = offer(month(agreed), "1/ALPHA", used)
    # 200 x 0.10, 10 x 0.5 x 0.10, and 1.5 big machines of 4 x 0.08 + 100 x 0.0003 each
    assert (made.due.amount, made.missing, made.elsewhere) == (Decimal("21.025"), {}, ())
    assert made.complete
    other = offer(month(agreed), "2/ALPHA", [each for each in used if each.tariff == FIRST])
    assert (other.due.amount, other.missing) == (Decimal("10.25"), {})
    short = offer(month(agreed), "2/ALPHA", used)
    assert (short.missing, short.complete) == ({"big": Decimal("1.5")}, False)


DOLLARS = """
[[tariffs]]
award = "2/ALPHA"
valid_from = 2016-03-01
currency = "USD"
[tariffs.prices.vm]
model = "per_unit"
price = "0.05"
[[rates]]
currency = "USD"
month = "2016-02"
rate = "1.25"
"""


def test_an_offer_at_a_rate_that_is_not_its_months_says_so():
    used = [Used("vm", "fr-paris", "EP", date(2016, 3, 1), Decimal(100), 1)]
    made = offer(month(contract(SMALL + DOLLARS)), "2/ALPHA", used)
    assert made.due.amount == 4
    assert [(each.award, each.month, each.of) for each in made.provisional] == [("2/ALPHA", MARCH, "2016-02")]
    known = contract(SMALL + DOLLARS + DOLLARS[DOLLARS.index("[[rates]]") :].replace("2016-02", "2016-03"))
    assert offer(month(known), "2/ALPHA", used).provisional == ()


def test_regions_that_an_award_does_not_offer_are_named():
    agreed = contract(
        SMALL.replace(
            'supplier = "ALPHA"\nproviders = ["alpha"]\nceiling',
            'supplier = "ALPHA"\nregions = ["fr-paris"]\nproviders = ["alpha"]\nceiling',
        )
    )
    other = next(code for code in agreed.regions if code != "fr-paris")
    made = offer(month(agreed), "1/ALPHA", [Used("vm", other, "EP", FIRST, Decimal(1), 1)])
    assert (made.elsewhere, made.complete) == ((other,), False)


def an_offer(award: str, amount: str, *missing: str) -> Offer:
    return Offer(award, Due(MARCH, Decimal(amount), ()), dict.fromkeys(missing, Decimal(1)), ())


def compared(*offers: Offer) -> Comparison:
    return Comparison(Due(MARCH, Decimal(9), ()), list(offers), [])


def test_an_incomplete_offer_is_never_the_cheapest():
    cheap, dear, same = an_offer("1/ALPHA", "1", "big"), an_offer("2/ALPHA", "8"), an_offer("2/BETA", "8.00")
    assert compared(cheap, dear).cheapest == ("2/ALPHA",)
    assert compared(dear, same, an_offer("2/GAMMA", "9")).cheapest == ("2/ALPHA", "2/BETA")
    assert compared(cheap).cheapest == ()
    assert replace(compared(dear), anything_used=False).cheapest == ()


def key(award: str, item: str, subject: str = "EP") -> ChargeKey:
    first = "2016-03-01" if award == "2/ALPHA" else "2016-01-01"
    return ChargeKey(award, item, MARCH, first, subject)


def besides(due: Due) -> dict[tuple[str, str, str, str], Decimal]:
    return {(each.award, each.item, each.why, each.due): each.amount for each in due.besides}


def test_what_is_promised_to_any_award_counts_and_is_listed():
    mine = month(PROMISED, {key("2/BETA", "vm"): Decimal(100), key("2/BETA", "vm", "EC"): Decimal(300)})
    as_used = due(mine, mine.quantities)
    # 6 for the machines. EP reserved 1000 machines of ALPHA's and a third of the disk, and owes a part of BETA's
    # minimum: 50 less 22, in proportion to what each was charged. The credit of all pays half of it.
    assert as_used.usage == 6
    found = besides(as_used)
    assert found["2/ALPHA", "vm", "reserved and unused", MARCH] == 30
    assert round(found["2/ALPHA", "disk", "reserved and unused", MARCH], 2) == Decimal("3.33")
    assert round(found["2/BETA", "short", "short of the minimum", MARCH], 2) == Decimal("7.64")  # 28 x 6 / 22
    assert round(found["2/BETA", "credit", "prepaid credit", MARCH], 2) == Decimal("-1.36")  # (25 - 30) x 6 / 22
    assert found["1/ALPHA", "short", "short of the minimum so far", "2016-12"] == 100
    assert as_used.amount == add(as_used.usage, as_used.promised)
    assert as_used.promised == total(amount for (_, _, _, month), amount in found.items() if month == MARCH)

    moved = offer(mine, "2/ALPHA", [Used("vm", "fr-paris", "EP", date(2016, 3, 1), Decimal(100), 1)])
    assert moved.due.usage == 3, "at the reserved price"
    assert besides(moved.due)["2/ALPHA", "vm", "reserved and unused", MARCH] == 27
    assert ("2/BETA", "short", "short of the minimum", MARCH) not in besides(moved.due), "only EC used it then"
    stayed = offer(mine, "2/BETA", [Used("vm", "fr-paris", "EP", FIRST, Decimal(100), 1)])
    assert stayed.due == as_used


QUANTITIES = st.dictionaries(
    st.builds(
        key, st.sampled_from(["2/ALPHA", "2/BETA"]), st.just("vm"), st.sampled_from(["EP", "EC/AGRI", "pool/mail"])
    ),
    st.decimals(0, 5000, places=3),
)


@given(QUANTITIES)
def test_what_is_due_is_what_the_close_would_make_of_it(quantities: dict[ChargeKey, Decimal]):
    made = due(month(PROMISED, quantities), quantities)
    lines = {line: share.amount for line, share in settle(PROMISED, MARCH, quantities).items()}
    months = ["2016-01", "2016-02", MARCH]
    lines |= {
        line: share.amount
        for line, share in committed(PROMISED, months, owed_by_institution(lines)).items()
        if line.month == MARCH
    }
    assert made.amount == total(amount for line, amount in lines.items() if line.institution == "EP" and not line.pool)


@pytest.mark.parametrize(
    ("old", "new", "place", "found"),
    [
        ('item = "traffic"', 'item = "big"', "equivalences[big].item", "'big' again"),
        ('vm = "4"', 'gpu = "4"', "equivalences[big].parts.gpu", "an unknown item"),
        ('vm = "4"', 'vm = "0"', "equivalences[big].parts.vm", "0"),
        ('item = "traffic"', 'item = "tape"', "equivalences[tape].item", "'tape'"),
        ('item = "big"\nparts', "item = []\nparts", "equivalences[0].item", "[]"),
    ],
)
def test_bad_equivalences_are_refused_with_their_place(old: str, new: str, place: str, found: str):
    problems = load(SMALL + EQUIVALENCES.replace(old, new))
    assert isinstance(problems, list)
    assert [(each.place, each.found) for each in problems] == [(place, found)]


def equivalent(*lines: str) -> str:
    return SMALL + "".join(
        f'[[equivalences]]\nitem = "{line.split()[0]}"\nparts = {{ {line.split(" ", 1)[1]} }}\n' for line in lines
    )


@pytest.mark.parametrize(
    ("lines", "circle"),
    [
        (["vm vm = 1"], "vm"),
        (["vm disk = 2", "disk vm = 2"], "disk, vm"),
        (["vm disk = 2", "disk vm = 0.5, traffic = 1"], "disk, vm"),
        (["vm disk = 2", "disk traffic = 0.5", "traffic vm = 0.9"], "disk, traffic, vm"),
        (["vm disk = 2", "disk vm = 0.5", "traffic traffic = 2"], "traffic"),
        (["vm disk = 2", "disk traffic = 3", "traffic disk = 3"], "disk, traffic"),
    ],
)
def test_parts_that_lead_back_to_another_quantity_of_the_item_are_refused(lines: list[str], circle: str):
    problems = load(equivalent(*lines))
    assert isinstance(problems, list)
    first = circle.split(",", maxsplit=1)[0]
    assert [(each.place, each.found) for each in problems] == [(f"equivalences[{first}].parts", f"a circle: {circle}")]


def test_two_items_may_be_made_up_of_each_other():
    contract(equivalent("vm disk = 2", "disk vm = 0.5", "traffic disk = 1"))
    contract(equivalent("vm disk = 3", "disk vm = 0.333333333333333"))
