"""The demo: a month of real usage through the whole system, on servers of its own, and nothing left running."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from services import contract_store
from services.audit.run import HOPS, Finding, audit
from services.closing.close import close_checked
from services.contract.model import Contract
from services.documents.export import Exported, export_month
from services.ingest.events import UsageEvent
from services.ingest.push import Pushed, avro_event, cloud_event, into_kafka, over_http
from services.invoicing.ceilings import Standing
from services.invoicing.close import Invoice
from services.invoicing.read import ceilings_of
from services.offline.readers import events, read_mapping
from services.offsets import Offsets
from services.postgres import Connection, connect
from services.stack import demo_usage
from services.stack.local import LocalStack
from services.stack.plafond import SERVICES, Plafond, prepare, servers

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "deploy" / "contracts" / "cloud-i.toml"
TRACE = ROOT / "deploy" / "usage" / "bitbrains_small_trace.parquet"
MAPPING = ROOT / "deploy" / "usage" / "bitbrains.toml"
MONTH = "2016-03"
BATCH = 1_000
THROUGH_SECONDS_MAX = 600
WHY_NOT_CLEAN = "the demo sends usage that is to be refused, and its machines end before the month does"

Stage = Callable[[str, int | None], Callable[[int], None]]
"""Begins a stage of so many steps (None: unknown) and returns what is told of each progress."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo came to; `documents` lie in `folder`.

    `refused_at_door` counts, by reason, events that the gateway would not take; `flow_seconds` is from the first
    message to the last posting.
    """

    contract: Contract
    refused_at_door: dict[str, int]
    flow_seconds: float
    counts: dict[str, int]
    rejected: dict[str, int]
    invoices: list[Invoice]
    standings: list[Standing]
    alerts: int
    findings: list[Finding]
    documents: Exported
    folder: Path


def run_demo(folder: Path, stage: Stage) -> Outcome:
    """Start everything, push, wait, close, audit, and stop everything; raises StackError when a part won't start."""
    with LocalStack(folder) as stack:
        done = stage("starting Kafka and PostgreSQL", None)
        plafond = servers(stack)
        done(1)
        return asyncio.run(_demo(plafond, stage))


async def _demo(plafond: Plafond, stage: Stage) -> Outcome:
    done = stage("applying the contract", None)
    keys = await prepare(plafond, CONTRACT.read_text("utf-8"))
    done(1)
    done = stage("starting the services", None)
    await asyncio.to_thread(plafond.stack.start_service, *SERVICES)
    done(1)
    done = stage("reading the trace", None)
    usage = demo_usage.by_provider(events([str(TRACE)], mapping=read_mapping(MAPPING)))
    done(1)
    began = time.monotonic()
    pushed = await _push(plafond, keys, usage, stage)
    await _through(plafond, stage)
    flow_seconds = time.monotonic() - began
    return await _finish(
        plafond, Counter(refusal["reason"] for each in pushed for refusal in each.refused), flow_seconds, stage
    )


async def _push(
    plafond: Plafond, keys: dict[str, str], usage: dict[str, list[UsageEvent]], stage: Stage
) -> list[Pushed]:
    """Let all providers push at the same time: every other one over HTTP, the rest into Kafka, some of them Avro."""
    everything = {
        provider: _messages(number, provider, mine) for number, (provider, mine) in enumerate(sorted(usage.items()))
    }
    report = stage("providers push their usage", sum(map(len, everything.values())))
    pushes = []
    for number, (provider, messages) in enumerate(everything.items()):
        batches = [messages[start : start + BATCH] for start in range(0, len(messages), BATCH)]
        if number % 2:
            pushes.append(into_kafka(plafond.addresses.kafka, provider, batches, report))
        else:
            pushes.append(over_http(plafond.addresses.gateway, keys[provider], batches, report))
    return await asyncio.gather(*pushes)


def _messages(number: int, provider: str, mine: list[UsageEvent]) -> list[bytes]:
    """Return what a provider pushes: its usage in some disorder, and what must be refused."""
    write = avro_event if number % 4 == 1 else cloud_event
    events = [*demo_usage.as_pushed(mine, demo_usage.SEED + number), *demo_usage.refused_by_contract(mine)]
    other = "gigas" if provider == "numergy" else "numergy"
    return [write(each) for each in events] + demo_usage.refused_by_form(mine, other)


async def _through(plafond: Plafond, stage: Stage) -> None:
    """Wait until every service has read all there is."""
    deadline = time.monotonic() + THROUGH_SECONDS_MAX
    async with Offsets(plafond.addresses.kafka) as offsets:
        for group, wanted in HOPS:
            behind = sum((await offsets.lag(group, wanted)).values())
            report = stage(f"{group.removeprefix('plafond-')} takes in the rest", behind)
            while behind:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{group} is still {behind} messages behind after {THROUGH_SECONDS_MAX} s")
                await asyncio.sleep(0.2)
                left = sum((await offsets.lag(group, wanted)).values())
                report(behind - left)
                behind = left
            report(0)


async def _finish(plafond: Plafond, refused_at_door: dict[str, int], flow_seconds: float, stage: Stage) -> Outcome:
    connection = await connect(plafond.addresses.database_url)
    try:
        stored = await contract_store.newest(connection)
        assert stored is not None, "the demo has applied its contract"
        done = stage(f"closing {MONTH}", None)
        invoices = await close_checked(connection, stored, MONTH, WHY_NOT_CLEAN)
        done(1)
        done = stage("auditing", None)
        findings = await audit(connection, plafond.addresses.kafka, 30)
        done(1)
        done = stage("writing the invoices", None)
        folder = plafond.stack.folder / "invoices"
        documents = await export_month(connection, MONTH, folder)
        done(1)
        return Outcome(
            stored.contract,
            refused_at_door,
            flow_seconds,
            await _counts(connection),
            {row["reason"]: row["events"] for row in await connection.fetch(_REJECTED)},
            invoices,
            await ceilings_of(connection, stored.contract),
            await connection.fetchval("select count(*) from invoicing.alert"),
            findings,
            documents,
            folder,
        )
    finally:
        await connection.close()


async def _counts(connection: Connection) -> dict[str, int]:
    row: asyncpg.Record | None = await connection.fetchrow(_COUNTS)
    assert row is not None
    counts: dict[str, Any] = dict(row)
    return {name: int(value) for name, value in counts.items()}


_COUNTS = """
select coalesce(sum(events), 0) + (select count(*) from ingest.rejection where reason <> 'conflict') as came_in,
       coalesce(sum(rated), 0) as accepted, coalesce(sum(repeats), 0) as repeats,
       (select count(*) from ingest.rejection) as rejected,
       (select count(*) from (
           select time < lag(time) over (partition by provider, raw_partition order by raw_offset) as late
           from rating.usage join rating.use using (use_no)
        ) as arrived where late) as out_of_order
from rating.batch
"""
_REJECTED = "select reason, count(*)::int as events from ingest.rejection group by reason order by events desc, reason"
