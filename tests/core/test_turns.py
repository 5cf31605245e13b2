"""Turns: nothing is given out to be committed before it was closed, and everything is in the end."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.batch import Sorter
from services.ingest.decide import Accepted, Use
from services.ingest.turns import Turns

PARTITIONS = 4
STEPS = st.lists(
    st.one_of(
        st.just("next"),
        st.just("all"),
        st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=1),  # so many more were read there
    ),
    max_size=60,
)


@given(STEPS)
def test_a_place_is_through_once_every_partition_was_closed_after_it(steps: list[str | dict[str, int]]):
    turns: Turns[str] = Turns(PARTITIONS)
    read: dict[str, int] = {}
    unclosed: list[tuple[str, int, set[int]]] = []  # what was read, and the partitions not closed since
    given_out: dict[str, int] = {}
    for step in [*steps, *["next"] * PARTITIONS]:
        if isinstance(step, dict):
            for place, count in step.items():
                read[place] = read.get(place, 0) + count
                unclosed.append((place, read[place], set(range(PARTITIONS))))
            turns.read({place: read[place] for place in step})
            continue
        if step == "all":
            through, unclosed = turns.close_all(), []
        else:
            turn = turns.close_next()
            unclosed = [(place, offset, waiting - {turn}) for place, offset, waiting in unclosed if waiting - {turn}]
            through = turns.closed_before_all()
        for place, offset in through.items():
            assert offset > given_out.get(place, 0), "given out once"
            given_out[place] = offset
        for place, offset, _ in unclosed:
            assert given_out.get(place, 0) < offset, "its batches are still open"
        assert turns.is_through == (given_out == read)
    assert given_out == read


def test_the_partitions_take_turns():
    turns: Turns[str] = Turns(PARTITIONS)
    assert [turns.close_next() for _ in range(6)] == [0, 1, 2, 3, 0, 1]


def test_a_partitions_batches_are_closed_alone():
    sorter = Sorter(1, PARTITIONS)
    uses = [Use("alpha", "2/ALPHA", f"S{n}", "vm", "fr-paris", "2016-03", "2016-01-01") for n in range(20)]
    for turn in range(3):
        for number, use in enumerate(uses):
            sorter.accept(Accepted(use, f"e{turn}-{number}", 0, "1", ""), 0, turn, 0)
        before = sorter.events
        closed = sorter.close(turn)
        assert {batch.partition for batch in closed.batches} == {turn}
        assert sorter.events == before - sum(len(batch.rows) for batch in closed.batches)
        assert closed.accepted == {"alpha": 20}
    rest = sorter.close()
    assert {batch.partition for batch in rest.batches} == {0, 1, 3}, "all but the one that was closed last"
    assert sorter.is_empty
