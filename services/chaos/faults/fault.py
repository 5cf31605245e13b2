"""What a fault is: it breaks something, shows that this had an effect, and mends it from outside."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from services.chaos.world import World

SHORT_SECONDS = (0.5, 6.0)
EFFECT_SECONDS_MAX = 20.0
_LOOK_SECONDS = 0.1


class Fault(ABC):
    """One fault; `seconds` is how long it lasts.

    `begin` does the harm and `end` takes it away: the network flows again, the disk is free again, what was killed is
    started. From `end` on the services are on their own.
    """

    def __init__(self, world: World, choose: random.Random) -> None:
        self.world = world
        self.seconds = 0.0
        self.what = ""
        self.prepare(choose)

    @abstractmethod
    def prepare(self, choose: random.Random) -> None:
        """Choose whom and how long."""

    async def is_due(self) -> bool:
        """Tell whether there is something to break at this moment."""
        return True

    @abstractmethod
    async def begin(self) -> None:
        """Do the harm."""

    @abstractmethod
    async def takes_effect(self) -> bool:
        """Tell, before the end, whether the harm was done: wait until it shows, where that may take a while."""

    async def end(self) -> None:
        """Take the harm away."""

    @classmethod
    def possible(cls, _world: World) -> bool:
        """Tell whether this machine allows the fault."""
        return True


async def shows(look: Callable[[], Awaitable[bool]]) -> bool:
    """Look until it is so; False when it takes longer than `EFFECT_SECONDS_MAX`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + EFFECT_SECONDS_MAX
    while not await look():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True
