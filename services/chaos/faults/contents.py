"""Faults of what the system works with: another contract version, poison between the services, a month that closes."""

import random
import re
from datetime import timedelta
from decimal import Decimal

from services import contract_store
from services.chaos.contract import with_ceiling, with_tariff
from services.chaos.faults.fault import Fault, shows
from services.invoicing.close import close_month
from services.kafka import ACCEPTED, CHARGES, FLOW_PARTITIONS, Message, Sender
from services.postgres import connect
from services.stack.plafond import SERVICES

PRICES_AHEAD = timedelta(days=6)
"""By how much new prices are ahead of the newest usage: what is under way when they are applied is older."""
CEILING_FACTORS = (Decimal("0.4"), Decimal("0.8"), Decimal("1.5"), Decimal(4))
OPEN_MONTH = """
select min(invoice_month) from invoicing.posting join invoicing.month on month.month = invoice_month
where closed_at is null
"""
"""The earliest month that is open and has something to invoice."""
_RATED_UNDER = "select exists (select from rating.batch where version >= $1)"
_CLOSED = "select closed_at is not null from invoicing.month where month = $1"
_PARKED = "select (select count(*) from rating.parked) + (select count(*) from invoicing.parked)"


class NewVersion(Fault):
    """A new contract version in the middle of the flow: days of grace, prices that usage soon reaches, a ceiling."""

    def prepare(self, choose: random.Random) -> None:
        self.days = choose.randint(1, 60)
        self.factor = Decimal(choose.randint(80, 120)) / 100
        self.place = choose.random()
        self.ceiling = choose.choice((None, *CEILING_FACTORS))
        of_ceiling = f", a ceiling times {self.ceiling}" if self.ceiling else ""
        self.what = f"a new contract version, prices times {self.factor}{of_ceiling}"

    async def begin(self) -> None:
        world = self.world
        award = world.awards[int(self.place * len(world.awards))]
        day = (world.latest() + PRICES_AHEAD).date()
        text = re.sub(r"(?m)^grace_days = \d+", f"grace_days = {self.days}", world.contract)
        text = with_tariff(text, award, day, self.factor) or text
        if self.ceiling:
            text = with_ceiling(text, self.place, self.ceiling)
        connection = await connect(world.stack.database_url)
        try:
            self.version = (await contract_store.apply(connection, text)).version
        finally:
            await connection.close()
        world.contract = text

    async def takes_effect(self) -> bool:
        return await shows(self._is_taken_up)

    async def _is_taken_up(self) -> bool:
        """Tell whether usage was rated under it, and invoicing watches its ceilings."""
        under_it = await self.world.asked(_RATED_UNDER, self.version)
        return bool(under_it) and (await self.world.version_of("invoicing") or 0) >= self.version


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

    async def takes_effect(self) -> bool:
        return await shows(self._is_parked)

    async def _is_parked(self) -> bool:
        return bool(await self.world.asked(_PARKED) >= self.world.poison)


class Close(Fault):
    """A month is closed while its usage still comes in."""

    def prepare(self, choose: random.Random) -> None:
        self.kill = choose.choice((None, *SERVICES))
        self.what = f"a month is closed under load{f' with a kill -9 of {self.kill}' if self.kill else ''}"

    async def is_due(self) -> bool:
        return await self.world.asked(OPEN_MONTH) is not None

    async def begin(self) -> None:
        if self.kill:
            await self.world.kill(self.kill)
        connection = await connect(self.world.stack.database_url)
        try:
            stored = await contract_store.newest(connection)
            assert stored is not None, "the contract was applied"
            self.month = await connection.fetchval(OPEN_MONTH)
            await close_month(connection, stored, self.month)
        finally:
            await connection.close()

    async def takes_effect(self) -> bool:
        return bool(await self.world.asked(_CLOSED, self.month))

    async def end(self) -> None:
        if self.kill:
            await self.world.start(self.kill)


KINDS: tuple[type[Fault], ...] = (NewVersion, Poison, Close)
