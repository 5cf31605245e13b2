"""Which corrections count: each event is corrected once, and no correction comes back to itself.

Law: the corrections that count form chains, each of events that replace the one before them. The top of a chain
counts, all below it is replaced by it; so whatever is sent, in whatever order, every event counts, is replaced by one
that counts, or is refused. What would close a chain into a circle, in which nothing counted, is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from services.reasons import Reason, Refusal

EventKey = tuple[str, str]
"""Provider and id."""


class Sent(NamedTuple):
    """An event as it came; `corrects` is empty where it replaces none, `late` says that what it replaces is too old."""

    position: int
    provider: str
    id: str
    corrects: str
    late: Refusal | None = None


@dataclass(slots=True)
class Chains:
    """The chains of corrections that count: who corrects whom, and of each chain its two ends by one another."""

    _by: dict[EventKey, str] = field(default_factory=dict)
    _bottoms: dict[EventKey, EventKey] = field(default_factory=dict)
    _tops: dict[EventKey, EventKey] = field(default_factory=dict)

    def add(self, provider: str, event_id: str, corrects: str) -> Refusal | None:
        """Join the chain on an event to that on what it corrects, or refuse what corrects something else by then."""
        mine, other = (provider, event_id), (provider, corrects)
        if other in self._by:
            return Refusal(Reason.CORRECTED_ALREADY, self._by[other])
        if self._bottoms.get(other, other) == mine:
            return Refusal(Reason.CORRECTION_CIRCLE, corrects)
        self.join(provider, event_id, corrects)
        return None

    def join(self, provider: str, event_id: str, corrects: str) -> None:
        """Join the two without asking: what is in the books already."""
        mine, other = (provider, event_id), (provider, corrects)
        bottom, top = self._bottoms.get(other, other), self._tops.get(mine, mine)
        self._by[other] = event_id
        self._bottoms[top], self._tops[bottom] = bottom, top


def refusals(chains: Chains, sent: Iterable[Sent]) -> Iterator[tuple[int, Refusal]]:
    """Yield the positions of corrections that don't count, each with its reason; the others join the chains.

    The events come in their order. Of those with the same id, what comes after one that was not refused is a repeat of
    it or contradicts it, and corrects nothing.
    """
    taken: set[EventKey] = set()
    for each in sent:
        if (each.provider, each.id) in taken:
            continue
        refused = None
        if each.corrects:
            refused = each.late or chains.add(each.provider, each.id, each.corrects)
        if refused is None:
            taken.add((each.provider, each.id))
        else:
            yield each.position, refused
