"""Prices in another currency, and prices that change by a percentage from a day on."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.cli import app
from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of, provisional_rates
from services.contract.currencies import CURRENCY_DIGITS
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import ZERO, multiply, round_half_up, total
from services.contract.price import Indexed
from services.contract.succession import converted, edited
from services.contract.tariff import charge
from services.invoicing.settle import settle, settle_in_currency
from services.rating.meter import charges

SMALL = (Path(__file__).parents[1] / "data" / "small.toml").read_text("utf-8")
DOLLARS = """
[[tariffs]]
award = "2/BETA"
valid_from = 2016-03-15
currency = "USD"
rate = "latest"
[tariffs.prices.vm]
model = "graduated"
tiers = [{ up_to = "100", price = "0.06" }, { price = "0.05", fee = "2" }]
[tariffs.prices.disk]
model = "percentage"
percent = "10"
floor = "1"

[[rates]]
currency = "USD"
month = "2016-02"
rate = "1.0920"
[[rates]]
currency = "USD"
month = "2016-04"
rate = "1.125"
"""
MAY = """
[[rates]]
currency = "USD"
month = "2016-05"
rate = "1.2"
"""
INDEXED = """
[[indexation]]
award = "2/BETA"
valid_from = 2018-01-01
percent = "-10"
[[indexation]]
award = "2/BETA"
valid_from = 2017-01-01
percent = "1.5"
"""
QUANTITIES = st.decimals("-1000", "100000", places=9)


def contract(more: str) -> Contract:
    loaded = load(SMALL + more)
    assert isinstance(loaded, Contract), loaded
    return loaded


IN_DOLLARS = contract(DOLLARS)


def key(month: str, subject: str = "EP", item: str = "vm") -> ChargeKey:
    return ChargeKey("2/BETA", item, month, "2016-03-15", subject)


def test_an_amount_is_converted_at_the_months_rate():
    march, may = price_of(IN_DOLLARS, key("2016-03")), price_of(IN_DOLLARS, key("2016-05"))
    assert (march.rate, may.rate) == (Decimal("1.0920"), Decimal("1.125"))  # the last one given by then
    assert (march.rate_month, may.rate_month) == ("2016-02", "2016-04")
    assert not march.is_provisional, "the tariff says that the last one holds"
    assert march.in_currency(Decimal(300)) == Decimal(18)
    assert march.amount(Decimal(300)) == Decimal("16.483516483516")  # 18 / 1.092
    assert may.amount(Decimal(300)) == Decimal(16)
    assert march.brief().endswith("USD")


MONTHLY = DOLLARS.replace('rate = "latest"\n', "").replace("2016-02", "2016-03")


def test_a_month_without_a_rate_of_its_own_is_charged_provisionally():
    monthly = contract(MONTHLY)
    assert not price_of(monthly, key("2016-04")).is_provisional
    may = price_of(monthly, key("2016-05"))
    assert (may.rate, may.rate_month, may.is_provisional) == (Decimal("1.125"), "2016-04", True)
    keys = [key("2016-04"), key("2016-05"), key("2016-05", "EDA"), key("2016-05", item="disk")]
    [found] = provisional_rates(monthly, keys)
    assert str(found) == ("2/BETA is charged at 1.125 USD, the rate of 2016-04: the contract has none for 2016-05 yet")
    assert provisional_rates(IN_DOLLARS, keys) == []


def test_a_bill_says_what_is_provisional(tmp_path: Path):
    (tmp_path / "contract.toml").write_text(SMALL + MONTHLY)
    row = "a,beta-north,{}-02T10:00:00Z,EP,2,vm,300,fr-paris\n"
    columns = "id,provider,time,subject,lot,item,quantity,region\n"
    for month, warned in (("2016-04", False), ("2016-05", True)):
        (tmp_path / "usage.csv").write_text(columns + row.format(month))
        words = ["--contract", "contract.toml", "--usage", "usage.csv", "--out", "out"]
        words = [str(tmp_path / word) if index % 2 else word for index, word in enumerate(words)]
        done = CliRunner().invoke(app, ["bill", *words], prog_name="plafond")
        assert done.exit_code == 0, done.output
        said = " ".join(done.output.split())
        assert ("provisional: 2/BETA is charged at 1.125 USD, the rate of 2016-04" in said) is warned
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert [each["month"] for each in summary["provisional_rates"]] == [month] * warned


def test_a_rate_of_the_year_before_the_contract_may_be_the_last_one():
    announced = MONTHLY.replace("2016-04", "2015-01").replace('"2016-03"', '"2015-02"')
    price = price_of(contract(announced), key("2016-03"))
    assert (price.rate_month, price.is_provisional) == ("2015-02", True)


def test_the_rule_of_the_rate_alone_edits_no_price():
    day = date(2016, 3, 15)
    assert edited(IN_DOLLARS, contract(MONTHLY), "2/BETA", day) == []
    assert edited(IN_DOLLARS, contract(DOLLARS.replace("0.06", "0.07")), "2/BETA", day) == ["vm"]


def test_a_rate_may_be_added_once_the_month_was_re_rated_with_it():
    monthly, later = contract(MONTHLY), contract(MONTHLY + MAY)
    assert converted(monthly, later, "2/BETA", date(2016, 3, 15), "2016-05") == ["USD"]
    put_right = replace(monthly, rerated={("2/BETA", "2016-05"): later})
    assert converted(put_right, later, "2/BETA", date(2016, 3, 15), "2016-05") == []
    other = contract(MONTHLY + MAY.replace("1.2", "1.3"))
    assert converted(put_right, other, "2/BETA", date(2016, 3, 15), "2016-05") == ["USD"]
    assert provisional_rates(put_right, [key("2016-05")]) == []


@pytest.mark.parametrize("code", ["CZK", "RON", "BGN", "NOK", "TRY", "ISK", "HRK", "AUD", "KRW"])
def test_every_currency_that_has_rates_can_be_priced_in(code: str):
    assert price_of(contract(DOLLARS.replace("USD", code)), key("2016-03")).currency == code


def test_an_amount_that_is_due_has_the_currencys_digits():
    assert {code: CURRENCY_DIGITS[code] for code in ("EUR", "JPY", "ISK", "KWD", "CLF")} == {
        "EUR": 2, "JPY": 0, "ISK": 0, "KWD": 3, "CLF": 4,
    }  # fmt: skip
    assert len(CURRENCY_DIGITS) == 139 + 17 + 7 + 2 + 11, "ISO 4217's, and those that are withdrawn"


def test_a_charge_keeps_both_amounts_and_the_rate():
    [made] = charges(IN_DOLLARS, {key("2016-05"): Decimal(300)}, {MeterKey(*key("2016-05")): Decimal(100)})
    assert (made.currency, made.rate, made.currency_amount) == ("USD", Decimal("1.125"), Decimal(17))
    assert made.amount == round_half_up(Decimal("20.4444444444444444"), 12) - round_half_up(
        Decimal("5.33333333333333"), 12
    )


@given(st.lists(QUANTITIES, max_size=10))
def test_converted_charges_add_up_to_the_converted_price(quantities: list[Decimal]):
    price, meter, charged = price_of(IN_DOLLARS, key("2016-03")), ZERO, ZERO
    for quantity in quantities:
        charged = total([charged, charge(price, meter, total([meter, quantity]))])
        meter = total([meter, quantity])
    assert charged == price.amount(meter)
    assert abs(multiply(charged, Decimal("1.0920")) - price.in_currency(meter)) < Decimal("1e-11")


@given(st.dictionaries(st.sampled_from(sorted(IN_DOLLARS.subjects)), QUANTITIES))
def test_amounts_in_the_currency_are_shared_as_those_that_are_due(quantities: dict[str, Decimal]):
    keys = {key("2016-05", subject): quantity for subject, quantity in quantities.items()}
    due = settle(IN_DOLLARS, "2016-05", keys)
    dollars = settle_in_currency(IN_DOLLARS, "2016-05", keys)
    assert dollars.keys() == {line for line in due if line.item == "vm"}, "a fee is in the contract's currency"
    assert all(
        abs(multiply(due[line].amount, Decimal("1.125")) - amount) < Decimal("1e-9") for line, amount in dollars.items()
    )
    mine = [price_of(IN_DOLLARS, meter).in_currency(quantity) for meter, quantity in meters(keys).items()]
    assert total(dollars.values()) == total(mine)


def meters(keys: dict[ChargeKey, Decimal]) -> dict[MeterKey, Decimal]:
    found: dict[MeterKey, Decimal] = {}
    for each, quantity in keys.items():
        meter = meter_of(IN_DOLLARS, each)
        found[meter] = total([found.get(meter, ZERO), quantity])
    return found


def test_a_fee_is_on_what_is_converted_already():
    owed = settle(IN_DOLLARS, "2016-05", {key("2016-05"): Decimal(3000)})
    assert owed[next(each for each in owed if each.item == "disk")].amount == Decimal("13.6")  # 10 % of 153 USD / 1.125


def test_another_rate_for_a_month_is_told():
    other = contract(DOLLARS.replace("1.125", "1.13"))
    assert converted(IN_DOLLARS, other, "2/BETA", date(2016, 3, 15), "2016-03") == []
    assert converted(IN_DOLLARS, other, "2/BETA", date(2016, 3, 15), "2016-04") == ["USD"]
    assert converted(IN_DOLLARS, other, "2/BETA", date(2016, 1, 1), "2016-04") == []


def test_indexation_changes_the_prices_in_force_year_after_year():
    tariffs = contract(INDEXED).tariffs_by_award["2/BETA"]
    assert [each.valid_from for each in tariffs] == [date(2016, 1, 1), date(2017, 1, 1), date(2018, 1, 1)]
    amounts = [each.prices["vm"].amount(Decimal(10)) for each in tariffs]
    assert amounts == [Decimal("0.6"), Decimal("0.609"), Decimal("0.5481")]  # 0.06, x 1.015, x 0.9


def test_the_list_price_and_what_changed_it_stay_beside_an_indexed_price():
    percent = SMALL.replace('model = "graduated"\ntiers', 'model = "graduated"\npercent_of_list = "50"\ntiers')
    loaded = load(percent + INDEXED)
    assert isinstance(loaded, Contract), loaded
    first, second, _ = (each.prices["vm"] for each in loaded.tariffs_by_award["2/BETA"])
    assert [(step.listed, step.price) for step in first.steps(Decimal(150))] == [
        (Decimal("0.06"), Decimal("0.03")), (Decimal("0.05"), Decimal("0.025")),
    ]  # fmt: skip
    assert [(step.listed, step.price) for step in second.steps(Decimal(10))] == [(Decimal("0.06"), Decimal("0.03045"))]
    assert (first.indexed, second.indexed) == ((), (Indexed(date(2017, 1, 1), Decimal("1.5")),))
    assert contract(INDEXED).tariffs_by_award["2/BETA"][0].prices["vm"].steps(Decimal(10))[0].listed is None


def test_an_indexed_price_is_rounded_to_twelve_decimals():
    fine = SMALL.replace('price = "0.07"', 'price = "0.000000000007"')
    loaded = load(fine + INDEXED)
    assert isinstance(loaded, Contract)
    assert loaded.tariffs_by_award["2/BETA"][1].prices["traffic"].steps(Decimal(2000))[1].price == Decimal("7e-12")


@pytest.mark.parametrize(
    ("more", "place", "found"),
    [
        (DOLLARS.replace('month = "2016-02"', 'month = "2016-03"').replace("2016-03-15", "2016-02-15"),
         "tariffs[2/BETA 2016-02-15].currency", "'USD', for which there is no rate in 2016-02"),
        (DOLLARS.replace("2016-02", "2014-12"), "tariffs[2/BETA 2016-03-15].currency",
         "'USD', whose last rate by 2016-03 is of 2014-12"),
        (MONTHLY.replace("2016-03\"", "2014-12\"").replace("2016-04", "2014-11"), "tariffs[2/BETA 2016-03-15].currency",
         "'USD', whose last rate by 2016-03 is of 2014-12"),
        (MONTHLY.replace("2016-03\"", "2016-02\""), "tariffs[2/BETA 2016-03-15].currency",
         "'USD', which has a rate for 2016-04 and none for 2016-03"),
        (MONTHLY + MAY.replace("05", "07"), "tariffs[2/BETA 2016-03-15].currency",
         "'USD', which has a rate for 2016-07 and none for 2016-05, 2016-06"),
        (MONTHLY.replace('"USD"\n[', '"USD"\nrate = "last"\n['), "tariffs[2/BETA 2016-03-15].rate", "'last'"),
        (DOLLARS.replace('currency = "USD"\nrate = "latest"', 'rate = "latest"'), "tariffs[2/BETA 2016-03-15].rate",
         "'latest'"),
        (DOLLARS.replace('"2016-04"', '"2016-02"'), "rates[USD 2016-02]", "the rate of USD for 2016-02 again"),
        (DOLLARS.replace('rate = "1.125"', 'rate = "0"'), "rates[USD 2016-04].rate", "'0'"),
        (DOLLARS.replace('"2016-04"', '"2016-13"'), "rates[USD 2016-13].month", "'2016-13'"),
        (DOLLARS.replace('"USD"\nmonth = "2016-04"', '"EUR"\nmonth = "2016-04"'), "rates[EUR 2016-04].currency", "'EUR'"),
        (INDEXED.replace("valid_from = 2017-01-01\n", ""), "indexation[1].valid_from", "nothing"),
        (INDEXED.replace("2017-01-01", "2016-01-01"), "indexation[2/BETA 2016-01-01].valid_from", "2016-01-01"),
        (INDEXED.replace("2017-01-01", "2015-01-01"), "indexation[2/BETA 2015-01-01].valid_from", "2015-01-01"),
        (INDEXED.replace("2018-01-01", "2017-01-01"), "indexation[2/BETA 2017-01-01].valid_from", "2017-01-01 again"),
        (INDEXED.replace('"1.5"', '"51"'), "indexation[2/BETA 2017-01-01].percent", "'51'"),
        (INDEXED.replace('"2/BETA"\nvalid_from = 2017', '"2/GAMMA"\nvalid_from = 2017'),
         "indexation[2/GAMMA 2017-01-01].award", "'2/GAMMA'"),
    ],
)  # fmt: skip
def test_what_can_t_be_reckoned_is_refused_with_its_place(more: str, place: str, found: str):
    problems = load(SMALL + more)
    assert isinstance(problems, list)
    assert [(each.place, each.found) for each in problems] == [(place, found)]
