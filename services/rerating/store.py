"""A re-rating in the books: its file, the difference on each meter, and the charges, all in one transaction.

Rating holds a lock for every batch that is taken here alone, so that no batch is priced half before and half after.
"""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg

from services import contract_store
from services.contract.charges import ChargeKey, MeterKey
from services.contract.fees import is_fee
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.months import first_day, midnight, month_of, next_month
from services.contract.problems import Problem, one_of
from services.contract.succession import reserved_otherwise, stretches
from services.contract_store import ContractError, StoredContract
from services.decisions.enter import enter_rerating
from services.invoicing.settle import NOTHING, Share
from services.invoicing.used import Unpriced, quantities
from services.kafka import Message
from services.postgres import Connection
from services.rating import sql
from services.rating.meter import Charge
from services.rating.store import keep_charges, move_meters, price_meters
from services.rating.unposted import message_of, unposted
from services.rerating.changes import changes
from services.rerating.plan import Charged, Moved, Plan, plan, problems, rebilled

_CHARGED = """
select award, item, month, tariff, subject, sum(quantity) as quantity, sum(amount) as amount, currency,
       coalesce(sum(currency_amount), 0) as in_currency
from rating.charge where month = $1 group by award, item, month, tariff, subject, currency
"""
# Not by the sequence: a database that was restored would give other numbers.
_ENTER = """
insert into contract.rerating (rerating, sha256, file, batch, applied_at, applied_by) overriding system value
select coalesce(max(rerating), 0) + 1, $1, $2, $3, coalesce($4, now()), coalesce($5, current_user)
from contract.rerating returning rerating
"""
_ENTER_AWARDS = "insert into contract.rerated (rerating, award, month) select $1, unnest($2::text[]), $3"
_ENTER_REBILLED = """
insert into rating.rebilled (rerating, award, item, month, decided, begins, ends, tariff, minimum, increment)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_REBILLED_BEFORE = "select distinct award from rating.rebilled where month = $1"
_EVER, _NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
_ENTER_BATCH = """
insert into rating.batch (batch, version, accepted_at, rated_at, events)
values ($1, $2, coalesce($3, now()), coalesce($3, now()), 0) returning batch_no
"""


@dataclass(frozen=True, slots=True)
class Again:
    """The id of a re-rating's batch; of one that is entered again also when it was first, and by whom."""

    batch: uuid.UUID
    at: datetime | None = None
    by: str | None = None


async def look(connection: Connection, text: str, month: str, award: str | None) -> tuple[StoredContract, Plan]:
    """Return what the file would change; raises ContractError where it can't be, LookupError without a contract."""
    stored = await contract_store.newest(connection)
    if stored is None:
        raise LookupError("no contract is applied yet: run `plafond contract apply FILE`")
    agreed, fixed = stored.contract, _loaded(text)
    if found := [*problems(agreed, fixed), *_misnamed(agreed, month, award)]:
        raise ContractError(found)
    charged = _charged(await connection.fetch(_CHARGED, month))
    involved = {key.award for key in charged} | set(reserved_otherwise(agreed, fixed, month))
    awards = sorted(each for each in involved if award in {None, each})
    made = await _planned(connection, agreed, fixed, month, awards, charged)
    return stored, replace(made, changes=await changes(connection, agreed, made))


def _loaded(text: str) -> Contract:
    fixed = load(text)
    if not isinstance(fixed, Contract):
        raise ContractError(fixed)
    return fixed


async def _planned(
    connection: Connection,
    agreed: Contract,
    fixed: Contract,
    month: str,
    awards: Sequence[str],
    charged: Mapping[ChargeKey, Charged],
) -> Plan:
    usage = await _usage(connection, agreed, fixed, month, awards, charged)
    return plan(agreed, fixed, month, charged, usage, awards)


def _misnamed(agreed: Contract, month: str, award: str | None) -> list[Problem]:
    """Return why the month or the award is none of the contract's: a slip must not look as if all were right."""
    found = []
    if award is not None and award not in agreed.awards:
        found.append(Problem("--award", repr(award), one_of(agreed.awards, "awards", award)))
    first, last = month_of(agreed.starts), month_of(agreed.ends - timedelta(days=1))
    if not first <= month <= last:
        found.append(Problem("--month", month, f"a month of the contract, from {first} to {last}"))
    return found


def _charged(rows: Iterable[asyncpg.Record]) -> dict[ChargeKey, Charged]:
    """Return what each key was charged, if there is anything left of it: a re-rating may have taken it back."""
    charged: dict[ChargeKey, Charged] = {}
    for row in rows:
        key = ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"])
        share = Share(row["quantity"], row["amount"])
        if share == NOTHING:
            continue
        if key in charged:
            raise ValueError(f"{'/'.join(key)} is charged in {charged[key].currency} and in {row['currency']} at once")
        charged[key] = Charged(share, row["currency"], row["in_currency"])
    return charged


