"""Rating's books: one batch, one transaction.

The batch's id, its events, its meters and its charges commit together or not at all. A batch that is already
in only answers with its stored charges.
"""

import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from services.contract.charges import ChargeKey, MeterKey, meter_of
from services.contract.model import Contract
from services.contract.money import ZERO, add, plain, subtract
from services.contract.months import month_of, months_between
from services.postgres import Connection
from services.rating import sql
from services.rating.meter import Charge, charges

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USE_FIELDS = ("provider", "award", "subject", "item", "region", "month", "tariff")
Use = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rated:
    """What a batch came to: `conflicts` are positions in the batch (from 1); `again` tells that it was in already."""

    charges: list[tuple[ChargeKey, Decimal, Decimal]]
    conflicts: list[int]
    repeats: int
    again: bool


class Books:
    """The rating schema, and the numbers of the uses that this process has met."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._use_numbers: dict[Use, int] = {}

    async def rate(self, batch: dict[str, Any], contract: Contract) -> Rated:
        """Rate a record of `schemas/usage_batch.avsc`, or find that it was rated already."""
        uses = [tuple(use[name] for name in _USE_FIELDS) for use in batch["uses"]]
        async with self._pool.acquire() as connection:
            numbers = await self._numbers(connection, uses)
            async with connection.transaction():
                batch_no = await connection.fetchval(
                    sql.ENTER_BATCH,
                    uuid.UUID(batch["batch"]),
                    batch["version"],
                    EPOCH + timedelta(microseconds=batch["accepted_at"]),
                    len(batch["use"]),
                )
                if batch_no is None:
                    return await _stored(connection, batch["batch"])
                return await _rate_new(connection, batch_no, batch, numbers, uses, contract)

    async def park(
        self, topic: str, partition: int, offset: int, received_at: float, error: str, payload: bytes
    ) -> None:
        """Keep a message that can't be read, whole."""
        at = datetime.fromtimestamp(received_at, UTC)
        async with self._pool.acquire() as connection:
            await connection.execute(sql.PARK, topic, partition, offset, at, error, payload)

    async def make_partitions(self, contract: Contract) -> None:
        """Make the usage table's partitions for every month of the contract, ahead of use."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext('rating.usage partitions'))")
            for month in months_between(month_of(contract.starts), month_of(contract.ends)):
                name = f"usage_{month.replace('-', '_')}"
                if await connection.fetchval("select to_regclass($1)", f"rating.{name}") is None:
                    await connection.execute(
                        f"create table if not exists rating.{name} partition of rating.usage for values in ('{month}')"
                    )

    async def _numbers(self, connection: Connection, uses: list[Use]) -> list[int]:
        """Return the uses' numbers; new ones are entered first, outside the batch's transaction."""
        missing = sorted({use for use in uses if use not in self._use_numbers})
        if missing:
            columns = [*map(list, zip(*missing, strict=True))]
            columns[-1] = [date.fromisoformat(day) for day in columns[-1]]
            await connection.execute(sql.ENTER_USES, *columns)
            for row in await connection.fetch(sql.FIND_USES, *columns):
                found = tuple(row[name] for name in _USE_FIELDS[:-1])
                self._use_numbers[(*found, row["tariff"].isoformat())] = row["use_no"]
        return [self._use_numbers[use] for use in uses]


async def _rate_new(
    connection: Connection,
    batch_no: int,
    batch: dict[str, Any],
    numbers: list[int],
    uses: list[Use],
    contract: Contract,
) -> Rated:
    fresh, known = await _sort_out(connection, batch_no, batch, uses)
    columns = _columns_of(batch, numbers)
    kept = await connection.fetch(sql.KEEP_USAGE, batch_no, *_only(fresh, columns)) if fresh else []
    again = await _keep_seen_again(connection, batch_no, batch, uses, _only(known, columns)) if known else []
    assert len(fresh) + len(again) == len(batch["use"]), f"batch {batch['batch']}: {len(fresh)} + {len(again)} events"
    key_of = dict(zip(numbers, map(_charge_key, uses), strict=True))
    quantities: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    for row in kept:
        quantities[key_of[row["use_no"]]] = add(quantities[key_of[row["use_no"]]], row["quantity"])
    made = await _charge(connection, contract, quantities)
    await _keep_charges(connection, batch_no, batch["version"], made)
    conflicts = [row["position"] for row in again if row["conflict"]]
    repeats = len(again) - len(conflicts)
    await connection.execute(sql.COUNT_BATCH, batch_no, len(fresh), repeats, len(conflicts))
    return Rated([(each.key, each.quantity, each.amount) for each in made], conflicts, repeats, again=False)


async def _sort_out(
    connection: Connection, batch_no: int, batch: dict[str, Any], uses: list[Use]
) -> tuple[list[int], list[int]]:
    """Enter the events' keys; return the positions, from 1, of the new events and of those that were known."""
    providers = [use[0] for use in uses]
    every = range(1, len(batch["use"]) + 1)
    known = await connection.fetchval(
        sql.KEEP_KEYS, batch_no, [providers[use] for use in batch["use"]], batch["id"], batch["digest"], len(every)
    )
    if not known:
        return list(every), []
    again = set(known)
    return [each for each in every if each not in again], sorted(again)


