"""A reader that stands still is told from one that works, that has nothing to read, or whose broker is away."""

from collections.abc import Iterator

import pytest

from services.standstill import STILL_SECONDS, Attention, StandsStillError, Watch

MINE, ANOTHERS = ("usage.accepted", 0), ("usage.accepted", 1)
LOOK_SECONDS = 2.0


def instants() -> Iterator[float]:
    """Looks for much longer than a reader may stand still."""
    return (1000 + LOOK_SECONDS * number for number in range(int(3 * STILL_SECONDS / LOOK_SECONDS)))


@pytest.fixture
def attention() -> Attention:
    made = Attention()
    made.partitions = lambda: {MINE}
    made.waits()
    return made


def test_it_waits_while_messages_wait_for_it(attention: Attention) -> None:
    watch, began = Watch(attention), next(instants())
    for now in instants():
        if now - began > STILL_SECONDS:
            break
        watch.look({MINE: 7}, now)
    with pytest.raises(StandsStillError, match=r"^7 messages of usage\.accepted partition 0 wait"):
        watch.look({MINE: 7}, now)


@pytest.mark.parametrize("behind", [{}, {MINE: 0}, {MINE: 0, ANOTHERS: 9}])
def test_nothing_waits_for_it(attention: Attention, behind: dict[tuple[str, int], int]) -> None:
    watch = Watch(attention)
    for now in instants():
        watch.look(behind, now)


def test_it_works_for_long(attention: Attention) -> None:
    watch = Watch(attention)
    attention.works()
    for now in instants():
        watch.look({MINE: 9}, now)


def test_it_works_now_and_then(attention: Attention) -> None:
    watch = Watch(attention)
    for now in instants():
        watch.look({MINE: 9}, now)
        attention.works()
        attention.waits()


def test_a_message_a_minute_is_no_standstill(attention: Attention) -> None:
    watch = Watch(attention)
    for number, now in enumerate(instants()):
        watch.look({MINE: int(number % 5 == 0)}, now)


def test_the_broker_is_away_again_and_again(attention: Attention) -> None:
    watch = Watch(attention)
    for number, now in enumerate(instants()):
        watch.look({MINE: 9}, now)
        if number % 8 == 0:
            watch.forget()
