"""The faults: what each breaks, and how the outside mends it.

A fault's `begin` does the harm and its `end` takes it away: the network flows again, the disk is free again, what was
killed is started. From `end` on the services are on their own.
"""

import random
import re
import signal
from abc import ABC, abstractmethod
from datetime import timedelta
from decimal import Decimal

from services import contract_store
from services.chaos.contract import with_tariff
from services.chaos.proxy import Mode, Proxy
from services.chaos.world import SECOND, SERVERS, World
from services.invoicing.close import close_month
from services.kafka import ACCEPTED, CHARGES, FLOW_PARTITIONS, Message, Sender
from services.postgres import connect
from services.stack.plafond import SERVICES

PAUSE_SECONDS = (1.0, 12.0)
"""From within a worker's session (6 s) to well beyond it."""
SHORT_SECONDS = (0.5, 6.0)
EFFECT_SECONDS_MAX = 20.0
PRICES_AHEAD = timedelta(days=15)
"""By how much new prices are ahead of the newest usage: what is under way when they are applied is older."""
CLOCK_SECONDS = 3_600
OPEN_MONTH = """
select min(invoice_month) from invoicing.posting join invoicing.month on month.month = invoice_month
where closed_at is null
"""
"""The earliest month that is open and has something to invoice."""


class Fault(ABC):
    """One fault; `seconds` is how long it lasts."""

    def __init__(self, world: World, choose: random.Random) -> None:
        self.world = world
        self.seconds = 0.0
        self.what = ""
        self.prepare(choose)

    @abstractmethod
    def prepare(self, choose: random.Random) -> None:
        """Choose whom and how long."""

    @abstractmethod
    async def begin(self) -> None:
        """Do the harm."""

    async def takes_effect(self) -> bool:
        """Wait until the harm shows, where it may be a while; False when it does not."""
        return True

    async def end(self) -> None:
        """Take the harm away."""

    @classmethod
    def possible(cls, _world: World) -> bool:
        """Tell whether this machine allows the fault."""
        return True


class KillService(Fault):
    """kill -9 of a service."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVICES)
        self.seconds = choose.choice((0.0, choose.uniform(*SHORT_SECONDS)))
        self.what = f"kill -9 of {self.name}"

    async def begin(self) -> None:
        await self.world.kill(self.name)

    async def end(self) -> None:
        await self.world.start(self.name)


class PauseService(Fault):
    """SIGSTOP of a service, then SIGCONT."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVICES)
        self.seconds = choose.uniform(*PAUSE_SECONDS)
        self.what = f"SIGSTOP of {self.name}"

    async def begin(self) -> None:
        self.world.signal(self.name, signal.SIGSTOP)

    async def end(self) -> None:
        self.world.signal(self.name, signal.SIGCONT)


class Zombie(Fault):
    """A paused worker whose partitions another one has taken over wakes beside it."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(("rating", "invoicing", "ingest"))
        self.seconds = choose.uniform(9.0, 12.0)
        self.what = f"a zombie of {self.name} beside its successor"

    async def begin(self) -> None:
        self.world.signal(self.name, signal.SIGSTOP)
        await self.world.start(f"{self.name}-{SECOND}")

    async def takes_effect(self) -> bool:
        return await self.world.has_worked(f"{self.name}-{SECOND}")

    async def end(self) -> None:
        self.world.signal(self.name, signal.SIGCONT)


class Rebalance(Fault):
    """A second worker joins under load, and leaves."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVICES)
        self.seconds = choose.uniform(*SHORT_SECONDS)
        self.hard = choose.random() < 0.5
        self.what = f"a second {self.name} joins and {'is killed' if self.hard else 'leaves'}"

    async def begin(self) -> None:
        await self.world.start(f"{self.name}-{SECOND}")

    async def end(self) -> None:
        await (self.world.kill if self.hard else self.world.stop)(f"{self.name}-{SECOND}")


class KillServer(Fault):
    """kill -9 of Kafka or PostgreSQL."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVERS)
        self.seconds = choose.uniform(*SHORT_SECONDS)
        self.what = f"kill -9 of {self.name}"

    async def begin(self) -> None:
        await self.world.kill(self.name)

    async def end(self) -> None:
        await self.world.start(self.name)


class RestartServer(Fault):
    """Kafka or PostgreSQL stopped cleanly, and started."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(SERVERS)
        self.seconds = choose.choice((0.0, choose.uniform(*SHORT_SECONDS)))
        self.what = f"restart of {self.name}"

    async def begin(self) -> None:
        await self.world.stop(self.name)

    async def end(self) -> None:
        await self.world.start(self.name)


