"""Events in hand: worked on side by side, acknowledged in the order in which they came."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker import AT_A_TIME, InHand


class Event:
    """What the worker needs of Faust's event."""

    def __init__(self, offset: int, acknowledged: list[int]) -> None:
        self.message = SimpleNamespace(tp="topic-0", offset=offset)
        self.ack = lambda: acknowledged.append(offset)


class App:
    """What the worker needs of Faust's app: it notes what is committed."""

    rebalancing = False
    should_stop = False

    def __init__(self) -> None:
        self.committed: list[dict[str, int]] = []
        self.crashed: list[BaseException] = []
        self.consumer = SimpleNamespace(_commit_offsets=self.commit)

    async def commit(self, offsets: dict[str, int]) -> None:
        self.committed.append(offsets)

    async def crash(self, reason: BaseException) -> None:
        self.crashed.append(reason)


async def run(steps: list[int], failing: int | None = None) -> tuple[list[int], int, App]:
    """Work on events of which each takes so many steps; return what was acknowledged and how many were in hand."""
    acknowledged: list[int] = []
    now, most = 0, 0

    async def work(event: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(steps[event.message.offset]):
            await asyncio.sleep(0)
        now -= 1
        if event.message.offset == failing:
            raise ValueError("on purpose")

    app: Any = App()
    hand = InHand(app, work)
    for offset in range(len(steps)):
        try:
            await asyncio.wait_for(hand.add(Event(offset, acknowledged)), 0.2)
        except TimeoutError:
            break
    for _ in range(3 * sum(steps) + 10):
        await asyncio.sleep(0)
    await hand.commit_again()
    return acknowledged, most, app


@given(st.lists(st.integers(0, 7), min_size=1, max_size=30))
def test_whatever_takes_longest_no_event_is_acknowledged_before_an_earlier_one(steps: list[int]) -> None:
    acknowledged, most, app = asyncio.run(run(steps))
    assert acknowledged == list(range(len(steps)))
    assert most <= AT_A_TIME
    assert app.committed == [{"topic-0": len(steps)}]


def test_nothing_after_an_event_that_failed_is_acknowledged() -> None:
    acknowledged, _, app = asyncio.run(run([0, 3, 0, 0, 0, 0], failing=1))
    assert acknowledged == [0]
    assert app.committed == [{"topic-0": 1}]


def test_partitions_that_were_revoked_are_not_committed_again() -> None:
    async def scene() -> App:
        app: Any = App()

        async def work(_: Any) -> None:
            return

        hand = InHand(app, work)
        await hand.add(Event(5, []))
        await asyncio.sleep(0.01)
        await hand.forget(app, {"topic-0"})
        await hand.commit_again()
        return app

    assert asyncio.run(scene()).committed == []


async def test_what_is_in_hand_of_a_revoked_partition_is_not_acknowledged() -> None:
    acknowledged: list[int] = []
    go_on = asyncio.Event()

    async def work(_: Any) -> None:
        await go_on.wait()

    app: Any = App()
    hand = InHand(app, work)
    await hand.add(Event(7, acknowledged))
    await hand.forget(app, ["topic-0"])
    await hand.add(Event(3, acknowledged))  # the partition is back, from where the other worker left it
    go_on.set()
    for _ in range(10):
        await asyncio.sleep(0)
    await hand.commit_again()
    assert acknowledged == [3]
    assert app.committed == [{"topic-0": 4}]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), MemoryError("on purpose")])
async def test_work_that_ends_in_any_other_way_ends_the_worker(error: BaseException) -> None:
    async def work(_: Any) -> None:
        raise error

    app: Any = App()
    hand = InHand(app, work)
    for offset in range(AT_A_TIME):
        await hand.add(Event(offset, []))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(app.crashed) == 1
    assert app.committed == []


async def test_work_that_a_stop_cancels_is_no_crash() -> None:
    async def work(_: Any) -> None:
        raise asyncio.CancelledError

    app: Any = App()
    app.should_stop = True
    await InHand(app, work).add(Event(0, []))
    for _ in range(10):
        await asyncio.sleep(0)
    assert app.crashed == []
