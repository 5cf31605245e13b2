"""What was posted on a line, and the events behind it: by batch, and what corrected or priced something again."""

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Any

import asyncpg

from services.audit.books_then import LATER_BATCHES, OF_KEY, Books
from services.audit.parts import check
from services.contract.charges import ChargeKey
from services.contract.money import ZERO, add, total
from services.invoicing.settle import PostingKey
from services.postgres import Connection

BATCHES_NAMED = 20

_POSTED = f"""
select kind, entry.batch, entry.posted_at, rerating, sum(posting.quantity) as quantity, sum(posting.amount) as amount
from invoicing.posting join invoicing.entry using (entry)
     left join contract.rerating on rerating.batch = entry.batch
where {OF_KEY} and invoice_month = $8
group by entry.entry, kind, entry.batch, entry.posted_at, rerating order by entry.entry
"""
# Events as they were billed for by then: $6 is the last re-rating that counted, $2 the later invoices' months. An event
# counts nothing once it and what corrects it were both in.
EVENTS = f"""
with later as materialized ({LATER_BATCHES}),
known as (
    select batch_no, batch from rating.batch
    where batch in (select batch from invoicing.entry) and batch not in (select batch from later)
),
last as (
    select * from rating.rebilled as mine
    where rerating <= $6 and (award, item, month) = ($3, $4, $1) and not exists (
        select from rating.rebilled as newer
        where (newer.award, newer.item, newer.month, newer.decided) = (mine.award, mine.item, mine.month, mine.decided)
              and newer.rerating > mine.rerating and newer.rerating <= $6)
)
select use.provider, usage.id, usage.time, usage.quantity,
       rating.billed(usage.quantity, coalesce(last.minimum, use.minimum), coalesce(last.increment, use.increment))
           as billed, use.region, usage.resource, known.batch, correcting.id as corrected_by,
       coalesce(correcting.batch, known.batch) as settled_in
from rating.use join rating.usage using (use_no) join known using (batch_no)
     left join last on last.decided = use.tariff and usage.time >= last.begins and usage.time < last.ends
     left join lateral (
         select correction.id, case when event.batch_no > known.batch_no then other.batch else known.batch end as batch
         from rating.correction join rating.event on event.provider = correction.provider and event.id = correction.id
              join known as other on other.batch_no = event.batch_no
         where correction.provider = use.provider and correction.corrected = usage.id
     ) as correcting on true
where usage.month = $1 and use.month = $1 and use.award = $3 and use.item = $4 and use.subject = $5
      and coalesce(last.tariff, use.tariff) = $7::text::date
      and (last.decided is not null or not exists (select from last where last.decided = use.tariff))
"""
_BY_BATCH = f"""
select batch, count(*) as events, count(corrected_by) as corrected,
       coalesce(sum(billed) filter (where corrected_by is null), 0) as billed,
       (array_agg(id order by time, id))[1] as first_id, min(time) as first_at,
       (array_agg(id order by time desc, id desc))[1] as last_id, max(time) as last_at
from ({EVENTS}) as event group by batch
"""
_CORRECTIONS = f"""
select id, quantity, billed, corrected_by, settled_in as batch from ({EVENTS}) as event
where corrected_by is not null order by settled_in, id
"""


def _arguments(books: Books, key: ChargeKey) -> list[Any]:
    return [key.month, list(books.later), key.award, key.item, key.subject, books.contract.rerating, key.tariff]


async def events_behind(
    connection: Connection, books: Books, key: ChargeKey, quantity: Decimal | None
) -> dict[str, Any] | None:
    """Return how many events were charged under a key by then, the first and the last; None where there are none.

    Raises UnexplainedError where they do not add up to the quantity that was charged.
    """
    rows = await connection.fetch(_BY_BATCH, *_arguments(books, key))
    check(f"the events behind {'/'.join(key)}", (row["billed"] for row in rows), quantity or ZERO)
    if not rows:
        return None
    first, last = min(rows, key=lambda row: row["first_at"]), max(rows, key=lambda row: row["last_at"])
    return {
        "events": sum(row["events"] for row in rows),
        "corrected": sum(row["corrected"] for row in rows),
        "billed": total(row["billed"] for row in rows),
        "first": {"id": first["first_id"], "time": first["first_at"], "batch": first["batch"]},
        "last": {"id": last["last_id"], "time": last["last_at"], "batch": last["batch"]},
        "batches": len(rows),
        "by_batch": {row["batch"]: row["events"] for row in rows},
    }


async def corrections_of(connection: Connection, books: Books, key: ChargeKey) -> list[dict[str, Any]]:
    """Return the events under a key that were corrected by then, each with the batch that took it back."""
    return [dict(row) for row in await connection.fetch(_CORRECTIONS, *_arguments(books, key))]


async def every_event(connection: Connection, books: Books, key: ChargeKey) -> AsyncIterator[asyncpg.Record]:
    """Yield the events behind a line, in the order of their time; the connection is in a transaction."""
    async for row in connection.cursor(f"{EVENTS} order by time, id", *_arguments(books, key)):
        yield row


async def posted_on(
    connection: Connection,
    books: Books,
    key: PostingKey,
    events: Mapping[str, Any] | None,
    corrections: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return what was posted on a line: the charges of all batches together, what settling moved its share by, and each
    re-rating and correction by itself.
    """
    rows = await connection.fetch(_POSTED, *key, books.month)
    by_batch = events["by_batch"] if events else {}
    taken_back: dict[Any, list[str]] = {}
    for each in corrections:
        taken_back.setdefault(each["batch"], []).append(f"{each['corrected_by']} corrects {each['id']}")
    charged: list[asyncpg.Record] = []
    settled: list[asyncpg.Record] = []
    made = []
    for row in rows:
        found = {"posted_at": row["posted_at"], "batches": [row["batch"]], "amount": row["amount"], "events": 0}
        if row["kind"] == "true_up":
            settled.append(row)
        elif row["rerating"] is not None:
            made.append({**found, "what": f"re-rating {row['rerating']}"})
        elif row["batch"] in taken_back:
            what = "charged for usage, of which " + ", ".join(taken_back[row["batch"]])
            made.append({**found, "what": what, "events": by_batch.get(row["batch"], 0)})
        else:
            charged.append(row)
    if charged:
        made.insert(0, _together(charged, by_batch, is_late=key.month < books.month))
    if settled:
        made.append(_settled(settled))
    return made


def _settled(rows: Sequence[asyncpg.Record]) -> dict[str, Any]:
    """Return what settling moved a share by in all, while the month was open and at its close."""
    amount = reduce(add, (row["amount"] for row in rows))
    return {"what": "settled", "posted_at": rows[-1]["posted_at"], "batches": [], "amount": amount, "events": 0}


def _together(rows: Sequence[asyncpg.Record], by_batch: Mapping[Any, int], *, is_late: bool) -> dict[str, Any]:
    """Return the charges of many batches as one; the first and the last are named where there are too many."""
    amount = ZERO
    for row in rows:
        amount = add(amount, row["amount"])
    batches = [row["batch"] for row in rows]
    named = batches if len(batches) <= BATCHES_NAMED else [batches[0], batches[-1]]
    return {
        "what": "charged for late usage" if is_late else "charged as usage came",
        "posted_at": rows[-1]["posted_at"],
        "batches": named,
        "of_batches": len(batches),
        "amount": amount,
        "events": sum(by_batch.get(each, 0) for each in batches),
    }
