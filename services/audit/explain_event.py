"""Explaining one event: when it came, what was decided, what it cost, who pays, on which invoice.

An event moves a meter together with the others of its batch. Its own charge is what it adds on top of those before it
in the batch, in their order: the difference of two prices, like every charge.
"""

from dataclasses import asdict
from typing import Any

import asyncpg
import msgspec

from services import contract_store
from services.audit.taken_back import taken_back
from services.contract.charges import ChargeKey, meter_of, price_of
from services.contract.model import Contract, payer
from services.contract.money import ZERO, add
from services.contract.tariff import charge
from services.ingest.events import read
from services.invoicing.settle import Share, pool_parts
from services.kafka import raw_topic
from services.postgres import Connection
from services.reasons import Refusal

# How a use was billed when its batch was rated: as decided, or as a re-rating of the month before that says.
_BILLED = """
left join lateral (
    select rebilled.tariff, rebilled.minimum, rebilled.increment
    from rating.rebilled join contract.rerating using (rerating)
    where (rebilled.award, rebilled.item, rebilled.month, decided) = (use.award, use.item, use.month, use.tariff)
          and usage.time >= begins and usage.time < ends and applied_at <= rated_at
    order by rerating desc limit 1
) as anew on true
"""
_EVENT = f"""
select event.batch_no, event.position, batch.batch, batch.version, batch.accepted_at, batch.rated_at,
       usage.time, usage.quantity, rating.billed(usage.quantity, coalesce(anew.minimum, use.minimum),
                                                 coalesce(anew.increment, use.increment)) as billed, usage.resource,
       usage.raw_partition, usage.raw_offset, usage.received_at,
       use.provider, use.award, use.subject, use.item, use.region, use.month,
       coalesce(anew.tariff, use.tariff) as tariff
from rating.event join rating.batch using (batch_no)
     join rating.usage on usage.batch_no = event.batch_no and usage.position = event.position
     join rating.use on use.use_no = usage.use_no
     {_BILLED}
where event.provider = $1 and event.id = $2
"""
# What was refused for what it corrects did not come again; it is among the rejections.
_AGAIN = """
select batch.batch, batch.rated_at, seen.raw_partition, seen.raw_offset, seen.received_at,
       seen.reason is not null as conflict, seen.quantity
from rating.seen_again as seen join rating.use using (use_no) join rating.batch using (batch_no)
where use.provider = $1 and seen.id = $2 and coalesce(seen.reason, 'conflict') = 'conflict' order by batch_no, position
"""
_REJECTED = """
select reason, explanation, topic, partition, "offset", received_at, version, payload
from ingest.rejection where provider = $1 and event_id = $2 order by received_at
"""
_RERATED = """
select rerating, applied_at from contract.rerated join contract.rerating using (rerating)
where award = $1 and month = $2 and applied_at > $3 order by rerating desc limit 1
"""
_CORRECTS = """
select corrected, exists (
    select from rating.event where event.provider = correction.provider and event.id = corrected) as is_in
from rating.correction where provider = $1 and id = $2 and not too_late
"""
_CORRECTED_BY = "select id, too_late from rating.correction where provider = $1 and corrected = $2"
_CHARGE = """
select before, quantity, amount, scope from rating.charge
where batch_no = $1 and award = $2 and item = $3 and month = $4 and tariff = $5 and subject = $6
"""
# What came before the event in its batch, under the same key.
_EARLIER = f"""
select coalesce(sum(rating.billed(quantity, coalesce(anew.minimum, use.minimum),
                                  coalesce(anew.increment, use.increment))), 0)
from rating.usage join rating.use using (use_no) join rating.batch using (batch_no)
     {_BILLED}
where batch_no = $1 and position < $2 and use.award = $3 and use.item = $4 and use.month = $5
      and coalesce(anew.tariff, use.tariff) = $6 and subject = $7
"""
_METER = """
select quantity, amount from rating.meter where award = $1 and item = $2 and month = $3 and tariff = $4 and scope = $5
"""
# How the event counts now, since the last re-rating.
_BILLED_NOW = """
select billing.tariff, rating.billed(usage.quantity, billing.minimum, billing.increment) as billed
from rating.event join rating.usage on usage.batch_no = event.batch_no and usage.position = event.position
     join rating.billing on billing.use_no = usage.use_no and usage.time >= begins and usage.time < ends
where event.provider = $1 and event.id = $2
"""
# The invoice month that the batch's postings of this key went on, and the invoices issued since.
_INVOICES = """
select distinct posting.institution, posting.invoice_month, invoice.number, month.closed_at
from invoicing.entry join invoicing.posting using (entry)
     join invoicing.month on month.month = invoice_month
     left join invoicing.invoice on invoice.institution = posting.institution and invoice.month = invoice_month
where entry.batch = $1 and side = 'institution' and posting.award = $2 and posting.item = $3 and posting.month = $4
      and posting.tariff = $5 and posting.pool = $6 and posting.institution = any($7::text[])
order by posting.institution
"""


