"""Faults of what the services stand on: disks and networks."""

import contextlib
import random

import asyncpg

from services.chaos.faults.fault import EFFECT_SECONDS_MAX, Fault, shows
from services.chaos.proxy import Mode, Proxy
from services.chaos.world import SERVERS, World

NO_SPACE = b"No space left on device"
_NEEDS_ROOM = (
    "create temporary table room as select repeat(md5(n::text), 50) as text from generate_series(1, 20000) as n"
)


class DiskFull(Fault):
    """The disk of Kafka or PostgreSQL full; a server that gave up is started again once there is room."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(self.world.disks.mounted)
        self.seconds = choose.uniform(2.0, 8.0)
        self.what = f"the disk of {self.name} full"

    async def begin(self) -> None:
        self._server = self.world.stack.identity(self.name)
        self._log = self.world.stack.logs / f"{self.name}.log"
        self._logged = self._log.stat().st_size
        self.world.disks.fill(self.name)

    async def takes_effect(self) -> bool:
        return await shows(self._has_failed)

    async def end(self) -> None:
        self.world.disks.free(self.name)
        await self.world.start(self.name)

    async def _has_failed(self) -> bool:
        """Tell whether the server gave up, or says that something could not be written.

        PostgreSQL has room in reserve and gives some back at a checkpoint: it is filled again, and asked for more.
        """
        if self.name == "postgres" and self._server.alive:
            self.world.disks.fill(self.name)
            with contextlib.suppress(asyncpg.PostgresError, OSError):
                await self.world.asked(_NEEDS_ROOM)
        with self._log.open("rb") as log:
            log.seek(self._logged)
            return not self._server.alive or NO_SPACE in log.read()

    @classmethod
    def possible(cls, world: World) -> bool:
        return bool(world.disks.mounted)


class Network(Fault):
    """The network between the services and a server cut, stalled or slowed."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVERS)
        self.mode = choose.choice((Mode.CUT, Mode.STALL, Mode.SLOW))
        self.seconds = choose.uniform(0.5, 10.0)
        self.what = f"network to {self.name}: {self.mode.name.lower()}"

    @property
    def _proxy(self) -> Proxy:
        return self.world.kafka if self.name == "kafka" else self.world.postgres

    async def begin(self) -> None:
        self._proxy.set(self.mode)

    async def takes_effect(self) -> bool:
        return await shows(self._has_hit)

    async def end(self) -> None:
        self._proxy.set(Mode.PASS)

    async def _has_hit(self) -> bool:
        return self._proxy.hits > 0


class CutCommit(Fault):
    """Connections to the database cut after COMMIT has gone out and before its answer has come."""

    def prepare(self, choose: random.Random) -> None:
        self.count = choose.randint(1, 6)
        self.what = f"{self.count} commits cut before their answer"

    async def begin(self) -> None:
        self.world.postgres.cut_commits(self.count)

    async def takes_effect(self) -> bool:
        return await self.world.postgres.all_cut(EFFECT_SECONDS_MAX)

    async def end(self) -> None:
        self.world.postgres.cut_commits(0)


KINDS: tuple[type[Fault], ...] = (DiskFull, Network, CutCommit)
