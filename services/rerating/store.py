"""A re-rating in the books: its file, the difference on each meter, and the charges, all in one transaction.

Rating holds a lock for every batch that is taken here alone, so that no batch is priced half before and half after.
"""

import hashlib
import uuid
from collections import defaultdict
from datetime import date

from services import contract_store
from services.avro import codec
from services.contract.charges import ChargeKey, MeterKey, meter_of
from services.contract.fees import is_fee
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import plain
from services.contract_store import ContractError, StoredContract
from services.invoicing.post import plus
from services.invoicing.settle import NOTHING, Share
from services.kafka import CHARGES, Message
from services.postgres import Connection
from services.rerating.plan import Plan, plan, problems

_LOCK = "select pg_advisory_xact_lock(hashtext('rerating'))"
_CHARGED = """
select award, item, month, tariff, subject, sum(quantity) as quantity, sum(amount) as amount
from rating.charge where month = $1 group by award, item, month, tariff, subject
"""
_ENTER = "insert into contract.rerating (sha256, file, batch) values ($1, $2, $3) returning rerating"
_ENTER_AWARDS = "insert into contract.rerated (rerating, award, month) select $1, unnest($2::text[]), $3"
_ENTER_BATCH = """
insert into rating.batch (batch, version, accepted_at, events) values ($1, $2, now(), 0) returning batch_no
"""
_MOVE_METERS = """
insert into rating.meter as meter (award, item, month, tariff, scope, quantity, amount)
select award, item, month, tariff, scope, quantity::numeric, amount::numeric
from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::text[], $6::text[], $7::text[])
     as moved(award, item, month, tariff, scope, quantity, amount)
order by award, item, month, tariff, scope
on conflict (award, item, month, tariff, scope)
    do update set quantity = meter.quantity + excluded.quantity, amount = meter.amount + excluded.amount
"""
_KEEP_CHARGES = """
insert into rating.charge (batch_no, version, award, item, month, tariff, subject, scope, before, quantity, amount,
                           is_fee)
select $1, $2, award, item, month, tariff, subject, scope, before::numeric, quantity::numeric, amount::numeric, is_fee
from unnest($3::text[], $4::text[], $5::text[], $6::date[], $7::text[], $8::text[], $9::text[], $10::text[],
            $11::text[], $12::boolean[])
     as made(award, item, month, tariff, subject, scope, before, quantity, amount, is_fee)
"""
_WAITING = """
select batch, version, accepted_at from rating.batch join contract.rerating using (batch)
where not exists (select from invoicing.batch as posted where posted.batch = batch.batch) order by batch_no
"""
_LINES = """
select award, item, month, tariff, subject, quantity, amount from rating.charge join rating.batch using (batch_no)
where batch = $1 order by award, item, month, tariff, subject
"""


async def look(connection: Connection, text: str, month: str, award: str | None) -> tuple[StoredContract, Plan]:
    """Return what the file would change; raises ContractError where it can't be, LookupError without a contract."""
    stored = await contract_store.newest(connection)
    if stored is None:
        raise LookupError("no contract is applied yet: run `plafond contract apply FILE`")
    fixed = load(text)
    if not isinstance(fixed, Contract):
        raise ContractError(fixed)
    charged = {
        ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"]): Share(
            row["quantity"], row["amount"]
        )
        for row in await connection.fetch(_CHARGED, month)
    }
    mine = [key for key in charged if award in {None, key.award}]
    if found := problems(stored.contract, fixed, month, mine):
        raise ContractError(found)
    return stored, plan(stored.contract, fixed, month, award, charged)


async def post(connection: Connection, text: str, month: str, award: str | None) -> Plan:
    """Enter the difference that a file makes to a month; where it makes none, enter nothing."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        stored, made = await look(connection, text, month, award)
        if made.moved:
            await _enter(connection, stored, text, made)
        return made


async def waiting(connection: Connection) -> list[tuple[uuid.UUID, Message]]:
    """Return the re-ratings that invoicing has not posted, each as the message of `charges` that it waits for."""
    messages = []
    for batch in await connection.fetch(_WAITING):
        lines = [
            {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()}
            | {name: plain(row[name]) for name in ("quantity", "amount")}
            for row in await connection.fetch(_LINES, batch["batch"])
        ]
        record = {
            "batch": str(batch["batch"]),
            "version": batch["version"],
            "accepted_at": int(batch["accepted_at"].timestamp() * 1_000_000),
            "lines": lines,
        }
        value = codec("charge_batch").encode(record)
        messages.append((batch["batch"], Message(CHARGES, value, key=str(batch["batch"]).encode())))
    return messages


async def _enter(connection: Connection, stored: StoredContract, text: str, made: Plan) -> None:
    batch = uuid.uuid4()
    number = await connection.fetchval(_ENTER, hashlib.sha256(text.encode()).digest(), text, batch)
    await connection.execute(_ENTER_AWARDS, number, list(made.awards), made.month)
    contract = await contract_store.load_version(connection, stored.version)
    batch_no = await connection.fetchval(_ENTER_BATCH, batch, stored.version)
    meters: dict[MeterKey, Share] = defaultdict(lambda: NOTHING)
    for key, share in made.moved.items():
        meters[meter_of(contract, key)] = plus(meters[meter_of(contract, key)], share)
    award, item, month, tariff, scope = map(list, zip(*meters, strict=True))
    await connection.execute(
        _MOVE_METERS, award, item, month, _days(tariff), scope,
        [plain(each.quantity) for each in meters.values()], [plain(each.amount) for each in meters.values()],
    )  # fmt: skip
    award, item, month, tariff, subject = map(list, zip(*made.moved, strict=True))
    await connection.execute(
        _KEEP_CHARGES, batch_no, stored.version, award, item, month, _days(tariff), subject,
        [meter_of(contract, key).scope for key in made.moved], [plain(made.before[key]) for key in made.moved],
        [plain(each.quantity) for each in made.moved.values()], [plain(each.amount) for each in made.moved.values()],
        [is_fee(contract, key) for key in made.moved],
    )  # fmt: skip


def _days(texts: list[str]) -> list[date]:
    return [date.fromisoformat(text) for text in texts]