class DiskFull(Fault):
    """The disk of Kafka or PostgreSQL full; a server that gave up is started again once there is room."""

    def prepare(self, choose: random.Random) -> None:
        self.name = choose.choice(self.world.disks.mounted)
        self.seconds = choose.uniform(2.0, 8.0)
        self.what = f"the disk of {self.name} full"

    async def begin(self) -> None:
        self.world.disks.fill(self.name)

    async def end(self) -> None:
        self.world.disks.free(self.name)
        await self.world.start(self.name)

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

    async def end(self) -> None:
        self._proxy.set(Mode.PASS)


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


class Clock(Fault):
    """The services' clocks jump, and jump back."""

    def prepare(self, choose: random.Random) -> None:
        self.by = choose.choice((-1, 1)) * choose.randint(30, CLOCK_SECONDS)
        self.seconds = choose.uniform(2.0, 5.0)
        self.what = f"clocks jump by {self.by:+d} s"

    async def begin(self) -> None:
        self.world.set_clock(self.by)

    async def end(self) -> None:
        self.world.set_clock(0)


class NewVersion(Fault):
    """A new contract version in the middle of the flow: other days of grace, and prices that usage soon reaches."""

    def prepare(self, choose: random.Random) -> None:
        self.days = choose.randint(1, 60)
        self.factor = Decimal(choose.randint(80, 120)) / 100
        self.place = choose.random()
        self.what = f"a new contract version, prices times {self.factor}"

    async def begin(self) -> None:
        world = self.world
        award = world.awards[int(self.place * len(world.awards))]
        day = (world.latest() + PRICES_AHEAD).date()
        text = re.sub(r"(?m)^grace_days = \d+", f"grace_days = {self.days}", world.contract)
        text = with_tariff(text, award, day, self.factor) or text
        connection = await connect(world.stack.database_url)
        try:
            await contract_store.apply(connection, text)
        finally:
            await connection.close()
        world.contract = text


class Poison(Fault):
    """Messages between the services that nobody can read."""

    def prepare(self, choose: random.Random) -> None:
        self.topic = choose.choice((ACCEPTED, CHARGES))
        self.payload = choose.choice((b"", b"\x00", choose.randbytes(300), b"\xc3\x01" + bytes(8)))
        self.partition = choose.randrange(FLOW_PARTITIONS)
        self.what = f"poison of {len(self.payload)} bytes in {self.topic}"

    async def begin(self) -> None:
        sender = Sender(self.world.stack.bootstrap_servers, "chaos")
        try:
            await sender.send([Message(self.topic, self.payload, partition=self.partition)])
        finally:
            await sender.stop()
        self.world.poison += 1


class Close(Fault):
    """A month is closed while its usage still comes in."""

    def prepare(self, choose: random.Random) -> None:
        self.kill = choose.choice((None, *SERVICES))
        self.what = f"a month is closed under load{f' with a kill -9 of {self.kill}' if self.kill else ''}"

    async def begin(self) -> None:
        if self.kill:
            await self.world.kill(self.kill)
        connection = await connect(self.world.stack.database_url)
        try:
            stored = await contract_store.newest(connection)
            month = await connection.fetchval(OPEN_MONTH)
            if stored is not None and month is not None:
                await close_month(connection, stored, month)
        finally:
            await connection.close()

    async def end(self) -> None:
        if self.kill:
            await self.world.start(self.kill)


KINDS: tuple[type[Fault], ...] = (
    KillService, PauseService, KillServer, RestartServer, Network, CutCommit, Zombie, Rebalance, NewVersion, Poison,
    Close, Clock, DiskFull,
)  # fmt: skip


def schedule(world: World, choose: random.Random, count: int) -> list[Fault]:
    """Return so many faults: every kind that is possible here, in random order, again and again."""
    possible = [kind for kind in KINDS if kind.possible(world)]
    made: list[Fault] = []
    while len(made) < count:
        choose.shuffle(possible)
        made += [kind(world, choose) for kind in possible]
    return made[:count]
