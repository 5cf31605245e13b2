"""Rating's books: one batch, one transaction.

The batch's id, its events, its meters and its charges commit together or not at all. A batch that is already
in only answers with its stored charges.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg

from services.contract.charges import ChargeKey, MeterKey, meter_of
from services.contract.fees import fee_quantities
from services.contract.model import Contract
from services.contract.money import ZERO, add, plain, subtract
from services.contract.months import month_of, months_between
from services.kafka import Place, raw_topic
from services.postgres import Connection, copy_in
from services.rating import sql
from services.rating.meter import Charge, charges
from services.rating.taken_out import TakenOut, keep_seen_again, refused_corrections, turn_late_round
from services.reasons import Reason, Refusal

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USE_FIELDS = ("provider", "award", "subject", "item", "region", "month", "tariff")
_TARIFF = len(_USE_FIELDS) - 1
_NO_ROUNDING = ("0", "0")
_NULL = r"\N"
Use = tuple[str, ...]


class ReratedError(Exception):
    """Prices were re-rated since the contract was loaded; `number` says which re-rating it must know of."""

    def __init__(self, number: int) -> None:
        super().__init__(f"re-rating {number} came after the contract was loaded")
        self.number = number


class Conflict(NamedTuple):
    """An event that contradicts an earlier one, where it came from, why, and what was found.

    `is_shown` tells that it is among the rejections.
    """

    provider: str
    id: str
    place: Place
    refusal: Refusal
    is_shown: bool


@dataclass(frozen=True, slots=True)
class Rated:
    """What a batch came to; `taken` counts events by provider, `again` tells that the batch was in already."""

    charges: list[tuple[ChargeKey, Decimal, Decimal]]
    conflicts: list[Conflict]
    repeats: int
    taken: Mapping[str, int]
    again: bool = False


class Books:
    """The rating schema, and the numbers of the uses that this process has met.

    The pool's connections have the table of `sql.STAGING`. `again_after` is set while batches are rated again that a
    restored database lacks: the instant after which they were rated before. Of conflicting events, those that
    were rejected then are rejected again, whichever comes first.
    """

    def __init__(self, pool: asyncpg.Pool, again_after: datetime | None = None) -> None:
        self._pool, self.again_after = pool, again_after
        self._use_numbers: dict[Use, int] = {}
        self._repeats_likely = False

    async def rate(self, batch: dict[str, Any], place: Place, contract: Contract) -> Rated:
        """Rate a record of `schemas/usage_batch.avsc` that came from a place, or find that it was rated already.

        Raises asyncpg.DataError or ValueError where the rows are none, and ReratedError where the contract is too old.
        """
        uses = [_use(contract, use) for use in batch["uses"]]
        async with self._pool.acquire() as connection:
            numbers = await self._numbers(connection, uses)
            async with connection.transaction():
                await connection.execute(sql.TAKE_RERATING if batch["corrections"] else sql.HOLD_RERATING)
                entered = await connection.fetchrow(
                    sql.ENTER_BATCH,
                    uuid.UUID(batch["batch"]),
                    batch["version"],
                    EPOCH + timedelta(microseconds=batch["accepted_at"]),
                    batch["events"],
                    place.partition,
                    place.received_at,
                    self._rated_at(place),
                )
                if entered is None:
                    return await _stored(connection, batch["batch"])
                batch_no: int = entered["batch_no"]
                if entered["rerating"] > contract.rerating:
                    raise ReratedError(entered["rerating"])
                await _stage(connection, batch)
                seen = await self._take_out(connection, batch_no, batch, numbers, contract)
                cancels = bool(batch["corrections"]) or entered["any_open"]
                return await _rate_new(connection, batch_no, batch, numbers, uses, seen, contract, cancels=cancels)

    def _rated_at(self, place: Place) -> datetime | None:
        """Return when a batch that is rated again was rated about; None for now."""
        if self.again_after is None:
            return None
        return max(self.again_after, EPOCH + timedelta(milliseconds=place.received_at))

    async def park(self, place: Place, error: str, payload: bytes) -> None:
        """Keep a message that can't be read, whole."""
        async with self._pool.acquire() as connection:
            await connection.execute(sql.PARK, *place, error, payload)

    async def make_partitions(self, contract: Contract) -> None:
        """Make the usage table's partitions for every month of the contract, ahead of use."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext('rating.usage partitions'))")
            for month in months_between(month_of(contract.starts), month_of(contract.ends)):
                name = f"usage_{month.replace('-', '_')}"
                if await connection.fetchval("select to_regclass($1)", f"rating.{name}") is None:
                    await connection.execute(
                        f"create table if not exists rating.{name} partition of rating.usage for values in ('{month}') "
                        "with (autovacuum_vacuum_insert_threshold = 50000000)"  # as in migration 0028
                    )

    async def _numbers(self, connection: Connection, uses: list[Use]) -> list[int]:
        """Return the uses' numbers; new ones are entered first, outside the batch's transaction."""
        missing = sorted({use for use in uses if use not in self._use_numbers})
        if missing:
            columns = [*map(list, zip(*missing, strict=True))]
            columns[_TARIFF] = [date.fromisoformat(day) for day in columns[_TARIFF]]
            await connection.execute(sql.ENTER_USES, *columns)
            for row in await connection.fetch(sql.FIND_USES, *columns):
                found = [row[name] for name in _USE_FIELDS[:_TARIFF]]
                self._use_numbers[*found, row["tariff"].isoformat(), row["minimum"], row["increment"]] = row["use_no"]
        return [self._use_numbers[use] for use in uses]

    async def _take_out(
        self, connection: Connection, batch_no: int, batch: dict[str, Any], numbers: list[int], contract: Contract
    ) -> list[asyncpg.Record]:
        """Enter the staged events' keys and corrections; take out and return those known or refused."""
        taken_out: list[TakenOut] = []
        if self.again_after is not None:
            taken_out = [tuple(row) for row in await connection.fetch(sql.OUTVOTED, numbers)]
            await keep_seen_again(connection, batch_no, numbers, taken_out)
        if batch["corrections"]:
            refused = await refused_corrections(connection, numbers, contract)
            await keep_seen_again(connection, batch_no, numbers, refused)
            taken_out += refused
        known = await self._keep_keys(connection, batch_no, numbers)
        if known:
            taken_out += [(position, None, None) for position in known]
            await keep_seen_again(connection, batch_no, numbers, taken_out[-len(known) :])
        if batch["corrections"]:
            await connection.execute(sql.KEEP_CORRECTIONS, numbers)
        return await connection.fetch(sql.SEEN_AGAIN, uuid.UUID(batch["batch"])) if taken_out else []

    async def _keep_keys(self, connection: Connection, batch_no: int, numbers: list[int]) -> list[int]:
        """Enter the keys of the staged events and return the positions of those that were known.

        As long as nothing comes twice, the cheap statement does; where repeats come, they mostly come in numbers.
        """
        if not self._repeats_likely:
            try:
                async with connection.transaction():
                    await connection.execute(sql.KEEP_NEW_KEYS, batch_no, numbers)
            except asyncpg.UniqueViolationError:
                self._repeats_likely = True
            else:
                return []
        known: list[int] = await connection.fetchval(sql.KEEP_KEYS, batch_no, numbers)
        self._repeats_likely = bool(known)
        return known


