"""The verdict: every acknowledged event counted once, and every amount as `plafond bill` makes it of the same usage."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from services.avro import codec
from services.contract.model import Contract
from services.contract.money import ZERO, add, subtract
from services.ingest.events import UsageEvent, read_json
from services.invoicing.settle import PostingKey
from services.kafka import ALERTS
from services.offline.bill import bill, read_usage
from services.offline.readers import workplace
from services.offsets import Offsets
from services.postgres import Connection

_COUNTED = "select provider, id, count(*) as times from rating.usage join rating.use using (use_no) group by 1, 2"
_QUANTITIES = """
select provider, id, quantity from rating.usage join rating.use using (use_no)
where (provider, id) in (select * from unnest($1::text[], $2::text[]))
"""
_RAISED = "select alert::text from invoicing.alert"
_READ_MS = 5_000
EventKey = tuple[str, str]
_POSTED = """
select institution, department, pool, award, item, month, tariff, sum(amount) as amount
from invoicing.posting where side = 'institution'
group by institution, department, pool, award, item, month, tariff
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many acknowledged events are missing, how many count more than once, and by how much amounts are off.

    `conflicts` are events that were sent with two contents, of which one must count; `alerts` were raised, and
    `alerts_off` of them are missing from their topic or were never raised.
    """

    events: int
    conflicts: int
    lost: int
    doubled: int
    amount_difference: Decimal
    alerts: int
    alerts_off: int

    @property
    def good(self) -> bool:
        """Tell whether nothing is lost, doubled or off."""
        return not (self.lost or self.doubled or self.amount_difference or self.alerts_off)


async def verdict(connection: Connection, kafka: str, contract: Contract, record: Path) -> Verdict:
    """Compare the books, all months closed, with a record of acknowledged messages."""
    acknowledged, ambiguous = _events(record)
    counted = {(row["provider"], row["id"]): row["times"] for row in await connection.fetch(_COUNTED)}
    lost = len(acknowledged - counted.keys())
    doubled = sum(times - 1 for times in counted.values()) + len(counted.keys() - acknowledged)
    rows = await connection.fetch(_QUANTITIES, *map(list, zip(*ambiguous, strict=True))) if ambiguous else []
    usage = record.with_name("counted.jsonl")
    left = _write_counted(record, usage, ambiguous, {(row["provider"], row["id"]): row["quantity"] for row in rows})
    posted = {PostingKey(*_texts(row.values())): row["amount"] for row in await connection.fetch(_POSTED)}
    raised = {row["alert"] for row in await connection.fetch(_RAISED)}
    return Verdict(
        len(acknowledged), len(ambiguous), lost + left, doubled, _difference(posted, _billed(contract, usage)),
        len(raised), len(raised ^ await _published(kafka)),
    )  # fmt: skip


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in list(values)[:-1]]


def _events(record: Path) -> tuple[set[EventKey], set[EventKey]]:
    """Return all events that were acknowledged, and those of them that have two contents."""
    contents: dict[EventKey, int] = {}
    ambiguous = set()
    with record.open("rb") as file:
        for line in file:
            key, content = _key(line), hash(line)
            if contents.setdefault(key, content) != content:
                ambiguous.add(key)
    return set(contents), ambiguous


def _key(line: bytes) -> EventKey:
    event = read_json(line)
    assert isinstance(event, UsageEvent), "only good usage is recorded"
    return event.source.rpartition("/")[2], event.id


def _write_counted(record: Path, usage: Path, ambiguous: set[EventKey], quantities: Mapping[EventKey, Decimal]) -> int:
    """Write the record with the content that counted where there are two; return of how many neither did."""
    waiting = set(ambiguous)
    with record.open("rb") as file, usage.open("wb") as out:
        for line in file:
            if (key := _key(line)) in ambiguous:
                event = read_json(line)
                assert isinstance(event, UsageEvent), "only good usage is recorded"
                if key not in waiting or Decimal(event.quantity) != quantities.get(key):
                    continue
                waiting.remove(key)
            out.write(line)
    return len(waiting)


async def _published(kafka: str) -> set[str]:
    """Return the ids of all alerts in their topic."""
    async with Offsets(kafka) as offsets:
        ends = await offsets.end(await offsets.partitions(lambda name: name == ALERTS))
    reader = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await reader.start()
    found = set()
    try:
        reader.assign(list(ends))
        await reader.seek_to_beginning()
        while any([await reader.position(partition) < end for partition, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=_READ_MS)).values():
                found |= {codec("alert").decode(each.value)["alert"] for each in records}
    finally:
        await reader.stop()
    return found


def _billed(contract: Contract, record: Path) -> dict[PostingKey, Decimal]:
    with workplace() as place:
        made = bill(contract, read_usage(place, [str(record)]), datetime.now(UTC))
    return {key: share.amount for shares in made.shares.values() for key, share in shares.items()}


def _difference(posted: dict[PostingKey, Decimal], billed: dict[PostingKey, Decimal]) -> Decimal:
    total = ZERO
    for key in posted.keys() | billed.keys():
        total = add(total, subtract(posted.get(key, ZERO), billed.get(key, ZERO)).copy_abs())
    return total
