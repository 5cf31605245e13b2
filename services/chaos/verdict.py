"""The verdict: every acknowledged event counted once, and every amount as `plafond bill` makes it of the same usage."""

from collections import Counter
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
from services.kafka_security import client
from services.offline.bill import bill, read_usage
from services.offline.readers import workplace
from services.offsets import Offsets
from services.postgres import Connection

MEMORY_MAX = "2GB"
"""For DuckDB, which spills what is more to the disk: the record of a long run is larger than that."""
_COUNTED = "select provider, id, quantity::text from rating.usage join rating.use using (use_no)"

# Events by (provider, id): how often each counts, and with how many contents it was acknowledged.
_READ_COUNTED = """
create table counted as
select provider, id, count(*) as times, any_value(quantity) as quantity
from read_csv(?, header = false, columns = {'provider': 'varchar', 'id': 'varchar', 'quantity': 'varchar'})
group by provider, id
"""
_READ_RECORD = """
create table acknowledged as
select split_part(json->>'source', '/', 3) as provider, json->>'id' as id,
       count(distinct hash(json::varchar)) as contents
from read_json_objects(?, format = 'newline_delimited')
group by provider, id
"""
_SUMS = """
select (select count(*) from acknowledged) as events,
       (select count(*) from acknowledged anti join counted using (provider, id)) as lost,
       (select coalesce(sum(times - 1), 0) from counted)
           + (select count(*) from counted anti join acknowledged using (provider, id)) as doubled
"""
_AMBIGUOUS = """
select provider, id, quantity from acknowledged left join counted using (provider, id) where contents > 1
"""
_RAISED = "select alert::text from invoicing.alert"
_READ_MS = 5_000
_COPY_SECONDS_MAX = 600
EventKey = tuple[str, str]
_POSTED = """
select institution, department, pool, award, item, month, tariff, sum(amount) as amount
from invoicing.posting where side = 'institution'
group by institution, department, pool, award, item, month, tariff
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many acknowledged events are missing, how many count more than once, and by how much amounts are off.

    `conflicts` are events that were sent with two contents, of which one must count; `alerts` were raised, `alerts_off`
    of them are missing from their topic or were never raised. `alerts_published_again` is how many messages there
    repeat the id of an earlier one: that is harmless, for who reads an alert knows it by its id.
    """

    events: int
    conflicts: int
    lost: int
    doubled: int
    amount_difference: Decimal
    alerts: int
    alerts_off: int
    alerts_published_again: int

    @property
    def good(self) -> bool:
        """Tell whether nothing is lost, doubled or off."""
        return not (self.lost or self.doubled or self.amount_difference or self.alerts_off)


async def verdict(connection: Connection, kafka: str, contract: Contract, record: Path) -> Verdict:
    """Compare the books, all months closed, with a record of acknowledged messages."""
    counted, usage = record.with_name("counted.csv"), record.with_name("counted.jsonl")
    await connection.copy_from_query(_COUNTED, output=counted, format="csv", timeout=_COPY_SECONDS_MAX)
    (events, lost, doubled), ambiguous = _compared(record, counted)
    left = _write_counted(record, usage, ambiguous)
    posted = {PostingKey(*_texts(row.values())): row["amount"] for row in await connection.fetch(_POSTED)}
    raised = {row["alert"] for row in await connection.fetch(_RAISED)}
    published = await _published(kafka)
    return Verdict(
        events, len(ambiguous), lost + left, doubled, _difference(posted, _billed(contract, usage)),
        len(raised), len(raised ^ published.keys()), published.total() - len(published),
    )  # fmt: skip


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in list(values)[:-1]]


def _compared(record: Path, counted: Path) -> tuple[tuple[int, int, int], dict[EventKey, Decimal | None]]:
    """Return the numbers of events acknowledged, lost and doubled, and those with two contents.

    With the latter is the quantity that counts; None where none does.
    """
    with workplace() as (database, _):
        database.execute(f"set memory_limit = '{MEMORY_MAX}'")
        database.execute(_READ_RECORD, [str(record)])
        database.execute(_READ_COUNTED, [str(counted)])
        (sums,) = database.execute(_SUMS).fetchall()
        rows = database.execute(_AMBIGUOUS).fetchall()
    events, lost, doubled = map(int, sums)
    return (events, lost, doubled), {
        (provider, event_id): None if quantity is None else Decimal(quantity) for provider, event_id, quantity in rows
    }


def _write_counted(record: Path, usage: Path, ambiguous: Mapping[EventKey, Decimal | None]) -> int:
    """Write the record with the content that counted where there are two; return of how many counts neither.

    What counts not at all is lost already, and is not among these.
    """
    waiting = {key for key, quantity in ambiguous.items() if quantity is not None}
    with record.open("rb") as file, usage.open("wb") as out:
        for line in file:
            event = read_json(line)
            assert isinstance(event, UsageEvent), "only good usage is recorded"
            key = (event.source.rpartition("/")[2], event.id)
            if key in ambiguous:
                if key not in waiting or Decimal(event.quantity) != ambiguous[key]:
                    continue
                waiting.remove(key)
            out.write(line)
    return len(waiting)


async def _published(kafka: str) -> Counter[str]:
    """Return the ids of all alerts in their topic, and how often each stands there."""
    async with Offsets(kafka) as offsets:
        ends = await offsets.end(await offsets.partitions(lambda name: name == ALERTS))
    reader = AIOKafkaConsumer(**client(kafka), enable_auto_commit=False)
    await reader.start()
    found: Counter[str] = Counter()
    try:
        reader.assign(list(ends))
        await reader.seek_to_beginning()
        while any([await reader.position(partition) < end for partition, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=_READ_MS)).values():
                found.update(codec("alert").decode(each.value)["alert"] for each in records)
    finally:
        await reader.stop()
    return found


def _billed(contract: Contract, record: Path) -> dict[PostingKey, Decimal]:
    with workplace() as place:
        place[0].execute(f"set memory_limit = '{MEMORY_MAX}'")
        made = bill(contract, read_usage(place, [str(record)]), datetime.now(UTC))
    return {key: share.amount for shares in made.shares.values() for key, share in shares.items()}


def _difference(posted: dict[PostingKey, Decimal], billed: dict[PostingKey, Decimal]) -> Decimal:
    total = ZERO
    for key in posted.keys() | billed.keys():
        total = add(total, subtract(posted.get(key, ZERO), billed.get(key, ZERO)).copy_abs())
    return total
