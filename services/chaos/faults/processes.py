"""Faults of processes: services and servers that die, stand still, come twice, or have another time."""

import random
import signal

from services.chaos.faults.fault import SHORT_SECONDS, Fault, shows
from services.chaos.world import SECOND, SERVERS
from services.stack.plafond import SERVICES

PAUSE_SECONDS = (1.0, 12.0)
"""From within a worker's session (6 s) to well beyond it."""
AWAY_SECONDS = {"kafka": (0.5, 12.0), "postgres": SHORT_SECONDS}
"""Kafka stays away for longer than its clients wait for an answer (10 s), now and then."""
CLOCK_SECONDS = 3_600
_CLOCK_EXACT_SECONDS = 5


class _Ended(Fault):
    """A process is ended, and started again."""

    name: str

    async def is_due(self) -> bool:
        return self.name in self.world.stack.running()

    async def begin(self) -> None:
        self._process = self.world.stack.identity(self.name)
        await self.end_process()

    async def end_process(self) -> None:
        """End it."""
        await self.world.kill(self.name)

    async def takes_effect(self) -> bool:
        return not self._process.alive

    async def end(self) -> None:
        await self.world.start(self.name)


class KillService(_Ended):
    """kill -9 of a service."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVICES)
        self.seconds = choose.choice((0.0, choose.uniform(*SHORT_SECONDS)))
        self.what = f"kill -9 of {self.name}"


class KillServer(_Ended):
    """kill -9 of Kafka or PostgreSQL."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVERS)
        self.seconds = choose.uniform(*AWAY_SECONDS[self.name])
        self.what = f"kill -9 of {self.name}"


class RestartServer(_Ended):
    """Kafka or PostgreSQL stopped cleanly, and started."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVERS)
        self.seconds = choose.choice((0.0, choose.uniform(*AWAY_SECONDS[self.name])))
        self.what = f"restart of {self.name}"

    async def end_process(self) -> None:
        await self.world.stop(self.name)


class PauseService(Fault):
    """SIGSTOP of a service, then SIGCONT."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVICES)
        self.seconds = choose.uniform(*PAUSE_SECONDS)
        self.what = f"SIGSTOP of {self.name}"

    async def is_due(self) -> bool:
        return self.name in self.world.stack.running()

    async def begin(self) -> None:
        self.world.signal(self.name, signal.SIGSTOP)

    async def takes_effect(self) -> bool:
        return self.world.stack.identity(self.name).stopped

    async def end(self) -> None:
        self.world.signal(self.name, signal.SIGCONT)


class Zombie(PauseService):
    """A paused worker whose partitions another one has taken over wakes beside it."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(("rating", "invoicing", "ingest"))
        self.seconds = choose.uniform(9.0, 12.0)
        self.what = f"a zombie of {self.name} beside its successor"

    async def begin(self) -> None:
        await super().begin()
        await self.world.start(f"{self.name}-{SECOND}")

    async def takes_effect(self) -> bool:
        return await super().takes_effect() and await self.world.has_worked(f"{self.name}-{SECOND}")


class Rebalance(Fault):
    """A second worker joins under load, works, and leaves."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVICES)
        self.seconds = choose.uniform(*SHORT_SECONDS)
        self.hard = choose.random() < 0.5
        self.what = f"a second {self.name} joins and {'is killed' if self.hard else 'leaves'}"

    async def begin(self) -> None:
        await self.world.start(f"{self.name}-{SECOND}")

    async def takes_effect(self) -> bool:
        return await self.world.has_worked(f"{self.name}-{SECOND}")

    async def end(self) -> None:
        await (self.world.kill if self.hard else self.world.stop)(f"{self.name}-{SECOND}")


class Clock(Fault):
    """The services' clocks jump, and jump back."""

    def prepare(self, choose: random.Random) -> None:
        self.by = choose.choice((-1, 1)) * choose.randint(30, CLOCK_SECONDS)
        self.seconds = choose.uniform(2.0, 5.0)
        self.what = f"clocks jump by {self.by:+d} s"

    async def begin(self) -> None:
        self.world.set_clock(self.by)

    async def takes_effect(self) -> bool:
        return await shows(self._is_off)

    async def end(self) -> None:
        self.world.set_clock(0)

    async def _is_off(self) -> bool:
        """Tell whether every service says another time than ours."""
        off = [await self.world.clock_of(name) for name in SERVICES]
        return all(each is not None and abs(each - self.by) < _CLOCK_EXACT_SECONDS for each in off)


KINDS: tuple[type[Fault], ...] = (KillService, PauseService, KillServer, RestartServer, Zombie, Rebalance, Clock)
