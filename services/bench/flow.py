"""The pipeline's own figures: how much it takes, what that costs, and how fresh the ceilings are at half that load."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from services.audit.run import HOPS
from services.bench import fill
from services.bench.processes import Costs
from services.bench.usage import Machine, readings
from services.offsets import Offsets
from services.postgres import connect
from services.stack.plafond import SERVICES, Plafond

SECONDS_MAX = 3_600
WARM_UP_SECONDS = 5
BATCHES_A_SECOND = 10
"""How often a provider's producer sends what it has."""

# Commit times are kept by the server (track_commit_timestamp).
_SPAN = """
select extract(epoch from max(pg_xact_commit_timestamp(posted.xmin)) - min(batch.accepted_at))::float8
from rating.batch join invoicing.batch as posted using (batch)
where batch.batch_no > $1
"""
_FRESHNESS = """
select percentile_cont(array[0.5, 0.99]) within group (
    order by extract(epoch from pg_xact_commit_timestamp(posted.xmin) - usage.received_at)::float8)
from rating.usage join rating.batch using (batch_no) join invoicing.batch as posted using (batch)
where usage.batch_no > $1 and usage.received_at >= $2
"""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What the services did with a backlog: CPU and memory by process, CPU in seconds a million events."""

    events: int
    seconds: float
    cpu_seconds_per_million: dict[str, float]
    memory_mib: dict[str, float]

    @property
    def events_per_second(self) -> float:
        """Return the rate from the first event accepted to the last posting committed."""
        return self.events / self.seconds


async def throughput(plafond: Plafond, events: int, report: Callable[[int], None]) -> Throughput:
    """Start the services on a backlog in the raw topics and wait until all of it is posted."""
    before = await _last_batch(plafond)
    stack = plafond.stack
    await asyncio.to_thread(stack.start_service, *SERVICES)
    with Costs({name: stack.identity(name) for name in ("kafka", "postgres", *SERVICES)}) as costs:
        await through(plafond, events, report)
    connection = await connect(plafond.addresses.database_url)
    try:
        seconds = await connection.fetchval(_SPAN, before)
    finally:
        await connection.close()
    millions = events / 1_000_000
    return Throughput(events, seconds, {name: each / millions for name, each in costs.cpu.items()}, costs.memory)


async def freshness(
    plafond: Plafond, fleet: list[Machine], events_per_second: float, seconds: float
) -> tuple[float, float]:
    """Push evenly and return p50 and p99 of the time from the broker's append to the posting's commit, in seconds.

    What comes in the first `WARM_UP_SECONDS` is not measured: new machines are met there for the first time.
    """
    before = await _last_batch(plafond)
    events = int(events_per_second * (seconds + WARM_UP_SECONDS))
    providers = len({machine.provider for machine in fleet})
    chunk = max(1, round(events_per_second / providers / BATCHES_A_SECOND))
    began = await fill.paced(plafond.addresses.kafka, readings(fleet, events, chunk), events_per_second)
    await through(plafond, events, lambda _: None)
    connection = await connect(plafond.addresses.database_url)
    try:
        p50, p99 = await connection.fetchval(_FRESHNESS, before, began + timedelta(seconds=WARM_UP_SECONDS))
        return p50, p99
    finally:
        await connection.close()


async def through(plafond: Plafond, events: int, report: Callable[[int], None]) -> None:
    """Wait until every service has read all there is; raises TimeoutError after an hour."""
    deadline = time.monotonic() + SECONDS_MAX
    left = events
    async with Offsets(plafond.addresses.kafka) as offsets:
        for hop, (group, wanted) in enumerate(HOPS):
            while behind := sum((await offsets.lag(group, wanted)).values()):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{group} is {behind} messages behind after {SECONDS_MAX} s")
                if not hop:
                    report(left - behind)
                    left = behind
                await asyncio.sleep(0.5)
    report(left)


async def _last_batch(plafond: Plafond) -> int:
    connection = await connect(plafond.addresses.database_url)
    try:
        last: int = await connection.fetchval("select coalesce(max(batch_no), 0) from rating.batch")
        return last
    finally:
        await connection.close()
