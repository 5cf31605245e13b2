"""Billing usage files with the streaming core: the newcomer's first try, the what-if tool, and the oracle.

Law: the result is that of deciding on every row with `Decider`, one after the other, keeping the first of each
(provider, id) and settling the sums. DuckDB only does that for many rows at once: each distinct use (provider,
lot, item, subject, region, period) is decided once, and what is out of the ordinary goes through the core row by row.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb
from duckdb import DuckDBPyConnection

from services.contract.charges import ChargeKey, ProvisionalRate, promised_meters, provisional_rates
from services.contract.model import Contract
from services.contract.months import month_of, months_between
from services.ingest.decide import CLOCK_SKEW_MAX, Decider, Use
from services.ingest.events import UsageEvent
from services.invoicing.ceilings import Standing, spending, standings
from services.invoicing.committed import committed, owed_by_institution
from services.invoicing.settle import PostingKey, Share, settle, settle_in_currency
from services.invoicing.statement import Statement, conversions, statements
from services.offline import lines, readers, sql, tables
from services.offline.lines import Line, Unread
from services.offline.source import Format, Source, sources
from services.rating.corrections import Chains, Sent, refusals
from services.reasons import Reason, Refusal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BEFORE_ALL = -(2**63)
_ODD_BATCH = 10_000

Report = Callable[[str], None]


class Rejection(NamedTuple):
    """A row that was refused: its place, why, and the row as it was sent."""

    file: str
    line: int
    provider: str
    refusal: Refusal
    event: UsageEvent


@dataclass(frozen=True, slots=True)
class Bill:
    """What usage costs under a contract; `accepted` leaves the repeats out."""

    read: int
    accepted: int
    repeats: int
    rejected: Mapping[str, int]
    quantities: Mapping[ChargeKey, Decimal]
    shares: Mapping[str, Mapping[PostingKey, Share]]
    statements: Mapping[str, list[Statement]]
    standings: list[Standing]
    provisional: list[ProvisionalRate]

    def below_zero(self) -> list[tuple[ChargeKey, Decimal]]:
        """Return of what more was taken back than used: no month with such usage can be closed."""
        return [(key, quantity) for key, quantity in sorted(self.quantities.items()) if quantity < 0]


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage files, read into DuckDB; `bill` may be asked of it under one contract after another."""

    database: DuckDBPyConnection
    files: tuple[str, ...]

    def rejections(self) -> Iterator[Rejection]:
        """Yield what the last bill refused, in the order of the files."""
        result = self.database.execute(sql.REJECTIONS)
        while rows := result.fetchmany(_ODD_BATCH):
            for file, line, provider, reason, found, *fields in rows:
                yield Rejection(self.files[file], line, provider, Refusal(Reason(reason), found), UsageEvent(*fields))


def read_usage(
    place: tuple[DuckDBPyConnection, Path],
    files: Sequence[str],
    form: Format | None = None,
    mapping: readers.Mapping | None = None,
    report: Report = lambda _: None,
) -> Usage:
    """Read files into the database of a `readers.workplace`; raises UsageFileError when one can't be read."""
    database, folder = place
    database.execute(sql.USAGE)
    database.execute(sql.FILE)
    found = sources(list(files), folder)
    for number, source in enumerate(found):
        report(f"reading {source.name}")
        _enter(database, number, source, form, mapping)
    return Usage(database, tuple(source.name for source in found))


def bill(contract: Contract, usage: Usage, now: datetime, report: Report = lambda _: None, until: str = "") -> Bill:
    """Return what the usage costs under a contract, with the clock at `now`.

    What was promised is in it until the last month with usage, or until a later month.
    """
    database = usage.database
    report("deciding")
    _decide(database, contract, now)
    report("adding up")
    _refuse_corrections(database)
    database.execute(sql.AGAIN)
    database.execute(sql.ENTER_CONFLICTS, [Reason.CONFLICT.value])
    database.execute(sql.CORRECTION)
    database.execute(sql.CANCELLED)
    quantities = {ChargeKey(*key): quantity for *key, quantity in database.execute(sql.QUANTITIES).fetchall()}
    report("settling")
    shares = _settle(contract, quantities, until)
    spent = spending(contract, ((key, share.amount) for each in shares.values() for key, share in each.items()))
    read, accepted, again, conflicts = database.execute(sql.COUNTS).fetchall()[0]
    rejected = dict(database.execute(sql.REASONS).fetchall())
    return Bill(
        read, accepted - again, again - conflicts, rejected, quantities, shares,
        {month: _statements(contract, month, shares[month], quantities) for month in shares},
        standings(contract, spent),
        _provisional(contract, quantities, shares),
    )  # fmt: skip


def _settle(
    contract: Contract, quantities: Mapping[ChargeKey, Decimal], until: str
) -> dict[str, dict[PostingKey, Share]]:
    """Return what is owed by month, until the last one with usage or a later one: promises are owed without use."""
    months: dict[str, dict[ChargeKey, Decimal]] = defaultdict(dict)
    for key in sorted(quantities):
        months[key.month][key] = quantities[key]
    last = max([*months, until])
    every = months_between(month_of(contract.starts), last) if last else []
    shares = {month: settle(contract, month, months[month]) for month in every}
    usage = owed_by_institution({key: share.amount for each in shares.values() for key, share in each.items()})
    for line, share in committed(contract, every, usage).items():
        shares[line.month][line] = share
    return {month: mine for month, mine in shares.items() if mine}