async def explain(connection: Connection, provider: str, event_id: str) -> dict[str, Any] | None:
    """Return everything known about an event, or None when nothing is."""
    event = await connection.fetchrow(_EVENT, provider, event_id)
    again = [dict(row) for row in await connection.fetch(_AGAIN, provider, event_id)]
    rejected = [_refused(row) for row in await connection.fetch(_REJECTED, provider, event_id)]
    if event is None and not again and not rejected:
        return None
    found: dict[str, Any] = {"provider": provider, "id": event_id, "rejected": rejected, "came_again": again}
    if event is None:
        return found
    contract = await contract_store.load_version(connection, event["version"], as_of=event["rated_at"])
    found["event"] = {name: value for name, value in event.items() if name not in {"batch_no", "position", "provider"}}
    found["event"]["topic"] = raw_topic(provider)
    corrects = await connection.fetchrow(_CORRECTS, provider, event_id)
    found["corrects"] = corrects and corrects["corrected"]
    found["corrected_is_in"] = corrects and corrects["is_in"]
    by = await connection.fetchrow(_CORRECTED_BY, provider, event_id)
    found["corrected_by"] = by and by["id"]
    found["too_late"] = bool(by and by["too_late"])
    found["price"] = await _priced(connection, contract, event)
    found["taken_back"] = await taken_back(connection, provider, event_id)
    again_priced = None if found["taken_back"] else await _rerated(connection, event_id, event, found["price"])
    found["rerated"] = again_priced
    found["payers"] = await _payers(connection, event, Share(event["billed"], found["price"]["amount"]))
    return found


def _refused(row: asyncpg.Record) -> dict[str, Any]:
    """Return a rejection with what its message said, as far as it can be read."""
    said = read(row["payload"] or b"")
    return {
        **{name: value for name, value in row.items() if name != "payload"},
        "said": None if isinstance(said, Refusal) else msgspec.structs.asdict(said),
    }


async def _priced(connection: Connection, contract: Contract, event: asyncpg.Record) -> dict[str, Any]:
    key = _key(event)
    place = (key.award, key.item, key.month, event["tariff"], key.subject)
    charged = await connection.fetchrow(_CHARGE, event["batch_no"], *place)
    assert charged is not None, f"batch {event['batch']} has no charge for {place}"
    earlier = await connection.fetchval(_EARLIER, event["batch_no"], event["position"], *place)
    before = add(charged["before"], earlier)
    after = add(before, event["billed"])
    price = price_of(contract, key)
    return {
        "tariff": f"{key.award} from {key.tariff}, contract version {event['version']}",
        "model": price.model.kind,
        "percent_of_list": price.percent_of_list,
        "indexed": [asdict(each) for each in price.indexed],
        "meter_scope": charged["scope"],
        "meter_before": before,
        "meter_after": after,
        "amount": charge(price, before, after),
        "currency": contract.currency,
        "currency_of_price": price.currency or contract.currency,
        "rate": price.rate,
        "rate_of_month": price.rate_month,
        "rate_is_provisional": price.is_provisional,
        "steps_before": [asdict(step) for step in price.steps(before)],
        "steps_after": [asdict(step) for step in price.steps(after)],
    }


async def _rerated(
    connection: Connection, event_id: str, event: asyncpg.Record, priced: dict[str, Any]
) -> dict[str, Any] | None:
    """Return what the event costs since its month was priced again; None where it was not."""
    row = await connection.fetchrow(_RERATED, event["award"], event["month"], event["rated_at"])
    if row is None:
        return None
    now = await connection.fetchrow(_BILLED_NOW, event["provider"], event_id)
    assert now is not None, "it was rated"
    key = _key(event)._replace(tariff=now["tariff"].isoformat())
    contract = await contract_store.load_version(connection, event["version"])
    price, meter = price_of(contract, key), meter_of(contract, key)
    stands = await connection.fetchrow(_METER, key.award, key.item, key.month, now["tariff"], meter.scope)
    quantity, amount = (stands["quantity"], stands["amount"]) if stands else (ZERO, ZERO)
    # On another meter nothing says which part of it the event is: there are only all of them together.
    is_same = (meter.scope, now["tariff"], now["billed"]) == (priced["meter_scope"], event["tariff"], event["billed"])
    return {
        "rerating": row["rerating"],
        "applied_at": row["applied_at"],
        "tariff": f"{key.award} from {key.tariff}",
        "billed": now["billed"],
        "price": price.brief(),
        "amount": charge(price, priced["meter_before"], priced["meter_after"]) if is_same else None,
        "meter_scope": meter.scope,
        "meter_quantity": quantity,
        "meter_amount": amount,
        "steps": [asdict(step) for step in price.steps(quantity)],
    }


async def _payers(connection: Connection, event: asyncpg.Record, share: Share) -> list[dict[str, Any]]:
    subject, stored = event["subject"], await contract_store.newest(connection)
    assert stored is not None, "it was rated"
    pool = stored.contract.pool(subject.removeprefix("pool/"), event["month"]) if subject.startswith("pool/") else None
    parts = pool_parts(pool, share, await _direct(connection, event["month"])) if pool else {subject: share}
    rows = await connection.fetch(
        _INVOICES, event["batch"], event["award"], event["item"], event["month"], event["tariff"],
        pool.code if pool else "", [payer(member) for member in parts],
    )  # fmt: skip
    invoices = {row["institution"]: row for row in rows}
    return [
        {
            "payer": member,
            "key": f"pool {pool.code}, {pool.key}" if pool else "direct",
            "amount": part.amount,
            "invoice_month": invoices[payer(member)]["invoice_month"] if payer(member) in invoices else None,
            "invoice": invoices[payer(member)]["number"] if payer(member) in invoices else None,
            "is_closed": invoices[payer(member)]["closed_at"] is not None if payer(member) in invoices else None,
        }
        for member, part in parts.items()
    ]


async def _direct(connection: Connection, month: str) -> dict[str, Any]:
    rows = await connection.fetch(
        "select subject, sum(amount) as amount from invoicing.charged "
        "where month = $1 and subject not like 'pool/%' group by subject",
        month,
    )
    return {row["subject"]: row["amount"] for row in rows}


def _key(event: asyncpg.Record) -> ChargeKey:
    return ChargeKey(event["award"], event["item"], event["month"], event["tariff"].isoformat(), event["subject"])
