"""Exact sums, splits that add up, and months that begin at midnight in the contract's time zone."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, Inexact
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.contract.money import EXACT, add, decimals, multiply, opposite, plain, round_half_up, subtract, total
from services.contract.months import first_day, midnight, month_at, month_of, months_between, next_month
from services.contract.split import equal_parts, split

BRUSSELS = ZoneInfo("Europe/Brussels")
AMOUNTS = st.decimals(-(10**24), 10**24, places=27)
WEIGHTS = st.dictionaries(st.text("ABCDE", min_size=1, max_size=3), st.decimals(0, 10**6, places=6), min_size=1)


# ------------------------------------------------------------------------------------------------------------ splitting


@given(AMOUNTS, WEIGHTS)
def test_parts_add_up_to_the_whole(whole: Decimal, weights: dict[str, Decimal]):
    assume(any(weights.values()))
    parts = split(whole, weights)
    assert total(parts.values()) == whole
    assert parts.keys() == weights.keys()
    quantum, divisor = Decimal("1e-27"), total(weights.values())
    for name, part in parts.items():
        share = multiply(whole, weights[name])
        assert abs(subtract(multiply(part, divisor), share)) < multiply(quantum, divisor), "off by less than a quantum"


@given(AMOUNTS, st.dictionaries(st.text("ABCDE", max_size=3), st.decimals(-1000, 1000, places=3), min_size=1))
def test_negative_weights_add_up_too(whole: Decimal, weights: dict[str, Decimal]):
    assume(total(weights.values()) != 0)
    assert total(split(whole, weights).values()) == whole


@given(AMOUNTS, WEIGHTS, st.randoms(use_true_random=False))
def test_the_order_of_names_does_not_matter(whole: Decimal, weights: dict[str, Decimal], chance):
    assume(any(weights.values()))
    names = list(weights)
    chance.shuffle(names)
    assert split(whole, {name: weights[name] for name in names}) == split(whole, weights)


def test_largest_remainders_get_what_is_left():
    assert split(Decimal("0.05"), {"a": Decimal(1), "b": Decimal(2), "c": Decimal(4)}, 2) == {
        "a": Decimal("0.01"), "b": Decimal("0.01"), "c": Decimal("0.03"),
    }  # fmt: skip
    assert equal_parts(Decimal("0.02"), ["c", "a", "b"], 2) == {
        "a": Decimal("0.01"), "b": Decimal("0.01"), "c": Decimal(0),
    }  # fmt: skip
    assert total(equal_parts(Decimal("-0.02"), ["a", "b", "c"], 2).values()) == Decimal("-0.02")


def test_what_cannot_be_split():
    with pytest.raises(ValueError, match="add up to zero"):
        split(Decimal(1), {"a": Decimal(1), "b": Decimal(-1)})
    with pytest.raises(ValueError, match="add up to zero"):
        split(Decimal(1), {})
    with pytest.raises(ValueError, match="more than 2 decimals"):
        split(Decimal("0.001"), {"a": Decimal(1)}, 2)


@given(AMOUNTS)
def test_an_amount_and_its_opposite_are_nothing(amount: Decimal):
    assert add(amount, opposite(amount)) == 0
    assert plain(opposite(opposite(amount))) == plain(amount)


# ---------------------------------------------------------------------------------------------------------------- money


@pytest.mark.parametrize(
    ("amount", "digits", "rounded"),
    [
        ("0.005", 2, "0.01"), ("-0.005", 2, "-0.01"), ("0.004999999999999999999999999", 2, "0.00"),
        ("2.675", 2, "2.68"), ("-2.675", 2, "-2.68"), ("1.5", 0, "2"), ("-2.5", 0, "-3"), ("10", 2, "10.00"),
        ("999999999999999.995", 2, "1000000000000000.00"),
    ],
)  # fmt: skip
def test_half_a_cent_goes_up(amount: str, digits: int, rounded: str):
    assert str(round_half_up(Decimal(amount), digits)) == rounded


@given(AMOUNTS)
def test_rounding_is_never_further_than_half_a_cent(amount: Decimal):
    rounded = round_half_up(amount, 2)
    assert abs(subtract(rounded, amount)) <= Decimal("0.005")
    assert round_half_up(-amount, 2) == -rounded


@pytest.mark.parametrize(
    ("number", "text"),
    [("1.50", "1.5"), ("100", "100"), ("1E+3", "1000"), ("-0.00", "0"), ("0E-20", "0"), ("1E-9", "0.000000001"),
     ("-3.0", "-3")],
)  # fmt: skip
def test_plain(number: str, text: str):
    assert plain(Decimal(number)) == text


@given(AMOUNTS)
def test_plain_loses_nothing(number: Decimal):
    assert Decimal(plain(number)) == number
    assert decimals(number) == len(plain(number).partition(".")[2])


def test_a_lost_digit_is_an_error():
    with pytest.raises(Inexact):
        add(Decimal(10) ** 150, Decimal(10) ** -100)
    assert EXACT.divide(Decimal(1), Decimal(4)) == Decimal("0.25")


@given(st.lists(AMOUNTS), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_order(amounts: list[Decimal], chance):
    before = total(amounts)
    chance.shuffle(amounts)
    assert total(amounts) == before


# --------------------------------------------------------------------------------------------------------------- months


@pytest.mark.parametrize(
    ("instant", "month"),
    [
        ("2016-01-31T22:59:59.999999", "2016-01"),
        ("2016-01-31T23:00:00", "2016-02"),
        ("2016-01-31T23:30:00", "2016-02"),
        ("2016-03-31T21:59:59", "2016-03"),  # summer time: midnight is at 22:00 UTC
        ("2016-03-31T22:00:00", "2016-04"),
        ("2016-10-31T22:59:59", "2016-10"),
        ("2016-12-31T23:00:00", "2017-01"),
        ("2016-02-29T12:00:00", "2016-02"),
    ],
)
def test_months_begin_at_midnight_in_brussels(instant: str, month: str):
    assert month_at(datetime.fromisoformat(instant).replace(tzinfo=UTC), BRUSSELS) == month


def test_days_on_which_the_clock_changes():
    assert midnight(date(2016, 3, 27), BRUSSELS) == datetime(2016, 3, 26, 23, tzinfo=UTC)
    assert midnight(date(2016, 3, 28), BRUSSELS) - midnight(date(2016, 3, 27), BRUSSELS) == timedelta(hours=23)
    assert midnight(date(2016, 10, 31), BRUSSELS) - midnight(date(2016, 10, 30), BRUSSELS) == timedelta(hours=25)


@given(st.dates(date(2000, 1, 1), date(2199, 12, 30)))
def test_midnight_is_the_edge_of_a_day(day: date):
    at = midnight(day, BRUSSELS)
    assert at.astimezone(BRUSSELS).date() == day
    assert (at - timedelta(microseconds=1)).astimezone(BRUSSELS).date() == day - timedelta(days=1)
    assert first_day(month_of(day)) == day.replace(day=1)
    assert first_day(next_month(month_of(day))) == (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def test_months_between():
    assert months_between("2015-11", "2016-02") == ["2015-11", "2015-12", "2016-01", "2016-02"]
    assert months_between("2016-02", "2016-02") == ["2016-02"]


@pytest.mark.parametrize("text", ["2016-13", "2016-00", "2016-3", "16-03", "2016-03-01", "2016-03\n", ""])
def test_what_is_not_a_month(text: str):
    with pytest.raises(ValueError, match="write it like 2016-03"):
        first_day(text)