def _statements(
    contract: Contract, month: str, shares: Mapping[PostingKey, Share], quantities: Mapping[ChargeKey, Decimal]
) -> list[Statement]:
    used = {key: quantity for key, quantity in quantities.items() if key.month == month}
    in_currency = conversions(contract, settle_in_currency(contract, month, used))
    return statements(contract, month, shares, in_currency)


def _provisional(
    contract: Contract, quantities: Mapping[ChargeKey, Decimal], months: Iterable[str]
) -> list[ProvisionalRate]:
    """Return the rates that are those of earlier months until the contract has the month's own."""
    reserved = [meter for month in months for meter in promised_meters(contract, month)]
    return provisional_rates(contract, [*quantities, *reserved])


def _enter(
    database: DuckDBPyConnection, number: int, source: Source, form: Format | None, mapping: readers.Mapping | None
) -> None:
    found = readers.columns(database, source, form, mapping)
    try:
        if found is None:
            _enter_lines(database, number, lines.batches(source))
            return
        database.execute(sql.BEGIN_FILE, [number, found.first_line])
        unmarked = found.rows.project("null::bigint as line, *, null::varchar as reason, null::varchar as found")
        unmarked.create_view("incoming", replace=True)
        database.execute(sql.ENTER, [number])
        if bad := tables.bad_rows(database, source):
            database.execute(sql.COUNT_LINES, [number])
            database.execute(sql.COUNT_BAD_ROWS, [number])
            _enter_lines(database, number, [bad])
    except duckdb.Error as error:
        raise tables.unreadable(source, error) from error


def _enter_lines(database: DuckDBPyConnection, number: int, batches: Iterable[list[Line]]) -> None:
    for batch in batches:
        if not batch:
            continue
        database.execute(sql.CHUNK)
        database.execute("create or replace view incoming as from chunk")
        _insert(database, "chunk", [_row(line) for line in batch])
        database.execute(sql.ENTER, [number])


def _row(line: Line) -> tuple[object, ...]:
    event = line.event
    if isinstance(event, Unread):
        return (line.number, *[""] * 10, event.refusal.reason.value, event.refusal.found)
    return (
        line.number, event.id, event.source, event.time, event.subject, event.lot, event.item, event.quantity,
        event.region, event.resource, event.corrects, None, None,
    )  # fmt: skip


def _decide(database: DuckDBPyConnection, contract: Contract, now: datetime) -> None:
    """Fill `use`, `accepted` and `refused`."""
    starts = [_BEFORE_ALL, *((instant - _EPOCH) // _MICROSECOND for instant in contract.period_starts)]
    taken = [(contract.earliest(now) - _EPOCH) // _MICROSECOND, (now + CLOCK_SKEW_MAX - _EPOCH) // _MICROSECOND]
    decider = Decider(contract)
    database.execute(sql.PERIOD, [starts, list(range(len(starts)))])
    database.execute(sql.COMBINATIONS, taken)
    database.execute(sql.STARTED)
    database.execute(sql.USE)
    database.execute(sql.REFUSED)
    uses = []
    for number, provider, lot, item, subject, region, _, instant in database.execute("from combination").fetchall():
        use = decider.use(provider, lot, item, subject, region, _EPOCH + instant * _MICROSECOND)
        if isinstance(use, Use):
            uses.append(_use_row(contract, number, use))
    _insert(database, "use", uses)
    database.execute(sql.ACCEPTED, taken)
    _decide_one_by_one(database, decider, now)


def _use_row(contract: Contract, number: int, use: Use) -> tuple[object, ...]:
    price = contract.price(use.award, use.item, date.fromisoformat(use.tariff))
    return (number, use.award, use.item, use.month, use.tariff, use.subject, price.minimum, price.increment)


def _decide_one_by_one(database: DuckDBPyConnection, decider: Decider, now: datetime) -> None:
    """Decide on the rows that were not accepted with their combination."""
    [(any_odd,)] = database.execute(sql.ANY_ODD).fetchall()
    if not any_odd:
        return
    numbers: dict[Use, int] = {}
    database.execute(sql.ODD)
    done = 0
    while rows := database.execute(sql.ODD_BATCH, [done]).fetchall():
        done += len(rows)
        accepted, refused, uses = [], [], []
        for position, provider, *fields in rows:
            decided = decider.decide(provider, UsageEvent(*fields), now)
            if isinstance(decided, Refusal):
                refused.append((position, decided.reason.value, decided.found))
                continue
            use = decided.use
            if use not in numbers:
                numbers[use] = -1 - len(numbers)
                uses.append(_use_row(decider.contract, numbers[use], use))
            accepted.append((position, numbers[use], decided.time, Decimal(decided.quantity)))
        _insert(database, "use", uses)
        _insert(database, "accepted", accepted)
        _insert(database, "refused", refused)


def _refuse_corrections(database: DuckDBPyConnection) -> None:
    """Move corrections that don't count from `accepted` to `refused`.

    None is too late for what is accepted: all usage is taken as received at the same time.
    """
    database.execute(sql.CORRECTING)
    refused = [
        (position, refusal.reason.value, refusal.found)
        for position, refusal in refusals(Chains(), _correcting(database))
    ]
    if refused:
        _insert(database, "refused", refused)
        database.execute(sql.LEAVE_REFUSED_OUT)


def _correcting(database: DuckDBPyConnection) -> Iterator[Sent]:
    done = 0
    while rows := database.execute(sql.CORRECTING_BATCH, [done]).fetchall():
        done += len(rows)
        yield from (Sent(*row) for row in rows)


def _insert(database: DuckDBPyConnection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    with database.appender(table) as appender:
        appender.append_rows(rows)
