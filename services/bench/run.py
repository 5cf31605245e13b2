"""The whole benchmark, in one run on one machine, on servers of its own; nothing is left running."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec

from services.bench import booked, fill, floor, flow, gateway, limit, naive, stored, usage
from services.bench.booked import NotBookedError, Sent
from services.bench.flow import Freshness, Throughput
from services.bench.gateway import Load
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import multiply
from services.stack.demo import CONTRACT, Stage
from services.stack.local import LocalStack
from services.stack.plafond import Addresses, Plafond, prepare, servers

REQUESTS_A_SECOND = 1_050
"""Offered, a little more than what is wanted: a client that keeps a pace never comes to more than its pace."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: rates in events per second."""

    events: int
    pipeline: Throughput
    limit: limit.Limit
    naive: float
    floor: float
    freshness: Freshness
    batches: Load
    single: Load
    bill: float


def run_bench(folder: Path, events: int, stored_rows: int, seconds: float, stage: Stage) -> Figures:
    """Measure everything with so many events on top of stored ones, and each steady load for so many seconds.

    `plafond bill` comes first: it needs no server, and none is running yet.
    Raises StackError when a part won't start, NotBookedError when something that was timed is not in the books.
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
        bench = _Bench(plafond, contract, stage)
        figures = asyncio.run(bench.run(fleet, rows, events, billed, stored_rows, seconds))
        rows.unlink()
        return figures


class _Bench:
    """What is measured on running servers. After each flow all that was sent so far must be in the books."""

    def __init__(self, plafond: Plafond, contract: Contract, stage: Stage) -> None:
        self._plafond, self._contract, self._stage = plafond, contract, stage
        self._kafka, self._url = plafond.addresses.kafka, plafond.addresses.database_url
        self._sent = Sent()

    async def run(
        self, fleet: list[usage.Machine], rows: Path, events: int, billed: float, stored_rows: int, seconds: float
    ) -> Figures:
        """Measure one after the other."""
        keys = await prepare(self._plafond, CONTRACT.read_text("utf-8"))
        if stored_rows:
            report = self._stage("storing earlier usage", stored_rows)
            await stored.store(self._url, self._contract, events, stored_rows, report)
        report = self._stage("filling the raw topics", events)
        await fill.fill(self._kafka, usage.readings(fleet, events, fill.MESSAGES_A_BATCH), report)
        least, in_sql, plain = await self._compared(fleet, rows, events)
        through = await flow.throughput(self._plafond, events, self._stage("the pipeline takes its backlog in", events))
        await self._require(Sent(events, usage.quantity_of(fleet, events)))
        fresh = await self._freshness(through.events_per_second / 2, seconds)
        batches, single = await self._gateway(fleet[0], keys, seconds)
        return Figures(events, through, least, plain, in_sql, fresh, batches, single, billed)

    async def _compared(self, fleet: list[usage.Machine], rows: Path, events: int) -> tuple[limit.Limit, float, float]:
        """Return the machine's limit, and what plain SQL and a plain Faust agent come to."""
        done = self._stage("the machine's limit", None)
        least = await asyncio.to_thread(limit.measure, self._kafka, self._url, rows, events)
        done(1)
        done = self._stage("plain SQL", None)
        in_sql = await floor.measure(self._url, events, least.copy_seconds)
        done(1)
        done = self._stage("a plain Faust agent", None)
        messages = [each for _, chunk in usage.readings(fleet, min(events, naive.EVENTS_MAX), 500) for each in chunk]
        plain = await naive.measure(self._kafka, self._url, messages)
        done(1)
        return least, in_sql, plain

    async def _freshness(self, rate: float, seconds: float) -> Freshness:
        done = self._stage(f"freshness at {rate:,.0f} events/s", None)
        events = flow.events_at(rate, seconds)
        fleet = usage.machines(self._contract, events, "fresh")
        measured = await flow.freshness(self._plafond, fleet, rate, seconds)
        await self._require(Sent(events, usage.quantity_of(fleet, events)))
        done(1)
        return measured

    async def _gateway(self, machine: usage.Machine, keys: dict[str, str], seconds: float) -> tuple[Load, Load]:
        """Return what the gateway takes in batches and as single events, once it is warm."""
        addresses = self._plafond.addresses
        target = gateway.Target(
            "127.0.0.1", Addresses.port_of(addresses.gateway), keys[machine.provider], "",
            machine.before_code, machine.before_time, machine.after_time,
        )  # fmt: skip
        modes = {
            "warm-up": ("single", "2", str(REQUESTS_A_SECOND / 4)),
            "single": ("single", str(seconds), str(REQUESTS_A_SECOND)),
            "batches": ("batches", str(seconds)),
        }
        report = self._stage("the gateway", len(modes))
        loads = {}
        for series, mode in modes.items():
            load = loads[series] = await gateway.measure(msgspec.structs.replace(target, series=series), *mode)
            await flow.through(self._plafond, 0, lambda _: None)
            quantity = multiply(machine.quantity, Decimal(load.events))
            await self._require(Sent(load.events, quantity, load.refused_events))
            report(1)
        return loads["batches"], loads["single"]

    async def _require(self, sent: Sent) -> None:
        self._sent += sent
        await booked.require(self._url, self._contract, self._sent)


def _bill(rows: Path, events: int) -> float:
    """Return the events per second of `plafond bill`, the program's start included."""
    parquet, out = rows.with_name("usage.parquet"), rows.with_name("bill")
    limit.write_parquet(rows, parquet)
    os.sync()  # what was prepared is not written out while `bill` runs
    command = ["bill", "--contract", str(CONTRACT), "--usage", str(parquet), "--out", str(out), "--json"]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "services.cli", *command], stdout=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"plafond bill ended with status {done.returncode}")
    accepted = msgspec.json.decode(done.stdout)["accepted"]
    if accepted != events:
        raise NotBookedError(f"{events:,} events in the file, plafond bill has billed {accepted:,}")
    parquet.unlink()
    shutil.rmtree(out)
    return events / seconds


def machine() -> str:
    """Describe the machine in a line."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
         if line.startswith("model name")), "unknown processor",
    )  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB"
