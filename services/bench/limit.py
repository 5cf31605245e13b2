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
from services.kafka_security import client
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
    """What reading and copying the same events took, side by side, in seconds.

    `two_copies_seconds` is the same with two connections that copy half of the rows each.
    """

    events: int
    read_seconds: float
    copy_seconds: float
    seconds: float
    two_copies_seconds: float

    @property
    def events_per_second(self) -> float:
        """Return the rate at which both were done."""
        return self.events / self.seconds

    @property
    def two_copies_events_per_second(self) -> float:
        """Return the rate at which both were done with two connections."""
        return self.events / self.two_copies_seconds


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
    read, copy, seconds = _side_by_side(kafka, database_url, [rows], events)
    halves = _halves(rows)
    *_, two_copies = _side_by_side(kafka, database_url, halves, events)
    for half in halves:
        half.unlink()
    return Limit(events, read, copy, seconds, two_copies)


def _halves(rows: Path) -> list[Path]:
    """Write every second line of a file into one file, the others into another."""
    halves = [rows.with_name(f"rows-{number}.tsv") for number in range(2)]
    with rows.open("rb") as source, halves[0].open("wb") as even, halves[1].open("wb") as odd:
        for number, line in enumerate(source):
            (odd if number % 2 else even).write(line)
    return halves


def _side_by_side(kafka: str, database_url: str, files: list[Path], events: int) -> tuple[float, float, float]:
    """Return what reading took, what copying took, and both together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.SimpleQueue()
    workers = [
        context.Process(target=_read_process, args=(barrier, results, kafka, events)),
        context.Process(target=_copy_process, args=(barrier, results, database_url, files)),
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
    return read_ended - read_began, copy_ended - copy_began, seconds


Barrier = multiprocessing.synchronize.Barrier


def _read_process(barrier: Barrier, results: "multiprocessing.SimpleQueue[Any]", kafka: str, events: int) -> None:
    results.put(("read", _run(_read(barrier, kafka, events))))


def _copy_process(barrier: Barrier, results: "multiprocessing.SimpleQueue[Any]", url: str, files: list[Path]) -> None:
    results.put(("copy", _run(_copy(barrier, url, files))))


def _run(work: Coroutine[Any, Any, tuple[float, float]]) -> tuple[float, float]:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop).run(work)


async def _read(barrier: Barrier, kafka: str, events: int) -> tuple[float, float]:
    async with Offsets(kafka) as offsets:
        partitions = await offsets.partitions(is_raw)
    reader = AIOKafkaConsumer(**client(kafka), enable_auto_commit=False, auto_offset_reset="earliest")
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


async def _copy(barrier: Barrier, url: str, files: list[Path]) -> tuple[float, float]:
    connections = [await connect(url) for _ in files]
    try:
        await connections[0].execute(_CREATE)
        await asyncio.to_thread(barrier.wait)
        began = time.perf_counter()
        await asyncio.gather(
            *(
                connection.copy_to_table("usage", schema_name="bench", source=file)
                for connection, file in zip(connections, files, strict=True)
            )
        )
        return began, time.perf_counter()
    finally:
        for connection in connections:
            await connection.close()