async def _stage(connection: Connection, batch: dict[str, Any]) -> None:
    done = await copy_in(connection, "incoming", sql.STAGED_COLUMNS, batch["rows"])
    if done != f"COPY {batch['events']}":
        raise ValueError(f"batch {batch['batch']} says that it has {batch['events']} events; {done}")
    if corrections := batch["corrections"]:
        positions, corrected = [each["position"] for each in corrections], [each["corrects"] for each in corrections]
        await connection.execute(sql.STAGE_CORRECTIONS, positions, corrected)


async def _rate_new(
    connection: Connection,
    batch_no: int,
    batch: dict[str, Any],
    numbers: list[int],
    uses: list[Use],
    seen: list[asyncpg.Record],
    contract: Contract,
    *,
    cancels: bool,
) -> Rated:
    kept = await connection.fetch(_keeping(contract, uses), batch_no, numbers)
    quantities: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    taken: Counter[str] = Counter()
    for row in kept:
        use = uses[row["use"] - 1]
        key = _charge_key(use, row)
        quantities[key] = add(quantities[key], row["quantity"])
        taken[use[0]] += row["events"]
    if taken.total() + len(seen) != batch["events"]:
        raise ValueError(
            f"batch {batch['batch']}: {taken.total()} + {len(seen)} of {batch['events']} events have a use"
        )
    if cancels:
        await turn_late_round(connection, batch_no, contract)
        for row in await connection.fetch(sql.CANCEL, batch_no, numbers):
            key = ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"])
            quantities[key] = subtract(quantities[key], row["quantity"])
    made = await charge_usage(connection, contract, quantities)
    await keep_charges(connection, batch_no, batch["version"], made)
    conflicts = [_conflict(row) for row in seen if row["reason"] is not None]
    repeats = len(seen) - len(conflicts)
    await connection.execute(sql.COUNT_BATCH, batch_no, taken.total(), repeats, len(conflicts))
    return Rated([(each.key, each.quantity, each.amount) for each in made], conflicts, repeats, taken)


def _conflict(row: asyncpg.Record) -> Conflict:
    place = Place(raw_topic(row["provider"]), row["raw_partition"], row["raw_offset"], row["received_at"])
    return Conflict(row["provider"], row["id"], place, Refusal(Reason(row["reason"]), row["found"]), row["is_shown"])


