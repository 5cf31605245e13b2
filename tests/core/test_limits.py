"""How many events a provider may push: never more than what a bucket held and what flowed in."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.limits import BURST_SECONDS, Limits

PUSHES = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3_000)), max_size=60)


@given(PUSHES, st.sampled_from([1.0, 100.0, 2_500.0]))
def test_what_is_let_in_is_what_the_rate_allows(pushes: list[tuple[float, int]], rate: float):
    limits, now, taken, largest = Limits(rate), 0.0, 0, 0
    for pause, events in pushes:
        now += pause
        if not limits.seconds_to_wait("alpha", events, now):
            taken, largest = taken + events, max(largest, events)
        assert taken <= rate * BURST_SECONDS + rate * now + largest


@given(st.integers(1, 100_000))
def test_whoever_waits_as_long_as_told_is_let_in(events: int):
    limits = Limits(100)
    assert limits.seconds_to_wait("alpha", 1_000, 0.0) == 0
    wait = limits.seconds_to_wait("alpha", events, 0.0)
    assert wait > 0
    assert limits.seconds_to_wait("alpha", events, wait + 1e-6) == 0


def test_providers_have_buckets_of_their_own_and_no_rate_is_no_limit():
    limits = Limits(1)
    assert limits.seconds_to_wait("alpha", 10, 0.0) == 0
    assert limits.seconds_to_wait("alpha", 1, 0.0) == 1
    assert limits.seconds_to_wait("beta", 10, 0.0) == 0
    assert Limits(0).seconds_to_wait("alpha", 10**9, 0.0) == 0
