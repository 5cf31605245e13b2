"""The machine's limit: messages read with aiokafka and nothing else, rows copied in with COPY and nothing else.

Both run at the same time, a process each, since the pipeline does both at the same time.
"""

import asyncio
import multiprocessing
import multiprocessing.synchronize
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import uvloop
from aiokafka import AIOKafkaConsumer

from services.ingest.events import UsageEvent, read_json
from services.kafka import is_raw
from services.offsets import Offsets
from services.postgres import connect

TABLE = "bench.usage"
_READ_MAX = 5_000
_CREATE = """
create schema if not exists bench;
drop table if exists bench.usage;
create table bench.usage (
    provider text not null, id text not null, time timestamptz not null, subject text not null, lot text not null,
    item text not null, quantity numeric not null, region text not null, resource text not null,
    primary key (provider, id)
)
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """What reading and copying the same events took, side by side, in seconds."""

    events: int
    read_seconds: float
    copy_seconds: float
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Return the rate at which both were done."""
        return self.events / self.seconds


def write_rows(path: Path, messages: Iterable[list[bytes]]) -> int:
    """Write messages as a file that COPY reads; return how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for chunk in messages:
            file.writelines(map(_row, chunk))
            count += len(chunk)
    return count


def write_parquet(rows: Path, parquet: Path) -> None:
    """Write such a file again as usage in Parquet, for `plafond bill`."""
    names = ["provider", "id", "time", "subject", "lot", "item", "quantity", "region", "resource"]
    with duckdb.connect() as database:
        database.read_csv(str(rows), sep="\t", header=False, names=names, all_varchar=True).write_parquet(str(parquet))


def _row(message: bytes) -> str:
    event = read_json(message)
    assert isinstance(event, UsageEvent), "the benchmark's own events are well-formed"
    provider = event.source.rpartition("/")[2]
    return (
        f"{provider}\t{event.id}\t{event.time}\t{event.subject}\t{event.lot}\t{event.item}\t{event.quantity}\t"
        f"{event.region}\t{event.resource}\n"
    )


def measure(kafka: str, database_url: str, rows: Path, events: int) -> Limit:
    """Read all raw topics and copy all rows, at the same time; raises RuntimeError when one of them fails."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.SimpleQueue()
    workers = [
        context.Process(target=_read_process, args=(barrier, results, kafka, events)),
        context.Process(target=_copy_process, args=(barrier, results, database_url, rows)),
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise RuntimeError(f"measuring the limit failed: a process ended with status {worker.exitcode}")
    times: dict[str, tuple[float, float]] = dict(results.get() for _ in workers)
    (read_began, read_ended), (copy_began, copy_ended) = times["read"], times["copy"]
    seconds = max(read_ended, copy_ended) - min(read_began, copy_began)
    return Limit(events, read_ended - read_began, copy_ended - copy_began, seconds)


Barrier = multiprocessing.synchronize.Barrier


def _read_process(barrier: Barrier, results: "multiprocessing.SimpleQueue[Any]", kafka: str, events: int) -> None:
    results.put(("read", _run(_read(barrier, kafka, events))))


def _copy_process(barrier: Barrier, results: "multiprocessing.SimpleQueue[Any]", url: str, rows: Path) -> None:
    results.put(("copy", _run(_copy(barrier, url, rows))))


def _run(work: Coroutine[Any, Any, tuple[float, float]]) -> tuple[float, float]:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop).run(work)


async def _read(barrier: Barrier, kafka: str, events: int) -> tuple[float, float]:
    async with Offsets(kafka) as offsets:
        partitions = await offsets.partitions(is_raw)
    reader = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await reader.start()
    try:
        reader.assign(partitions)
        await asyncio.to_thread(barrier.wait)
        began, left = time.perf_counter(), events
        while left > 0:
            polled = await reader.getmany(timeout_ms=1_000, max_records=_READ_MAX)
            left -= sum(map(len, polled.values()))
        return began, time.perf_counter()
    finally:
        await reader.stop()


async def _copy(barrier: Barrier, url: str, rows: Path) -> tuple[float, float]:
    connection = await connect(url)
    try:
        await connection.execute(_CREATE)
        await asyncio.to_thread(barrier.wait)
        began = time.perf_counter()
        await connection.copy_to_table("usage", schema_name="bench", source=rows)
        return began, time.perf_counter()
    finally:
        await connection.close()