async def charge_usage(
    connection: Connection, contract: Contract, quantities: dict[ChargeKey, Decimal]
) -> list[Charge]:
    """Charge usage, then the fees on that, round by round: every worker locks meters in this order."""
    made = await _charge(connection, contract, quantities)
    for number in range(contract.fee_rounds):
        charged = {each.key: each.amount for each in made}
        made += await _charge(connection, contract, fee_quantities(contract, number, charged))
    return made


async def _charge(connection: Connection, contract: Contract, quantities: dict[ChargeKey, Decimal]) -> list[Charge]:
    """Move the meters and return the charges; the meters' rows stay locked until the transaction ends."""
    moves: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    for key, quantity in quantities.items():
        meter = meter_of(contract, key)
        moves[meter] = add(moves[meter], quantity)
    if not moves:
        return []
    made = charges(contract, quantities, await move_meters(connection, moves))
    await price_meters(connection, made)
    return made


async def move_meters(connection: Connection, moves: Mapping[MeterKey, Decimal]) -> dict[MeterKey, Decimal]:
    """Add quantities to meters, and return what they showed before; the rows stay locked until the transaction ends."""
    after = await connection.fetch(sql.MOVE_METERS, *_columns(moves), [plain(each) for each in moves.values()])
    before = {}
    for row in after:
        meter = MeterKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["scope"])
        before[meter] = subtract(row["quantity"], moves[meter])
    return before


async def price_meters(connection: Connection, made: Iterable[Charge]) -> None:
    """Add what was charged to the amounts of the meters."""
    amounts: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    for each in made:
        amounts[each.meter] = add(amounts[each.meter], each.amount)
    await connection.execute(sql.PRICE_METERS, *_columns(amounts), [plain(each) for each in amounts.values()])


def _columns(meters: Mapping[MeterKey, Decimal]) -> list[list[Any]]:
    award, item, month, tariff, scope = map(list, zip(*meters, strict=True))
    return [award, item, month, [date.fromisoformat(day) for day in tariff], scope]


async def keep_charges(connection: Connection, batch_no: int, version: int, made: list[Charge]) -> None:
    """Copy the charges in; their codes have no character that means something to COPY."""
    rows = "".join(
        f"{batch_no}\t{version}\t{each.key.award}\t{each.key.item}\t{each.key.month}\t{each.key.tariff}"
        f"\t{each.key.subject}\t{each.meter.scope}\t{plain(each.before)}\t{plain(each.quantity)}\t{plain(each.amount)}"
        f"\t{each.is_fee}\t{each.currency or _NULL}\t{_text(each.rate)}\t{_text(each.currency_amount)}\n"
        for each in made
    )
    await copy_in(connection, "charge", sql.CHARGE_COLUMNS, rows.encode(), schema="rating")


def _text(number: Decimal | None) -> str:
    return _NULL if number is None else plain(number)


async def stored_charges(connection: Connection, batch: uuid.UUID) -> list[tuple[ChargeKey, Decimal, Decimal]]:
    """Return what a batch that is in was charged, as often as it is asked for."""
    return [
        (
            ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"]),
            row["quantity"],
            row["amount"],
        )
        for row in await connection.fetch(sql.STORED_CHARGES, batch)
    ]


async def _stored(connection: Connection, batch: str) -> Rated:
    lines = await stored_charges(connection, uuid.UUID(batch))
    seen = await connection.fetch(sql.SEEN_AGAIN, uuid.UUID(batch))
    return Rated(lines, [_conflict(row) for row in seen if row["reason"] is not None], 0, {}, again=True)


def _use(contract: Contract, use: Mapping[str, str]) -> Use:
    """Return a use of the batch with what the tariff says of rounding: the minimum and the increment of an event."""
    price = contract.price(use["award"], use["item"], date.fromisoformat(use["tariff"]))
    return (*(use[name] for name in _USE_FIELDS), plain(price.minimum), plain(price.increment))


def _keeping(contract: Contract, uses: list[Use]) -> str:
    """Return the cheapest statement that keeps usage of these uses and sums it up."""
    if contract.rerated and any((award, month) in contract.rerated for _, award, _, _, _, month, *_ in uses):
        return sql.KEEP_REBILLED_USAGE
    return sql.KEEP_ROUNDED_USAGE if any(use[-2:] != _NO_ROUNDING for use in uses) else sql.KEEP_USAGE


def _charge_key(use: Use, kept: asyncpg.Record) -> ChargeKey:
    _, award, subject, item, _, month, tariff, _, _ = use
    rebilled = kept.get("tariff")
    return ChargeKey(award, item, month, rebilled.isoformat() if rebilled else tariff, subject)
