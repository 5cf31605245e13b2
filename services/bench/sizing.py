"""What so many events a month take: CPU, disk, memory, from what was measured of an event, a charge line and a batch.

Pure. `python -m services.bench.sizing` prints the table of docs/sizing.md, where it is told what is measured and what
assumed.
"""

import math
from dataclasses import dataclass

MONTH_SECONDS = 30 * 86_400
MONTH_HOURS = 720
PEAK = 4
"""An hour's usage comes within a quarter of an hour."""
FILL_SECONDS = 0.45
PARTITIONS = 4
INGEST_WORKERS = 2
KEYS = 8_000
"""Distinct awards, subjects and items that are used; the benchmark's 30,000,000 events have 8,188."""
READINGS_A_MONTH = 744

CPU_EVENT = 15.1e-6
CPU_LINE = 64e-6
CPU_BATCH = 6.1e-3
"""Core seconds."""
DISK_EVENT, DISK_LINE, DISK_BATCH = 300, 300, 500
"""Bytes in PostgreSQL, indexes included."""
INDEX_EVENT = 88
RAW_EVENT, ACCEPTED_EVENT, CHARGES_LINE = 54, 28, 29
"""Bytes in a topic, as the producers compress them."""
REPLICAS = 3
WAL_EVENT = 850
PAGE = 8_192
GB = 1e9


@dataclass(frozen=True, slots=True)
class Load:
    """A month's events, and what becomes of them; rates are a second."""

    events: int

    @property
    def average(self) -> float:
        """Return the events a second, all month long."""
        return self.events / MONTH_SECONDS

    @property
    def peak(self) -> float:
        """Return the events a second while an hour's usage comes."""
        return self.average * PEAK

    @property
    def events_a_batch(self) -> float:
        """Return how many events a batch has at the peak; an ingest worker closes one a partition and filling time."""
        return max(1.0, self.peak * FILL_SECONDS / (PARTITIONS * INGEST_WORKERS))

    @property
    def lines_a_batch(self) -> float:
        """Return how many charge lines a batch has: its events hit so many of a partition's keys at least once."""
        keys = KEYS / PARTITIONS
        return keys * -math.expm1(self.events_a_batch * math.log1p(-1 / keys))

    @property
    def batches(self) -> float:
        """Return the batches of the month."""
        return self.events / self.events_a_batch

    @property
    def lines(self) -> float:
        """Return the charge lines of the month."""
        return self.batches * self.lines_a_batch

    @property
    def core_seconds(self) -> float:
        """Return the CPU time of the month: services, Kafka and PostgreSQL."""
        return self.events * CPU_EVENT + self.lines * CPU_LINE + self.batches * CPU_BATCH

    @property
    def cores_at_peak(self) -> float:
        """Return how many cores are busy while an hour's usage comes."""
        return self.core_seconds / MONTH_SECONDS * PEAK

    @property
    def database_bytes(self) -> float:
        """Return by how much PostgreSQL's tables grow in the month, on each of its copies."""
        return self.events * DISK_EVENT + self.lines * DISK_LINE + self.batches * DISK_BATCH

    @property
    def kafka_bytes(self) -> float:
        """Return by how much the topics grow in the month, on all brokers together."""
        return REPLICAS * (self.events * (RAW_EVENT + ACCEPTED_EVENT) + self.lines * CHARGES_LINE)

    @property
    def machines(self) -> float:
        """Return how many machines report, each once an hour."""
        return self.events / READINGS_A_MONTH

    @property
    def hot_bytes(self) -> float:
        """Return what of the keys' index is written every hour: the page to which a machine's next key goes."""
        return self.machines * PAGE

    @property
    def wal_bytes(self) -> float:
        """Return the month's WAL: what rows take, and each of these pages whole once an hour."""
        return self.events * WAL_EVENT + self.hot_bytes * MONTH_HOURS


def tables(events: tuple[int, ...] = (10_000_000, 1_000_000_000, 100_000_000_000)) -> str:
    """Return the table of docs/sizing.md."""
    loads = [Load(each) for each in events]
    rows: list[tuple[str, list[str]]] = [
        ("events a second, average", [_plain(each.average) for each in loads]),
        ("events a second, peak", [_plain(each.peak) for each in loads]),
        ("machines that report every hour", [_plain(each.machines) for each in loads]),
        ("events a batch at the peak", [_plain(each.events_a_batch) for each in loads]),
        ("batches a month", [_plain(each.batches) for each in loads]),
        ("charge lines a month", [_plain(each.lines) for each in loads]),
        ("core hours a month", [_plain(each.core_seconds / 3600) for each in loads]),
        ("cores, average", [_plain(each.core_seconds / MONTH_SECONDS) for each in loads]),
        ("cores, peak", [_plain(each.cores_at_peak) for each in loads]),
        ("PostgreSQL grows by, GB a month", [_plain(each.database_bytes / GB) for each in loads]),
        ("of that the index of keys, GB", [_plain(each.events * INDEX_EVENT / GB) for each in loads]),
        ("its pages that are written every hour, GB", [_plain(each.hot_bytes / GB) for each in loads]),
        ("WAL before compression, GB a month", [_plain(each.wal_bytes / GB) for each in loads]),
        ("Kafka grows by, GB a month on all brokers", [_plain(each.kafka_bytes / GB) for each in loads]),
    ]
    head = ["a month", *(f"{each:,}" for each in events)]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * len(events)}"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)])


def _plain(number: float) -> str:
    """Return three digits of a number."""
    if number == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(number)))
    rounded = round(number, digits)
    return f"{rounded:,.{max(0, digits)}f}"


if __name__ == "__main__":
    print(tables())
