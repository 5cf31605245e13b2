"""Where mutated messages went, and what became of each.

Law: what was sent was acknowledged by Kafka, taken over HTTP or refused over HTTP; the raw topics grew by what was
acknowledged and taken; and each message there was rated, is a repeat, a conflict, or was rejected.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

from services.kafka import RAW_PREFIX
from services.postgres import Connection

# A message that was delivered twice has one place, and counts once; $3: the first offset that counts.
_BECAME = """
with span as (
    select * from unnest($1::text[], $2::int[], $3::bigint[]) as span(provider, partition, first)
), place as (
    select provider, partition, raw_offset, 'rated' as what
    from rating.usage join rating.use using (use_no) join span using (provider)
    where raw_partition = partition and raw_offset >= first
    union all
    select provider, partition, raw_offset, case when reason is not null then 'conflict' else 'repeat' end
    from rating.seen_again join rating.use using (use_no) join span using (provider)
    where raw_partition = partition and raw_offset >= first
    union all
    select span.provider, partition, "offset", 'rejected'
    from ingest.rejection join span using (partition)
    where topic = 'usage.raw.' || span.provider and "offset" >= first
          and reason not in ('conflict', 'corrected_already', 'correction_circle')
)
select what, count(*) from (
    select distinct on (provider, partition, raw_offset) what from place order by provider, partition, raw_offset, what
) as once group by what
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """Messages by what happened to them.

    `asked_for`, `into_kafka` (acknowledged), `in_taken` and `refused` (by HTTP status) count them as they were before
    what carried them was mutated; `taken` is how many the gateway found in the requests that it answered with 202;
    `grown` is by how much the raw topics grew, `became` what was made of that.
    """

    asked_for: int
    into_kafka: int
    in_taken: int
    taken: int
    refused: Mapping[int, int]
    grown: int
    became: Mapping[str, int]

    @property
    def sent(self) -> int:
        """Return how many messages were answered for, one way or the other."""
        return self.into_kafka + self.in_taken + sum(self.refused.values())

    def differences(self) -> tuple[str, ...]:
        """Return what is missing or too much, a text each."""
        arrived, counted = self.into_kafka + self.taken, sum(self.became.values())
        found = []
        if self.sent != self.asked_for:
            found.append(f"{self.asked_for} mutated messages to be sent, {self.sent} were answered for")
        if self.grown != arrived:
            found.append(f"{arrived} mutated messages acknowledged, the raw topics grew by {self.grown}")
        if self.grown != counted:
            found.append(f"{self.grown} mutated messages in the raw topics, {counted} rated, repeated or rejected")
        return tuple(found)


async def became(connection: Connection, begins: Mapping[TopicPartition, int]) -> dict[str, int]:
    """Count what was made of the messages in the raw topics from these offsets on."""
    places = [(each.topic.removeprefix(RAW_PREFIX), each.partition, first) for each, first in begins.items()]
    rows = await connection.fetch(_BECAME, *map(list, zip(*places, strict=True)))
    return {row["what"]: row["count"] for row in rows}