async def _usage(
    connection: Connection,
    agreed: Contract,
    fixed: Contract,
    month: str,
    awards: Sequence[str],
    charged: Mapping[ChargeKey, Charged],
) -> dict[ChargeKey, Decimal]:
    """Return the awards' usage as the right contract counts it: from the charges, or from events where that differs."""
    anew = rebilled(agreed, fixed, month, awards)
    usage = {
        key: each.share.quantity
        for key, each in charged.items()
        if key.award in awards and key.award not in anew and not is_fee(agreed, key)
    }
    found = {Unpriced(key.award, key.item, key.subject, ZERO) for key in usage if not _is_priced(fixed, key)}
    if anew:
        used, unpriced = await quantities(connection, fixed, [month])
        usage |= {key: quantity for key, quantity in used.get(month, {}).items() if key.award in anew}
        found |= {each for each in unpriced if each.award in anew}
    if found:
        raise ContractError(
            [
                Problem(f"tariffs[{each.award}].prices[{each.item}]", "nothing", f"a price: {each.subject} used it")
                for each in sorted(found, key=lambda each: (each.award, each.item, each.subject))
            ]
        )
    return usage


def _is_priced(fixed: Contract, key: ChargeKey) -> bool:
    tariff = date.fromisoformat(key.tariff)
    return key.subject in fixed.subjects and fixed.has_price(key.award, key.item, tariff)


async def post(connection: Connection, text: str, month: str, award: str | None) -> Plan:
    """Enter the difference that a file makes to a month; where it makes none, enter nothing."""
    async with connection.transaction():
        await connection.execute(sql.TAKE_RERATING)
        stored, made = await look(connection, text, month, award)
        if made.awards:
            number = await _enter(connection, stored, text, made, Again(uuid.uuid4()))
            await enter_rerating(connection, number)
        return made


async def post_again(
    connection: Connection, version: int, text: str, month: str, awards: Sequence[str], again: Again
) -> int:
    """Enter in the caller's transaction what a re-rating of some awards was, and return its number.

    The charges are the difference to what is charged now: whatever was charged before, all comes to the same.
    """
    await connection.execute(sql.TAKE_RERATING)
    agreed, fixed = await contract_store.load_version(connection, version), _loaded(text)
    charged = _charged(await connection.fetch(_CHARGED, month))
    made = await _planned(connection, agreed, fixed, month, awards, charged)
    made = replace(made, awards=tuple(awards), rebilled=tuple(rebilled(agreed, fixed, month, awards)))
    return await _enter(connection, StoredContract(version, agreed), text, made, again)


async def waiting(connection: Connection) -> list[tuple[uuid.UUID, Message]]:
    """Return the re-ratings that invoicing has not posted, each as the message of `charges` that it waits for."""
    rows = await unposted(connection, only_reratings=True)
    return [(row["batch"], await message_of(connection, row)) for row in rows]


async def _enter(connection: Connection, stored: StoredContract, text: str, made: Plan, again: Again) -> int:
    sha256 = hashlib.sha256(text.encode()).digest()
    number: int = await connection.fetchval(_ENTER, sha256, text, again.batch, again.at, again.by)
    await connection.execute(_ENTER_AWARDS, number, list(made.awards), made.month)
    contract = await contract_store.load_version(connection, stored.version)
    if rows := await _rebilled(connection, stored.contract, contract, made):
        await connection.executemany(_ENTER_REBILLED, [(number, *row) for row in rows])
    batch_no = await connection.fetchval(_ENTER_BATCH, again.batch, stored.version, again.at)
    if not made.moved:
        return number  # only what is due for unused reservations is another, and the next close posts that
    moves: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    for each in made.moved:
        moves[each.meter] = add(moves[each.meter], each.share.quantity)
    await move_meters(connection, moves)
    charges = [_charge(each) for each in made.moved]
    await price_meters(connection, charges)
    await keep_charges(connection, batch_no, stored.version, charges)
    return number


async def _rebilled(
    connection: Connection, agreed: Contract, contract: Contract, made: Plan
) -> list[tuple[str, str, str, date, datetime, datetime, date, Decimal, Decimal]]:
    """Return how events count from now on, where that is not, or was not, as it was decided when they came.

    By award, item and the tariff that was decided on: from when until when another one holds, and what it bills for.
    """
    before = {row["award"] for row in await connection.fetch(_REBILLED_BEFORE, made.month)}
    span = (first_day(made.month), first_day(next_month(made.month)))
    rows = []
    for award in sorted({*made.rebilled, *(before & set(made.awards))}):
        fixed = contract.rerated[award, made.month]
        now = [each for each in stretches(fixed, award, span) if each.tariff is not None]
        in_force = {each.tariff for each in stretches(agreed, award, span)}
        decided = [each for each in agreed.tariffs_by_award[award] if each.valid_from in in_force]
        for each_item in ((each, item) for each in decided for item in each.metered):
            tariff, item = each_item
            if not all(fixed.has_price(award, item, each.tariff) for each in now if each.tariff):
                continue
            for place, each in enumerate(now):
                assert each.tariff is not None, "others are left out"
                price = fixed.price(award, item, each.tariff)
                begins = _EVER if place == 0 else midnight(each.begins, contract.zone)
                ends = _NEVER if place == len(now) - 1 else midnight(each.ends, contract.zone)
                rows.append(
                    (award, item, made.month, tariff.valid_from, begins, ends, each.tariff, price.minimum,
                     price.increment)
                )  # fmt: skip
    return rows


def _charge(moved: Moved) -> Charge:
    in_currency = moved.in_currency if moved.currency else None
    return Charge(
        moved.key, moved.meter, moved.before, moved.share.quantity, moved.share.amount, moved.currency, moved.rate,
        in_currency, moved.is_fee,
    )  # fmt: skip
