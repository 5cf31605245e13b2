"""Whether usage flows again: markers are posted, and no partition of any topic stands still."""

import asyncio
import time

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.audit.run import HOPS
from services.chaos.errors import ChaosError
from services.offsets import Offsets
from services.postgres import TRANSIENT, connect

PATIENCE_SECONDS = 120
_PAUSE_SECONDS = 0.1
_SETTLED = """
select exists (select from rating.event join rating.batch using (batch_no) join invoicing.batch using (batch)
               where provider = $1 and id = $2)
"""
Marker = tuple[str, str]
"""A provider and the id of an event of its."""


async def wait_until_it_flows(url: str, kafka: str, markers: list[Marker], since: float) -> None:
    """Return once the markers are posted and every group has read what was then in each partition.

    Raises ChaosError `PATIENCE_SECONDS` after `since`, an instant of time.monotonic().
    """
    deadline = since + PATIENCE_SECONDS
    await _posted(url, markers, deadline)
    await _read(kafka, deadline)


async def _posted(url: str, markers: list[Marker], deadline: float) -> None:
    wanted = list(markers)
    while wanted:
        try:
            connection = await connect(url)
            try:
                while wanted and await connection.fetchval(_SETTLED, *wanted[0]):
                    wanted.pop(0)
            finally:
                await connection.close()
        except TRANSIENT:
            pass  # the database is still starting
        await _pause(deadline, f"usage of {', '.join(provider for provider, _ in wanted)} is not posted")


async def _read(kafka: str, deadline: float) -> None:
    ends: dict[str, dict[TopicPartition, int]] = {}
    while True:
        behind = "Kafka does not answer"
        try:
            async with Offsets(kafka) as offsets:
                for group, wanted in HOPS:
                    if group not in ends:
                        ends[group] = await offsets.end(await offsets.partitions(wanted))
                while behind := await _behind(offsets, ends):
                    await _pause(deadline, behind)
                return
        except (KafkaError, OSError):
            await _pause(deadline, behind)


async def _behind(offsets: Offsets, ends: dict[str, dict[TopicPartition, int]]) -> str:
    """Return which partition a group has not read to where it ended; empty when there is none."""
    for group, wanted in ends.items():
        committed = await offsets.committed(group)
        for partition, end in wanted.items():
            if end and committed.get(partition, 0) < end:
                return f"{group} stands still on {partition.topic} partition {partition.partition}"
    return ""


async def _pause(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise ChaosError(f"{what} {PATIENCE_SECONDS} s after the fault's end")
    await asyncio.sleep(_PAUSE_SECONDS)
