"""Corrections in any order: no usage disappears."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.rating.corrections import Chains, Sent, refusals
from services.reasons import Reason

IDS = st.sampled_from("abcd")
SENT = st.lists(st.tuples(IDS, st.sampled_from(["", *"abcd"])).filter(lambda pair: pair[0] != pair[1]), max_size=12)


def taken(sent: list[tuple[str, str]], cuts: set[int]) -> tuple[dict[str, str], dict[int, Reason]]:
    """Return what each event that was taken corrects, and what was refused, in batches that begin at the cuts."""
    chains, corrects, refused = Chains(), {}, {}
    bounds = [0, *sorted(cuts), len(sent)]
    for first, last in pairwise(bounds):
        batch = [(place, *sent[place]) for place in range(first, last) if sent[place][0] not in corrects]
        events = [Sent(place, "alpha", event_id, other) for place, event_id, other in batch]
        refused |= {place: refusal.reason for place, refusal in refusals(chains, events)}
        for place, event_id, other in batch:
            if place not in refused:
                corrects.setdefault(event_id, other)
    return corrects, refused


@given(SENT, st.sets(st.integers(0, 12)))
def test_what_counts_what_is_replaced_by_that_and_what_is_refused_is_everything(
    sent: list[tuple[str, str]], cuts: set[int]
):
    corrects, refused = taken(sent, {each for each in cuts if each < len(sent)})
    replaced_by: dict[str, str] = {}
    for event_id, other in corrects.items():
        if other:
            assert other not in replaced_by, "an event is corrected once"
            replaced_by[other] = event_id
    for event_id in corrects:
        last, steps = event_id, 0
        while last in replaced_by:
            last, steps = replaced_by[last], steps + 1
            assert steps <= len(corrects), "in a circle nothing counts"
        assert last in corrects, "what counts in its stead has come"
    assert all(event_id in corrects or place in refused for place, (event_id, _) in enumerate(sent))


@given(SENT, st.sets(st.integers(0, 12)))
def test_how_events_are_cut_into_batches_does_not_matter(sent: list[tuple[str, str]], cuts: set[int]):
    assert taken(sent, {each for each in cuts if each < len(sent)}) == taken(sent, set())


@given(SENT)
def test_only_what_closes_a_circle_or_corrects_once_more_is_refused(sent: list[tuple[str, str]]):
    _, refused = taken(sent, set())
    for place, reason in refused.items():
        event_id, other = sent[place]
        before, _ = taken(sent[:place], set())
        correctors = {other: event_id for event_id, other in before.items() if other}
        if reason == Reason.CORRECTED_ALREADY:
            assert other in correctors
        else:
            last = event_id
            while last in correctors:
                last = correctors[last]
            assert (reason, last) == (Reason.CORRECTION_CIRCLE, other)


def test_providers_have_ids_of_their_own():
    sent = [Sent(0, "alpha", "a", "b"), Sent(1, "beta", "b", "a"), Sent(2, "alpha", "b", "a")]
    assert [place for place, _ in refusals(Chains(), sent)] == [2]


def test_what_is_in_the_books_already_may_be_a_circle():
    chains = Chains()
    chains.join("alpha", "a", "b")
    chains.join("alpha", "b", "a")
    [(_, refusal)] = refusals(chains, [Sent(0, "alpha", "c", "a")])
    assert (refusal.reason, refusal.found) == (Reason.CORRECTED_ALREADY, "b")
