"""The whole benchmark, in one run on one machine, on servers of its own; nothing is left running."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.bench import fill, floor, flow, gateway, limit, naive, stored, usage
from services.bench.flow import Throughput
from services.bench.gateway import Load
from services.contract.load import load
from services.contract.model import Contract
from services.stack.demo import CONTRACT, Stage
from services.stack.local import LocalStack
from services.stack.plafond import Addresses, Plafond, prepare, servers

REQUESTS_A_SECOND = 1_050
"""Offered, a little more than what is wanted: a client that keeps a pace never comes to more than its pace."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: rates in events per second, times in seconds."""

    events: int
    pipeline: Throughput
    limit: limit.Limit
    naive: float
    floor: float
    freshness_p50: float
    freshness_p99: float
    batches: Load
    single: Load
    bill: float


def run_bench(folder: Path, events: int, stored_rows: int, seconds: float, stage: Stage) -> Figures:
    """Measure everything with so many events on top of stored ones, and each steady load for so many seconds.

    `plafond bill` comes first: it needs no server, and none is running yet.
    Raises StackError when a part won't start.
    """
    contract = load(CONTRACT.read_text("utf-8"))
    assert isinstance(contract, Contract), "the sample has no mistakes"
    fleet = usage.machines(contract, events)
    with LocalStack(folder) as stack:
        folder.mkdir(parents=True, exist_ok=True)
        rows = folder / "rows.tsv"
        limit.write_rows(rows, (messages for _, messages in usage.readings(fleet, events, fill.MESSAGES_A_BATCH)))
        done = stage("plafond bill from Parquet", None)
        billed = _bill(rows, events)
        done(1)
        done = stage("starting Kafka and PostgreSQL", None)
        plafond = servers(stack)
        done(1)
        figures = asyncio.run(_bench(plafond, contract, fleet, rows, events, billed, stored_rows, seconds, stage))
        rows.unlink()
        return figures


async def _bench(
    plafond: Plafond,
    contract: Contract,
    fleet: list[usage.Machine],
    rows: Path,
    events: int,
    billed: float,
    stored_rows: int,
    seconds: float,
    stage: Stage,
) -> Figures:
    keys = await prepare(plafond, CONTRACT.read_text("utf-8"))
    kafka, database_url = plafond.addresses.kafka, plafond.addresses.database_url
    if stored_rows:
        await stored.store(database_url, contract, stored_rows, stage("storing earlier usage", stored_rows))
    report = stage("filling the raw topics", events)
    await fill.fill(kafka, usage.readings(fleet, events, fill.MESSAGES_A_BATCH), report)
    done = stage("the machine's limit", None)
    least = await asyncio.to_thread(limit.measure, kafka, database_url, rows, events)
    done(1)
    done = stage("plain SQL", None)
    in_sql = await floor.measure(database_url, events, least.copy_seconds)
    done(1)
    done = stage("a plain Faust agent", None)
    messages = [each for _, chunk in usage.readings(fleet, min(events, naive.EVENTS_MAX), 500) for each in chunk]
    plain = await naive.measure(kafka, database_url, messages)
    done(1)
    through = await flow.throughput(plafond, events, stage("the pipeline takes its backlog in", events))
    rate = through.events_per_second / 2
    done = stage(f"freshness at {rate:,.0f} events/s", None)
    fresh = usage.machines(contract, int(rate * (seconds + flow.WARM_UP_SECONDS)), "fresh")
    p50, p99 = await flow.freshness(plafond, fresh, rate, seconds)
    done(1)
    batches, single = await _gateway(plafond.addresses, fleet[0], keys, seconds, stage)
    return Figures(events, through, least, plain, in_sql, p50, p99, batches, single, billed)


def _bill(rows: Path, events: int) -> float:
    """Return the events per second of `plafond bill`, the program's start included."""
    parquet, out = rows.with_name("usage.parquet"), rows.with_name("bill")
    limit.write_parquet(rows, parquet)
    os.sync()  # what was prepared is not written out while `bill` runs
    command = ["bill", "--contract", str(CONTRACT), "--usage", str(parquet), "--out", str(out), "--json"]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "services.cli", *command], stdout=subprocess.DEVNULL, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"plafond bill ended with status {done.returncode}")
    parquet.unlink()
    shutil.rmtree(out)
    return events / seconds


async def _gateway(
    addresses: Addresses, machine: usage.Machine, keys: dict[str, str], seconds: float, stage: Stage
) -> tuple[Load, Load]:
    target = gateway.Target(
        "127.0.0.1", Addresses.port_of(addresses.gateway), keys[machine.provider], "warm-up",
        machine.before_code, machine.before_time, machine.after_time,
    )  # fmt: skip
    done: Callable[[int], None] = stage("the gateway", 3)
    await gateway.measure(target, "single", "2", str(REQUESTS_A_SECOND / 4))
    done(1)
    single = await gateway.measure(
        msgspec.structs.replace(target, series="single"), "single", str(seconds), str(REQUESTS_A_SECOND)
    )
    done(1)
    batches = await gateway.measure(msgspec.structs.replace(target, series="batches"), "batches", str(seconds))
    done(1)
    return batches, single


def machine() -> str:
    """Describe the machine in a line."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
         if line.startswith("model name")), "unknown processor",
    )  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB"
