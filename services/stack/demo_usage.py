"""The demo's usage: real machines' hours, pushed the way providers push them, with all that goes wrong.

Each provider sends its share of a trace of real virtual machines. On top come, by a fixed seed: events sent twice,
events out of order and late, and events that must be refused: unknown items, another provider's name, regions outside
the EU, and bytes that are no event.
"""

import random
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from services.ingest.events import UsageEvent
from services.ingest.push import cloud_event
from services.offline.lines import Unread

SEED = 2016
TWICE = 0.01
LATE = 0.02
WINDOW = 2_000


def by_provider(batches: Iterable[Iterable[UsageEvent | Unread]]) -> dict[str, list[UsageEvent]]:
    """Sort events by the provider that their source names."""
    sorted_events: dict[str, list[UsageEvent]] = defaultdict(list)
    for batch in batches:
        for event in batch:
            assert isinstance(event, UsageEvent), "a trace has no unreadable lines"
            sorted_events[event.source.rpartition("/")[2]].append(event)
    return dict(sorted_events)


def as_pushed(events: list[UsageEvent], seed: int) -> list[UsageEvent]:
    """Return the events as a careless provider sends them: some twice, some late, none quite in order."""
    choose = random.Random(seed)  # noqa: S311 a demo's disorder needs no secrecy
    late = {index for index in range(len(events)) if choose.random() < LATE}
    pushed = [event for index, event in enumerate(events) if index not in late]
    for start in range(0, len(pushed), WINDOW):
        window = pushed[start : start + WINDOW]
        window += choose.sample(window, round(len(window) * TWICE))
        choose.shuffle(window)
        pushed[start : start + WINDOW] = window
    return pushed + [events[index] for index in sorted(late)]


def refused_by_contract(events: list[UsageEvent]) -> list[UsageEvent]:
    """Return well-formed events that the contract does not allow, and one that contradicts an earlier one."""
    event = events[0]
    unknown = [msgspec.structs.replace(event, id=f"demo-item-{n}", item="mainframe.mips") for n in range(20)]
    abroad = [msgspec.structs.replace(event, id=f"demo-region-{n}", region="us-east-1") for n in range(10)]
    return [*unknown, *abroad, msgspec.structs.replace(event, quantity="999")]


def refused_by_form(events: list[UsageEvent], other: str) -> list[bytes]:
    """Return messages in another provider's name, and some that are no events at all."""
    foreign = [
        msgspec.structs.replace(events[0], id=f"demo-source-{n}", source=f"/providers/{other}") for n in range(5)
    ]
    return [*map(cloud_event, foreign), b"\x00garbage", b'{"id": NaN}']
