"""The verdict: every acknowledged event counted once, and every amount as `plafond bill` makes it of the same usage."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from services.contract.model import Contract
from services.contract.money import ZERO, add, subtract
from services.ingest.events import UsageEvent, read_json
from services.invoicing.settle import PostingKey
from services.offline.bill import bill, read_usage
from services.offline.readers import workplace
from services.postgres import Connection

_COUNTED = "select provider, id, count(*) as times from rating.usage join rating.use using (use_no) group by 1, 2"
_POSTED = """
select institution, department, pool, award, item, month, tariff, sum(amount) as amount
from invoicing.posting where side = 'institution'
group by institution, department, pool, award, item, month, tariff
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many acknowledged events are missing, how many count more than once, and by how much amounts are off."""

    events: int
    lost: int
    doubled: int
    amount_difference: Decimal


async def verdict(connection: Connection, contract: Contract, record: Path) -> Verdict:
    """Compare the books, all months closed, with a record of acknowledged messages."""
    acknowledged = _ids(record)
    counted = {(row["provider"], row["id"]): row["times"] for row in await connection.fetch(_COUNTED)}
    lost = len(acknowledged - counted.keys())
    doubled = sum(times - 1 for times in counted.values()) + len(counted.keys() - acknowledged)
    posted = {PostingKey(*_texts(row.values())): row["amount"] for row in await connection.fetch(_POSTED)}
    return Verdict(len(acknowledged), lost, doubled, _difference(posted, _billed(contract, record)))


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in list(values)[:-1]]


def _ids(record: Path) -> set[tuple[str, str]]:
    ids = set()
    with record.open("rb") as file:
        for line in file:
            event = read_json(line)
            assert isinstance(event, UsageEvent), "only good usage is recorded"
            ids.add((event.source.rpartition("/")[2], event.id))
    return ids


def _billed(contract: Contract, record: Path) -> dict[PostingKey, Decimal]:
    with workplace() as place:
        made = bill(contract, read_usage(place, [str(record)]), datetime.now(UTC))
    return {key: share.amount for shares in made.shares.values() for key, share in shares.items()}


def _difference(posted: dict[PostingKey, Decimal], billed: dict[PostingKey, Decimal]) -> Decimal:
    total = ZERO
    for key in posted.keys() | billed.keys():
        total = add(total, subtract(posted.get(key, ZERO), billed.get(key, ZERO)).copy_abs())
    return total
