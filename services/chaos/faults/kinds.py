"""All faults that there are, in random order, without end."""

import random
from collections.abc import Iterator

from services.chaos.faults import contents, processes, surroundings
from services.chaos.faults.fault import Fault
from services.chaos.world import World

KINDS: tuple[type[Fault], ...] = (*processes.KINDS, *surroundings.KINDS, *contents.KINDS)


def schedule(world: World, choose: random.Random) -> Iterator[Fault]:
    """Yield faults: every kind that is possible here, in random order, again and again."""
    possible = [kind for kind in KINDS if kind.possible(world)]
    while True:
        choose.shuffle(possible)
        for kind in possible:
            yield kind(world, choose)
