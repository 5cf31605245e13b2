"""A reader that stands still is told from one that has nothing to read.

Law: it stands still when for `STILL_SECONDS` on end, while the broker answers, messages of its own partitions wait for
it and it waits for messages. A reader that works, however long, does not.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

STILL_SECONDS = 20.0
"""Longer than a rebalance takes (a session and a join of 6 s each)."""


class StandsStillError(Exception):
    """Messages wait for a reader that waits for messages: only a new connection helps."""


class Attention:
    """What a reader is at; told by the reader, asked by who watches it."""

    def __init__(self) -> None:
        self.partitions: Callable[[], Collection[Any]] = tuple
        self.waiting_since: float | None = None

    def waits(self) -> None:
        """Note that the reader waits for messages and has none in hand."""
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()

    def works(self) -> None:
        """Note that the reader has messages in hand."""
        self.waiting_since = None


class Watch:
    """Looks at a reader again and again."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention
        self._waiting_since: float | None = None
        self._first: float | None = None

    def look(self, behind: Mapping[Any, int], now: float) -> None:
        """Note by how many messages the reader is behind, by partition; raises StandsStillError.

        `now` is an instant of time.monotonic().
        """
        mine = {each: behind[each] for each in self._attention.partitions() if behind.get(each)}
        waiting = self._attention.waiting_since
        if not mine or waiting is None or waiting != self._waiting_since or self._first is None:
            self._waiting_since, self._first = waiting, now if mine else None
        elif now - self._first > STILL_SECONDS:
            (topic, partition), count = next(iter(mine.items()))
            raise StandsStillError(
                f"{count} messages of {topic} partition {partition} wait, and their reader has waited for messages "
                f"for {now - waiting:.0f} s: the connection to Kafka is stuck"
            )

    def forget(self) -> None:
        """Begin anew: the broker did not answer."""
        self._first = None
