"""The pipeline's own figures: how much it takes, what that costs, and how fresh the ceilings are at half that load."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.audit.run import HOPS
from services.bench import fill
from services.bench.processes import Costs
from services.bench.usage import Machine, readings
from services.offsets import Offsets
from services.postgres import connect
from services.stack.local import SERVERS
from services.stack.plafond import SERVICES, Plafond

SECONDS_MAX = 3_600
WARM_UP_SECONDS = 5
BATCHES_A_SECOND = 10
"""How often a provider's producer sends what it has."""

MILLION = 1_000_000
LOAD_REACHED = 0.98
"""The part of the load asked for that must have come in, for the freshness at that load to be one."""

# Commit times are kept by the server (track_commit_timestamp). $2: when the services were started.
_SPAN = """
select extract(epoch from max(pg_xact_commit_timestamp(posted.xmin)) - min(batch.accepted_at))::float8 as flowing,
       extract(epoch from max(pg_xact_commit_timestamp(posted.xmin)) - $2)::float8 as in_all
from rating.batch join invoicing.batch as posted using (batch)
where batch.batch_no > $1
"""
_FRESHNESS = """
select percentile_cont(array[0.5, 0.99]) within group (
    order by extract(epoch from pg_xact_commit_timestamp(posted.xmin) - usage.received_at)::float8) as percentiles,
       (count(*) / extract(epoch from max(usage.received_at) - min(usage.received_at)))::float8 as load
from rating.usage join rating.batch using (batch_no) join invoicing.batch as posted using (batch)
where usage.batch_no > $1 and usage.received_at >= $2
"""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What the services did with a backlog: CPU and memory by process, CPU in seconds a million events.

    `seconds` is from the first event accepted to the last posting committed, `seconds_from_start` from the services'
    start; CPU is counted from there, so what Python needs to start and the first fill are in it. Memory is in MiB at
    its highest: in all, while ingest read the first million events, and from the last million on.
    """

    events: int
    seconds: float
    seconds_from_start: float
    cpu_seconds_per_million: dict[str, float]
    memory_mib: dict[str, float]
    memory_mib_first_million: dict[str, float]
    memory_mib_last_million: dict[str, float]

    @property
    def events_per_second(self) -> float:
        """Return the rate from the first event accepted to the last posting committed."""
        return self.events / self.seconds

    @property
    def events_per_second_from_start(self) -> float:
        """Return the rate with the services' start in it."""
        return self.events / self.seconds_from_start


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from the broker's append to the posting's commit, at a load in events a second: wanted, and come in."""

    p50: float
    p99: float
    wanted: float
    load: float

    @property
    def is_at_load(self) -> bool:
        """Tell whether the load that was asked for came in."""
        return self.load >= LOAD_REACHED * self.wanted


async def throughput(plafond: Plafond, events: int, report: Callable[[int], None]) -> Throughput:
    """Start the services on a backlog in the raw topics and wait until all of it is posted."""
    before = await _last_batch(plafond)
    stack = plafond.stack
    with Costs({name: stack.identity(name) for name in SERVERS}) as costs:
        started_at = datetime.now(UTC)
        await asyncio.to_thread(stack.start_service, *SERVICES)
        costs.add({name: stack.identity(name) for name in SERVICES})

        def passed(count: int) -> None:
            costs.progress += count
            report(count)

        await through(plafond, events, passed)
    connection = await connect(plafond.addresses.database_url)
    try:
        (span,) = await connection.fetch(_SPAN, before, started_at)
    finally:
        await connection.close()
    cpu = {name: each * MILLION / events for name, each in costs.cpu.items()}
    return Throughput(
        events, span["flowing"], span["in_all"], cpu,
        costs.memory(), costs.memory(last=MILLION), costs.memory(first=events - MILLION),
    )  # fmt: skip


async def freshness(plafond: Plafond, fleet: list[Machine], events_per_second: float, seconds: float) -> Freshness:
    """Push the fleet's readings evenly and measure how fresh postings are.

    What comes in the first `WARM_UP_SECONDS` is not measured: new machines are met there for the first time.
    """
    before = await _last_batch(plafond)
    events = events_at(events_per_second, seconds)
    providers = len({machine.provider for machine in fleet})
    chunk = max(1, round(events_per_second / providers / BATCHES_A_SECOND))
    began = await fill.paced(plafond.addresses.kafka, readings(fleet, events, chunk), events_per_second)
    await through(plafond, events, lambda _: None)
    connection = await connect(plafond.addresses.database_url)
    try:
        (found,) = await connection.fetch(_FRESHNESS, before, began + timedelta(seconds=WARM_UP_SECONDS))
        p50, p99 = found["percentiles"]
        return Freshness(p50, p99, events_per_second, found["load"])
    finally:
        await connection.close()


def events_at(events_per_second: float, seconds: float) -> int:
    """Return how many events measuring freshness at a load for so long takes."""
    return int(events_per_second * (seconds + WARM_UP_SECONDS))


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
