"""Turns: the batches of `usage.accepted` are closed one partition after the other, not all at once.

Each fills for the same time, but what follows gets its work evenly: of batches that come together, the last
waits for the others. Law: a place is given out to be committed only once everything read before it was closed.
Pure: the caller says what it read and what it closed, and is told whose turn it is and what may be committed.
"""

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

Place = TypeVar("Place")


class Turns(Generic[Place]):
    """Goes round the partitions; places are raw partitions, each with the offset after the last one read."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._read: dict[Place, int] = {}
        self._at_closings: deque[dict[Place, int]] = deque(maxlen=partitions)
        self._next = 0

    @property
    def is_through(self) -> bool:
        """Tell whether everything read was given out."""
        return not self._read

    def read(self, places: Mapping[Place, int]) -> None:
        """Say what was read: by place, the offset after the last one."""
        self._read |= places

    def close_next(self) -> int:
        """Return the partition whose turn it is; all that was read so far and belongs there is closed now."""
        turn = self._next
        self._next = (turn + 1) % self._partitions
        self._at_closings.append(dict(self._read))
        return turn

    def closed_before_all(self) -> dict[Place, int]:
        """Return what was read before each partition was closed, the last of them just now; it is given out once."""
        if len(self._at_closings) < self._partitions:
            return {}
        through = dict(self._at_closings[0])
        self._read = {place: offset for place, offset in self._read.items() if through.get(place) != offset}
        for later in self._at_closings:
            for place, offset in through.items():
                if later.get(place) == offset:
                    del later[place]
        return through

    def close_all(self) -> dict[Place, int]:
        """Return all that was read: every partition is closed now."""
        through, self._read = self._read, {}
        self._at_closings.clear()
        return through
