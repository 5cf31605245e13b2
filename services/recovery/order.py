"""Which decisions a batch came after: the order in which a restored database gets back what it lacks.

Law: a batch is rated and posted again after the same re-ratings, closes and credits as before. What had been rated by
then each of them says itself; what does not follow from that was published as late.
Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from services.decisions.records import Record


@dataclass(frozen=True, slots=True)
class Step:
    """A re-rating, a close or a credit that is to happen again.

    `rated_until` is up to where each partition had been rated, in the broker's append time (milliseconds since 1970),
    None where that was not kept; `waiting` are batches that were rated and not yet posted.
    """

    number: int
    record: Record
    rated_until: Mapping[int, int] | None
    waiting: frozenset[str]

    @classmethod
    def of(cls, record: Record) -> Self:
        """Make a step of a decision."""
        told = record["close"] or record["rerating"] or record["credit"]
        until = told["rated_until"]
        by_partition = None if until is None else {each["partition"]: each["appended_at"] for each in until}
        return cls(record["number"], record, by_partition, frozenset(told.get("waiting", ())))

    def came_after(self, partition: int, appended_at: int) -> bool:
        """Tell whether a batch had not been rated by then, by its place."""
        return self.rated_until is not None and appended_at > self.rated_until.get(partition, -1)


@dataclass(frozen=True, slots=True)
class Order:
    """The steps in their order, and after which decision's number batches were posted late."""

    steps: Sequence[Step]
    late: Mapping[str, int]

    def steps_before(self, batch: str, partition: int | None, appended_at: int) -> int:
        """Return how many of the steps a batch came after; a re-rating's has no partition."""
        late = self.late.get(batch, 0)
        for count in range(len(self.steps), 0, -1):
            step = self.steps[count - 1]
            if late >= step.number or batch in step.waiting:
                return count
            if partition is not None and step.came_after(partition, appended_at):
                return count
        return 0
