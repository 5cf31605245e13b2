"""What usage takes on disk: the benchmark's events through ingest's, rating's and invoicing's own functions into a database.

Printed with `.venv/bin/python -m tests.sizes EVENTS EVENTS_A_BATCH`; docs/sizing.md reckons with it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import cramjam
from aiokafka import ConsumerRecord

from services import contract_store
from services.avro import codec
from services.bench.usage import machines, readings
from services.contract.model import Contract
from services.ingest.batch import Sorter
from services.ingest.decide import Decider
from services.ingest.short import ShortWay
from services.invoicing.ledger import post_charges
from services.kafka import ACCEPTED, FLOW_PARTITIONS, Place
from services.postgres import Connection, connect, migrate, open_pool
from services.rating.message import charge_message
from services.rating.sql import STAGING
from services.rating.store import Books

SAMPLE = Path(__file__).parents[1] / "deploy" / "contracts" / "cloud-i.toml"
TABLES = {
    "event": ["rating.event", "rating.usage"],
    "line": ["rating.charge", "invoicing.posting"],
    "batch": ["rating.batch", "invoicing.batch", "invoicing.entry"],
}
_SIZE = """
select sum(pg_total_relation_size(relid))::bigint from (select $1::regclass as relid union all select inhrelid from pg_inherits where inhparent = $1::regclass) as parts
"""


@dataclass(slots=True)
class Sizes:
    """Counts, and bytes: by how much tables and their indexes grew, of WAL, and of messages as the broker keeps them."""

    events: int = 0
    batches: int = 0
    lines: int = 0
    raw_bytes: int = 0
    raw_compressed: int = 0
    accepted_compressed: int = 0
    charges_compressed: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    wal: int = 0
    tables: dict[str, int] = field(default_factory=dict)

    def a_unit(self, unit: str) -> float:
        """Return the bytes on disk of an event, a charge line or a batch, indexes included."""
        counts = {"event": self.events, "line": self.lines, "batch": self.batches}
        return sum(self.tables[table] for table in TABLES[unit]) / counts[unit]


async def measure(url: str, events: int, events_a_batch: int) -> Sizes:
    """Take so many events in, four batches at once of so many events each."""
    connection = await connect(url)
    await migrate(connection)
    stored = await contract_store.apply(connection, SAMPLE.read_text("utf-8"))
    pool = await open_pool(url, "sizes", first=STAGING, idle_ms_max=0)
    books, sizes = Books(pool), Sizes()
    began, used = time.perf_counter(), time.process_time()
    lsn = await connection.fetchval("select pg_current_wal_insert_lsn()")
    try:
        await books.make_partitions(stored.contract)
        empty = await _sizes(connection)
        for records in _batches(stored.contract, stored.version, stored.sha256, events, events_a_batch, sizes):
            await _book(pool, books, stored.contract, records, sizes)
        sizes.seconds, sizes.cpu_seconds = time.perf_counter() - began, time.process_time() - used
        sizes.wal = int(await connection.fetchval("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)", lsn))
        sizes.tables = {table: size - empty[table] for table, size in (await _sizes(connection)).items()}
    finally:
        await pool.close()
        await connection.close()
    return sizes


async def _sizes(connection: Connection) -> dict[str, int]:
    return {table: await connection.fetchval(_SIZE, table) for tables in TABLES.values() for table in tables}


async def _book(
    pool: asyncpg.Pool, books: Books, contract: Contract, records: list[tuple[int, dict[str, Any]]], sizes: Sizes
) -> None:
    """Rate and post some batches, one after the other."""
    for partition, record in records:
        sizes.batches += 1
        message = codec("usage_batch").encode(record)
        sizes.accepted_compressed += len(cramjam.zstd.compress(message))
        place = Place(ACCEPTED, partition, sizes.batches, time.time_ns() // 1_000_000)
        rated = await books.rate(codec("usage_batch").decode(message), place, contract)
        charges = charge_message(
            record["batch"], record["version"], record["contract"], record["accepted_at"], rated.charges
        )
        sizes.lines += len(rated.charges)
        sizes.charges_compressed += len(cramjam.zstd.compress(charges.value))
        await post_charges(pool, codec("charge_batch").decode(charges.value), contract)


def _batches(
    contract: Contract, version: int, sha256: str, events: int, events_a_batch: int, sizes: Sizes
) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Sort readings into batches as ingest does; each time, four partitions' batches are closed together."""
    decider, sorter = Decider(contract), Sorter(version, FLOW_PARTITIONS, contract=sha256)
    offset = waiting = 0
    # A chunk of one provider's is what its producer sends at once.
    for provider, messages in readings(machines(contract, events), events, min(500, events_a_batch)):
        sizes.raw_bytes += sum(map(len, messages))
        sizes.raw_compressed += len(cramjam.zstd.compress(b"".join(messages)))
        short = ShortWay(decider, sorter, datetime.now(UTC))
        taken = short.take(provider, [_raw(message, offset + number) for number, message in enumerate(messages)])
        assert taken == len(messages), "the benchmark's events are plainly written"
        offset += taken
        waiting += taken
        sizes.events += taken
        if waiting >= FLOW_PARTITIONS * events_a_batch:
            yield _close(sorter)
            waiting = 0
    yield _close(sorter)


def _close(sorter: Sorter) -> list[tuple[int, dict[str, Any]]]:
    now = time.time_ns() // 1000
    return [(each.partition, each.record(sorter.version, now, sorter.contract)) for each in sorter.close().batches]


def _raw(message: bytes, offset: int) -> ConsumerRecord:
    return ConsumerRecord(
        topic="", partition=0, offset=offset, timestamp=time.time_ns() // 1_000_000, timestamp_type=1, key=None,
        value=message, checksum=None, serialized_key_size=0, serialized_value_size=len(message), headers=(),
    )  # fmt: skip


def main() -> None:
    """Measure in a database of its own and print it."""
    from tests.servers import database

    with database() as url:
        sizes = asyncio.run(measure(url, *map(int, sys.argv[1:3])))
    print(json.dumps(asdict(sizes) | {unit: round(sizes.a_unit(unit), 1) for unit in TABLES}, indent=1))


if __name__ == "__main__":
    main()
