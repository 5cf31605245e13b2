"""What a correction took back of an event: by how much that moved its meter, and in which batch.

The later of the two takes back, in its batch: after all usage that came with it, and if there is more to be taken back,
in the order in which that had come. So the parts of a batch add up to what it was charged.
"""

from dataclasses import asdict
from decimal import Decimal
from typing import Any

import asyncpg

from services import contract_store
from services.contract.charges import ChargeKey, price_of
from services.contract.money import add, opposite, subtract
from services.contract.tariff import charge
from services.postgres import Connection

_TAKING = """
select correction.id as by, batch.batch_no, batch.batch, batch.version, batch.rated_at
from rating.correction
     join rating.event as correcting on correcting.provider = correction.provider and correcting.id = correction.id
     join rating.event as corrected on corrected.provider = correction.provider and corrected.id = correction.corrected
     join rating.batch on batch.batch_no = greatest(correcting.batch_no, corrected.batch_no)
where correction.provider = $1 and corrected = $2
"""
# All that moved meters in a batch: what came in it, then what was taken back; billed as re-ratings until then say.
_MOVED = """
with came as (
    select 1 as turn, batch_no, position, use_no, id, time, quantity from rating.usage where batch_no = $1
    union all
    select 2, usage.batch_no, usage.position, use_no, usage.id, usage.time, usage.quantity
    from rating.correction
         join rating.event as correcting on correcting.provider = correction.provider and correcting.id = correction.id
         join rating.event as gone on gone.provider = correction.provider and gone.id = correction.corrected
         join rating.usage on usage.batch_no = gone.batch_no and usage.position = gone.position
    where greatest(correcting.batch_no, gone.batch_no) = $1
)
select turn, provider, id, use.award, use.item, use.month, use.subject, coalesce(anew.tariff, use.tariff) as tariff,
       rating.billed(quantity, coalesce(anew.minimum, use.minimum), coalesce(anew.increment, use.increment)) as billed
from came join rating.use using (use_no) left join lateral (
    select rebilled.tariff, rebilled.minimum, rebilled.increment
    from rating.rebilled join contract.rerating using (rerating)
    where (rebilled.award, rebilled.item, rebilled.month, decided) = (use.award, use.item, use.month, use.tariff)
          and came.time >= begins and came.time < ends and applied_at <= $2
    order by rerating desc limit 1
) as anew on true
order by turn, batch_no, position
"""
_BEFORE = """
select before from rating.charge
where batch_no = $1 and award = $2 and item = $3 and month = $4 and tariff = $5 and subject = $6
"""


async def taken_back(connection: Connection, provider: str, event_id: str) -> dict[str, Any] | None:
    """Return what was taken back of an event, in the contract's currency; None where nothing corrected it yet."""
    taking = await connection.fetchrow(_TAKING, provider, event_id)
    if taking is None:
        return None
    moved = await connection.fetch(_MOVED, taking["batch_no"], taking["rated_at"])
    mine = next(row for row in moved if (row["turn"], row["provider"], row["id"]) == (2, provider, event_id))
    place = _place(mine)
    before = await connection.fetchval(_BEFORE, taking["batch_no"], *place)
    assert before is not None, f"batch {taking['batch']} has no charge for {place}"
    for row in moved:
        if row is mine:
            break
        if _place(row) == place:
            before = add(before, _move(row))
    contract = await contract_store.load_version(connection, taking["version"], as_of=taking["rated_at"])
    key = ChargeKey(mine["award"], mine["item"], mine["month"], mine["tariff"].isoformat(), mine["subject"])
    price = price_of(contract, key)
    after = subtract(before, mine["billed"])
    return {
        "by": taking["by"],
        "batch": taking["batch"],
        "rated_at": taking["rated_at"],
        "tariff": f"{mine['award']} from {mine['tariff']}",
        "quantity": opposite(mine["billed"]),
        "meter_before": before,
        "meter_after": after,
        "amount": charge(price, before, after),
        "steps_before": [asdict(step) for step in price.steps(before)],
        "steps_after": [asdict(step) for step in price.steps(after)],
    }


def _place(row: asyncpg.Record) -> tuple[Any, ...]:
    return (row["award"], row["item"], row["month"], row["tariff"], row["subject"])


def _move(row: asyncpg.Record) -> Decimal:
    quantity: Decimal = row["billed"]
    return quantity if row["turn"] == 1 else opposite(quantity)
