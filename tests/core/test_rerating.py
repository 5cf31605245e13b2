"""Re-rating, pure: what was charged and what moves come to the price under the right contract, on every key and meter."""

from collections import defaultdict
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from services.commands.rerate import done
from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of
from services.contract.fees import is_fee
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.invoicing.post import plus
from services.invoicing.settle import NOTHING, Share, amounts
from services.rerating.plan import Charged, Moved, Plan, plan, rebilled
from tests.services.test_rebill import DOLLARS, LATER, MARCH, PRICES, STARTED, TOGETHER

SMALL = (Path(__file__).parents[1] / "data" / "small.toml").read_text("utf-8")
AWARD = "2/BETA"


def contract(prices: str) -> Contract:
    loaded = load(SMALL + prices)
    assert isinstance(loaded, Contract), loaded
    return loaded


CHEAPER = PRICES.replace('"0.06"', '"0.03"')
CONTRACTS = [contract(text) for text in (PRICES, CHEAPER, LATER, TOGETHER, STARTED, DOLLARS)]
Event = tuple[int, str, str, Decimal]
EVENTS = st.lists(
    st.tuples(
        st.integers(1, 31),
        st.sampled_from(["EP", "EDA", "EC/DIGIT", "EC/AGRI", "pool/mail"]),
        st.sampled_from(["vm", "traffic"]),
        st.decimals("-20", "300", places=3),
    ),
    max_size=12,
)


def used(agreed: Contract, events: list[Event]) -> dict[ChargeKey, Decimal]:
    """What events come to by the tariffs that a contract has in force, in what it bills for."""
    quantities: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    for day, subject, item, quantity in events:
        tariff = [each for each in agreed.tariffs_by_award[AWARD] if each.valid_from <= date(2016, 3, day)][-1]
        key = ChargeKey(AWARD, item, MARCH, tariff.valid_from.isoformat(), subject)
        quantities[key] = add(quantities[key], tariff.prices[item].billed(quantity))
    return quantities


def charged_under(agreed: Contract, events: list[Event]) -> dict[ChargeKey, Charged]:
    """What events were charged, the first of them alone and the others on top."""
    found = {}
    for key, share in amounts(agreed, used(agreed, events)).items():
        if share != NOTHING:
            found[key] = Charged(share, price_of(agreed, key).currency)
    return found


@given(st.sampled_from(CONTRACTS), st.sampled_from(CONTRACTS), EVENTS)
def test_what_was_charged_and_what_moves_come_to_the_right_price(old: Contract, new: Contract, events: list[Event]):
    charged, usage = charged_under(old, events), used(new, events)
    made = plan(old, new, MARCH, charged, usage, [AWARD])
    keys: dict[ChargeKey, Share] = defaultdict(lambda: NOTHING)
    meters: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    for key, each in charged.items():
        keys[key] = each.share
        meters[meter_of(old, key)] = add(meters[meter_of(old, key)], each.share.amount)
    for moved in made.moved:
        keys[moved.key] = plus(keys[moved.key], moved.share)
        meters[moved.meter] = add(meters[moved.meter], moved.share.amount)
        assert moved.is_fee == (moved.key.item == "support")
    right = {key: share for key, share in amounts(new, usage).items() if share != NOTHING}
    assert {key: share for key, share in keys.items() if share != NOTHING} == right
    sums: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    for key, share in right.items():
        sums[meter_of(new, key)] = add(sums[meter_of(new, key)], share.amount)
    assert {meter: amount for meter, amount in meters.items() if amount} == {
        meter: amount for meter, amount in sums.items() if amount
    }


@given(st.sampled_from(CONTRACTS), EVENTS)
def test_under_the_same_contract_nothing_moves(agreed: Contract, events: list[Event]):
    charged = {
        key: Charged(each.share, each.currency, price_of(agreed, key).in_currency(each.share.quantity))
        for key, each in charged_under(agreed, events).items()
    }
    made = plan(agreed, agreed, MARCH, charged, used(agreed, events), [AWARD])
    assert (made.moved, made.changes, made.rebilled) == ([], [], ())


def test_which_contracts_bill_events_otherwise():
    before = CONTRACTS[0]
    assert [bool(rebilled(before, each, MARCH, [AWARD])) for each in CONTRACTS] == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]
    together, started = CONTRACTS[3], CONTRACTS[4]
    assert rebilled(together, started, MARCH, [AWARD]) == [AWARD], "another minimum"
    assert not is_fee(before, ChargeKey(AWARD, "vm", MARCH, "2016-03-01", "EP"))


def test_what_a_posting_did_is_said_also_where_it_comes_to_nothing():
    agreed, key = CONTRACTS[0], ChargeKey(AWARD, "vm", MARCH, "2016-03-01", "EP")
    moved = [Moved(key, meter_of(agreed, key), ZERO, Share(ZERO, Decimal(amount))) for amount in (1, -1)]
    made = Plan(MARCH, (AWARD,), (), moved, agreed, {}, {})
    assert list(done(made, ["2016-04"], ZERO)) == ["posted: 2 charges, 0.00 in all, on the invoices of 2016-04"]
    assert list(done(made, ["2016-04"], Decimal("-2.5")))[1:] == ["entered: -2.50 in all, due with the next close"]
    only_promised = Plan(MARCH, (AWARD,), (), [], agreed, {}, {})
    assert list(done(only_promised, [], ZERO)) == ["entered: 0.00 in all, due with the next close"]
    nothing = Plan(MARCH, (), (), [], agreed, {}, {})
    assert list(done(nothing, ["2016-04"], ZERO)) == ["posted: what was entered before, on the invoices of 2016-04"]
    dinars = Plan(MARCH, (AWARD,), (), [], replace(agreed, currency="KWD"), {}, {})
    assert list(done(dinars, [], Decimal("0.0015"))) == ["entered: 0.002 in all, due with the next close"]
