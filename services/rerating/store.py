"""A re-rating in the books: its file, the difference on each meter, and the charges, all in one transaction.

Rating holds a lock for every batch that is taken here alone, so that no batch is priced half before and half after.
"""

import hashlib
import uuid
from collections import defaultdict
from decimal import Decimal

from services import contract_store
from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract_store import ContractError, StoredContract
from services.invoicing.settle import Share
from services.kafka import Message
from services.postgres import Connection
from services.rating import sql
from services.rating.message import charge_message
from services.rating.meter import Charge
from services.rating.store import keep_charges, move_meters, price_meters, stored_charges
from services.rerating.plan import Plan, plan, problems

_CHARGED = """
select award, item, month, tariff, subject, sum(quantity) as quantity, sum(amount) as amount
from rating.charge where month = $1 group by award, item, month, tariff, subject
"""
_ENTER = "insert into contract.rerating (sha256, file, batch) values ($1, $2, $3) returning rerating"
_ENTER_AWARDS = "insert into contract.rerated (rerating, award, month) select $1, unnest($2::text[]), $3"
_ENTER_BATCH = """
insert into rating.batch (batch, version, accepted_at, events) values ($1, $2, now(), 0) returning batch_no
"""
_WAITING = """
select batch, version, accepted_at from rating.batch join contract.rerating using (batch)
where not exists (select from invoicing.batch as posted where posted.batch = batch.batch) order by batch_no
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
        await connection.execute(sql.TAKE_RERATING)
        stored, made = await look(connection, text, month, award)
        if made.moved:
            await _enter(connection, stored, text, made)
        return made


async def waiting(connection: Connection) -> list[tuple[uuid.UUID, Message]]:
    """Return the re-ratings that invoicing has not posted, each as the message of `charges` that it waits for."""
    messages = []
    for row in await connection.fetch(_WAITING):
        charges = await stored_charges(connection, row["batch"])
        accepted_at = int(row["accepted_at"].timestamp() * 1_000_000)
        messages.append((row["batch"], charge_message(str(row["batch"]), row["version"], accepted_at, charges)))
    return messages


async def _enter(connection: Connection, stored: StoredContract, text: str, made: Plan) -> None:
    batch = uuid.uuid4()
    number = await connection.fetchval(_ENTER, hashlib.sha256(text.encode()).digest(), text, batch)
    await connection.execute(_ENTER_AWARDS, number, list(made.awards), made.month)
    contract = await contract_store.load_version(connection, stored.version)
    batch_no = await connection.fetchval(_ENTER_BATCH, batch, stored.version)
    charges = [_charge(contract, key, made.before[key], share) for key, share in made.moved.items()]
    moves: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    for each in charges:
        moves[each.meter] = add(moves[each.meter], each.quantity)
    await move_meters(connection, moves)
    await price_meters(connection, charges)
    await keep_charges(connection, batch_no, contract, stored.version, charges)


def _charge(contract: Contract, key: ChargeKey, before: Decimal, share: Share) -> Charge:
    price = price_of(contract, key)
    return Charge(key, meter_of(contract, key), before, share.quantity, share.amount, price.currency, price.rate)