def _columns_of(batch: dict[str, Any], numbers: list[int]) -> list[list[Any]]:
    names = ("id", "time", "quantity", "resource", "raw_partition", "raw_offset", "received_at")
    return [
        list(range(1, len(batch["use"]) + 1)),
        [numbers[use] for use in batch["use"]],
        *(batch[name] for name in names),
    ]


def _only(positions: list[int], columns: list[list[Any]]) -> list[list[Any]]:
    """Return the columns' entries at these positions."""
    if len(positions) == len(columns[0]):
        return columns
    return [[column[position - 1] for position in positions] for column in columns]


async def _keep_seen_again(
    connection: Connection, batch_no: int, batch: dict[str, Any], uses: list[Use], columns: list[list[Any]]
) -> list[asyncpg.Record]:
    indexes = [position - 1 for position in columns[0]]
    providers = [uses[batch["use"][index]][0] for index in indexes]
    digests = [batch["digest"][index] for index in indexes]
    return await connection.fetch(sql.KEEP_SEEN_AGAIN, batch_no, *columns, providers, digests)


async def _charge(connection: Connection, contract: Contract, quantities: dict[ChargeKey, Decimal]) -> list[Charge]:
    """Move the meters and return the charges; the meters' rows stay locked until the transaction ends."""
    moves: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    for key, quantity in quantities.items():
        meter = meter_of(contract, key)
        moves[meter] = add(moves[meter], quantity)
    if not moves:
        return []
    after = await connection.fetch(sql.MOVE_METERS, *_columns(moves), [plain(each) for each in moves.values()])
    before = {}
    for row in after:
        meter = MeterKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["scope"])
        before[meter] = subtract(row["quantity"], moves[meter])
    made = charges(contract, quantities, before)
    amounts: dict[MeterKey, Decimal] = dict.fromkeys(moves, ZERO)
    for each in made:
        amounts[each.meter] = add(amounts[each.meter], each.amount)
    await connection.execute(sql.PRICE_METERS, *_columns(amounts), [plain(each) for each in amounts.values()])
    return made


def _columns(meters: dict[MeterKey, Decimal]) -> list[list[Any]]:
    award, item, month, tariff, scope = map(list, zip(*meters, strict=True))
    return [award, item, month, [date.fromisoformat(day) for day in tariff], scope]


async def _keep_charges(connection: Connection, batch_no: int, version: int, made: list[Charge]) -> None:
    await connection.execute(
        sql.KEEP_CHARGES,
        batch_no,
        version,
        [each.key.award for each in made],
        [each.key.item for each in made],
        [each.key.month for each in made],
        [date.fromisoformat(each.key.tariff) for each in made],
        [each.key.subject for each in made],
        [each.meter.scope for each in made],
        [plain(each.before) for each in made],
        [plain(each.quantity) for each in made],
        [plain(each.amount) for each in made],
    )


async def _stored(connection: Connection, batch: str) -> Rated:
    rows = await connection.fetch(sql.STORED_CHARGES, uuid.UUID(batch))
    lines = [
        (
            ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"]),
            row["quantity"],
            row["amount"],
        )
        for row in rows
    ]
    conflicts = await connection.fetch(sql.STORED_CONFLICTS, uuid.UUID(batch))
    return Rated(lines, [row["position"] for row in conflicts], 0, again=True)


def _charge_key(use: Use) -> ChargeKey:
    _, award, subject, item, _, month, tariff = use
    return ChargeKey(award, item, month, tariff, subject)
