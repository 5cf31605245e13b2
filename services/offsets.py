"""Where topics begin and end, how far groups have come, setting groups elsewhere, and reading without a group."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from services.kafka import let_go
from services.kafka_security import client

_POLL_MS = 1_000
_FETCH_BYTES_MAX = 16 * 1024 * 1024


class Offsets:
    """Where topics begin and end, and how far groups have come."""

    def __init__(self, servers: str) -> None:
        self._admin = AIOKafkaAdminClient(**client(servers), request_timeout_ms=10_000)
        self._reader = AIOKafkaConsumer(**client(servers), enable_auto_commit=False, metadata_max_age_ms=5_000)

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._reader.start()
        except BaseException:
            await let_go(self._reader, self._admin)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await let_go(self._reader, self._admin)

    async def partitions(self, wanted: Callable[[str], bool]) -> list[TopicPartition]:
        """Return the partitions of all topics whose name is wanted."""
        names = [name for name in await self._admin.list_topics() if wanted(name)]
        described = await self._admin.describe_topics(names) if names else []
        return sorted(
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        )

    async def begin(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that is still there, by partition."""
        return dict(await self._reader.beginning_offsets(partitions)) if partitions else {}

    async def end(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that the next message will have, by partition."""
        return dict(await self._reader.end_offsets(partitions)) if partitions else {}

    async def at(self, partitions: Sequence[TopicPartition], milliseconds: int) -> dict[TopicPartition, int]:
        """Return the first offset that was appended at an instant or later (the end where there is none)."""
        found = await self._reader.offsets_for_times(dict.fromkeys(partitions, milliseconds))
        ends = await self.end(partitions)
        return {each: found[each].offset if found.get(each) else ends[each] for each in partitions}

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return how far a group has come, by partition."""
        offsets = await self._admin.list_consumer_group_offsets(group)
        return {partition: each.offset for partition, each in offsets.items() if each.offset >= 0}

    async def behind(self, group: str, wanted: Callable[[str], bool]) -> dict[TopicPartition, int]:
        """Return, by partition, how many messages a group has not committed."""
        partitions = await self.partitions(wanted)
        ends, begins, committed = await self.end(partitions), await self.begin(partitions), await self.committed(group)
        return {each: max(0, ends[each] - committed.get(each, begins[each])) for each in partitions}

    async def lag(self, group: str, wanted: Callable[[str], bool]) -> dict[str, int]:
        """Return, by topic, how many messages a group has not committed."""
        return by_topic(await self.behind(group, wanted))


def by_topic(behind: Mapping[TopicPartition, int]) -> dict[str, int]:
    """Add up what is counted by partition."""
    counts: Counter[str] = Counter()
    for partition, count in behind.items():
        counts[partition.topic] += count
    return dict(counts)


async def move(servers: str, group: str, wanted: Mapping[TopicPartition, int]) -> None:
    """Let a group go on from these offsets, if there are any; raises CommitFailedError while it has members."""
    if not wanted:
        return
    reader = AIOKafkaConsumer(**client(servers), group_id=group, enable_auto_commit=False)
    await reader.start()
    try:
        reader.assign(list(wanted))
        await reader.commit(dict(wanted))
    finally:
        await let_go(reader)


async def read_between(
    servers: str, first: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], at_once: int = 500
) -> AsyncIterator[list[ConsumerRecord]]:
    """Yield the messages from some offsets up to, without, others: of a partition in their order, some at once."""
    left = [each for each in first if first[each] < ends[each]]
    if not left:
        return
    reader = AIOKafkaConsumer(**client(servers), enable_auto_commit=False, fetch_max_bytes=_FETCH_BYTES_MAX)
    await reader.start()
    try:
        reader.assign(left)
        for each in left:
            reader.seek(each, first[each])
        while left:
            for partition, records in (await reader.getmany(*left, timeout_ms=_POLL_MS, max_records=at_once)).items():
                if mine := [each for each in records if each.offset < ends[partition]]:
                    yield mine
            left = [each for each in left if await reader.position(each) < ends[each]]
    finally:
        await let_go(reader)
