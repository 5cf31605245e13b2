"""A month's stages, and what is told of one that is far from the month before."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.closing.anomalies import far_off
from services.closing.model import Check, Item, Weight, holding, is_clean, refused
from services.closing.stages import Stage, grace_ends, stands
from tests.documents import small

D = Decimal
MARCH = "2016-03"
amounts = st.dictionaries(st.sampled_from("ABCDEF"), st.decimals(-10_000, 10_000, places=2), max_size=6)


@pytest.mark.parametrize(
    ("now", "stage", "since"),
    [
        ("2016-02-29T22:59:59", Stage.AHEAD, None),
        ("2016-02-29T23:00:00", Stage.OPEN, "2016-02-29T23:00:00"),
        ("2016-03-31T21:59:59", Stage.OPEN, "2016-02-29T23:00:00"),
        ("2016-03-31T22:00:00", Stage.GRACE, "2016-03-31T22:00:00"),
        ("2016-04-05T21:59:59", Stage.GRACE, "2016-03-31T22:00:00"),
        ("2016-04-05T22:00:00", Stage.DUE, "2016-04-05T22:00:00"),
    ],
)
def test_each_stage_begins_where_the_one_before_ends(now: str, stage: Stage, since: str | None):
    at = stands(small(), MARCH, None, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert at.stage is stage
    assert at.since == (since and datetime.fromisoformat(since).replace(tzinfo=UTC))
    assert at.grace_ends == datetime(2016, 4, 5, 22, tzinfo=UTC), "five days, midnight in Brussels"


@given(st.datetimes(datetime(2016, 1, 1), datetime(2017, 1, 1)), st.timedeltas(timedelta(0), timedelta(days=90)))
def test_a_month_never_goes_back_a_stage(now: datetime, later: timedelta):
    order = list(Stage)
    first, second = (stands(small(), MARCH, None, at.replace(tzinfo=UTC)) for at in (now, now + later))
    assert order.index(first.stage) <= order.index(second.stage)


def test_a_close_ends_every_stage():
    closed_at = datetime(2016, 4, 2, tzinfo=UTC)
    at = stands(small(), MARCH, closed_at, datetime(2016, 4, 3, tzinfo=UTC))
    assert at == (Stage.CLOSED, closed_at, grace_ends(small(), MARCH))


def test_far_from_the_month_before_is_three_times_and_a_hundredth_of_all():
    before = {"EP": D(900), "EDA": D(100), "ACER": D("0.10"), "EC": D(50)}
    now = {"EP": D(2700), "EDA": D(301), "ACER": D(5), "EMA": D(200)}
    assert [each.code for each in far_off(before, now)] == ["EC", "EDA", "EMA"]
    assert far_off({}, now) == [], "a first month is compared with nothing"


def test_what_turns_its_sign_is_far():
    assert [each.code for each in far_off({"EP": D(100)}, {"EP": D(-90)})] == ["EP"]


@given(amounts)
def test_a_month_like_the_one_before_is_never_far(month: dict[str, Decimal]):
    assert far_off(month, month) == []


@given(amounts.filter(bool), amounts.filter(bool))
def test_far_is_far_in_both_directions(before: dict[str, Decimal], now: dict[str, Decimal]):
    forth, back = far_off(before, now), far_off(now, before)
    assert [(each.code, each.before, each.now) for each in forth] == [
        (each.code, each.now, each.before) for each in back
    ]


def test_only_what_holds_or_is_refused_makes_a_list_unclean():
    noted, holds, never = (Item(Check.DOCUMENT, "EP", "a", "b", weight) for weight in reversed(Weight))
    assert is_clean([noted])
    assert not is_clean([noted, holds])
    assert (holding([noted, holds, never]), refused([noted, holds, never])) == ([holds], [never])
