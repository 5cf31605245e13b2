"""The order in which a restored database gets back what it lacks: each batch after the decisions it came after before."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.decisions.records import same
from services.recovery.order import Order, Step

PARTITIONS = 2


def close(number: int, until: dict[int, int] | None, waiting: list[str] | None = None) -> dict[str, Any]:
    rated = None if until is None else [{"partition": p, "appended_at": at} for p, at in until.items()]
    told = {"month": f"2016-0{number}", "rated_until": rated, "waiting": waiting or [], "invoices": [], "lines": ""}
    return {"number": number, "close": told, "rerating": None, "contract": None, "late": None}


def order(*closes: dict[str, Any], late: dict[str, int] | None = None) -> Order:
    return Order([Step.of(each) for each in closes], late or {})


def test_a_batch_that_was_not_rated_by_then_came_after():
    both = order(close(1, {0: 100}), close(2, {0: 200, 1: 150}))
    assert both.steps_before("a", 0, 100) == 0
    assert both.steps_before("a", 0, 101) == 1
    assert both.steps_before("a", 0, 201) == 2
    assert both.steps_before("a", 1, 1) == 1, "nothing of the partition had been rated by the first"
    assert both.steps_before("a", 1, 151) == 2


def test_what_was_rated_and_not_posted_and_what_was_late_came_after():
    both = order(close(3, {0: 100}, ["waited"]), close(7, {0: 200}), late={"late": 3, "later": 8, "earlier": 2})
    assert both.steps_before("waited", 0, 50) == 1
    assert both.steps_before("late", 0, 50) == 1
    assert both.steps_before("later", 0, 50) == 2
    assert both.steps_before("earlier", 0, 50) == 0
    assert both.steps_before("late", None, 0) == 1, "the charges of a re-rating have no place in the topic"


def test_where_it_was_not_kept_how_far_usage_had_come_only_what_was_late_came_after():
    old = order(close(1, None), late={"late": 1})
    assert (old.steps_before("late", 0, 10**15), old.steps_before("other", 0, 10**15)) == (1, 0)


def test_a_decision_is_the_same_whenever_and_by_whom_it_was_entered():
    one, other = close(1, {0: 1}), close(1, None, ["x"])
    assert same(one | {"decided_at": 1, "decided_by": "a"}, other | {"decided_at": 2, "decided_by": "b"})
    assert not same(one, {**one, "close": one["close"] | {"lines": "other"}})
    assert not same(one, close(2, {0: 1}))


@given(
    st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.booleans(), st.booleans()), max_size=40),
    st.data(),
)
def test_whatever_had_come_by_a_close_is_told_apart_from_what_came_later(history, data):
    """Batches are rated in the order of their partitions, posted at once or later; closes come anywhere between."""
    rated: dict[int, int] = {}
    waiting: set[str] = set()
    late: dict[str, int] = {}
    closes: list[dict[str, Any]] = []
    batches: dict[str, tuple[int, int, int]] = {}
    for at, (partition, posts, closes_now) in enumerate(history, start=1):
        name = str(at)
        rated[partition] = at
        waiting.add(name)
        for each in sorted(waiting) if posts else []:
            waiting.remove(each)
            place, appended_at = (partition, at) if each == name else batches[each][:2]
            batches[each] = (place, appended_at, len(closes))
            # of what is posted late, the last seconds may be lost with the database
            if closes and data.draw(st.booleans()):
                late[each] = len(closes)
        batches.setdefault(name, (partition, at, -1))
        if closes_now:
            closes.append(close(len(closes) + 1, dict(rated), sorted(waiting)))
    again = order(*closes, late=late)
    for name, (partition, appended_at, after) in batches.items():
        expected = len(closes) if after == -1 and closes and name in closes[-1]["close"]["waiting"] else after
        if expected >= 0:
            assert again.steps_before(name, partition, appended_at) == expected
