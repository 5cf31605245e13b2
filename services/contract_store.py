"""The contract versions in PostgreSQL: each is the file as it was given, and never changes.

Law: a version that is stored loads, all versions are of one contract, and what was priced would be priced the same
under every later version.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg

from services.contract.load import load
from services.contract.model import Contract, Pool
from services.contract.money import plain
from services.contract.months import midnight, month_of, months_between
from services.contract.problems import Problem
from services.contract.succession import Moved, converted, edited, moved, place_of, reserved_otherwise, vanished
from services.decisions.enter import enter_version
from services.postgres import Connection

CHANNEL = "plafond_contract"
_LOCK = "lock table contract.version in share row exclusive mode"
# Not by the sequence: a database that was restored would give other numbers than those that batches name.
_INSERT = """
insert into contract.version (version, code, sha256, file) overriding system value
select coalesce(max(version), 0) + 1, $1, $2, $3 from contract.version returning version
"""
_NEWEST = "select version, file from contract.version where version > $1 order by version desc limit 1"
_FILE = "select version, file from contract.version where version = $1"
_SHA256 = "select sha256 from contract.version where version = $1"
_VERSIONS = "select version, code, sha256, applied_at, applied_by from contract.version order by version"
_RERATED = """
select rerating, file, award, month from contract.rerating join contract.rerated using (rerating)
where $1::timestamptz is null or applied_at <= $1 order by rerating
"""
_RATING_EXISTS = "select to_regclass('rating.meter') is not null"
_ANYTHING_RATED = """
select exists (select from rating.batch) or exists (select from invoicing.month where closed_at is not null)
"""
_INVOICING_EXISTS = "select to_regclass('invoicing.month') is not null"
_CLOSED_UNDER = """
select month, version, file from invoicing.month join contract.version using (version)
where closed_at is not null and ($1::timestamptz is null or closed_at <= $1) order by month
"""
_CLOSED = "select month from invoicing.month where closed_at is not null order by month"
_PRICED = "select distinct award, tariff from rating.meter order by award, tariff"
_PRICED_MONTHS = "select distinct award, tariff, month from rating.meter order by month, award, tariff"
_DELIVERED = "select distinct provider, award from rating.use order by provider, award"
_LAST_RATED = """
select max(time) from rating.usage join rating.use using (use_no)
where award = $1 and usage.month = any($2::text[]) and time >= $3 and time < $4
"""


class ContractError(Exception):
    """A contract that can't be stored, or a stored one that this program can't load; `problems` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class StoredContract:
    """A version, its contract, and the SHA-256 of its file; `already`: an apply found the newest version's."""

    version: int
    contract: Contract
    already: bool = False
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """What is known of a version without loading it."""

    version: int
    code: str
    sha256: str
    applied_at: datetime
    applied_by: str


async def apply(connection: Connection, text: str) -> StoredContract:
    """Store a contract file as the newest version, unless it is that already; raises ContractError, storing nothing."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        contract, already = await _checked(connection, text)
        if already is not None:
            return StoredContract(already, contract, already=True)
        version = await connection.fetchval(_INSERT, contract.code, hashlib.sha256(text.encode()).digest(), text)
        await connection.execute("select pg_notify($1, $2)", CHANNEL, str(version))
        await enter_version(connection, version)
    return StoredContract(version, contract)


async def check(connection: Connection, text: str) -> Contract:
    """Return the contract of a file that could be applied; raises ContractError where it could not."""
    contract, _ = await _checked(connection, text)
    return contract


async def load_version(connection: Connection, version: int, as_of: datetime | None = None) -> Contract:
    """Return one version, with what was re-rated and closed until now or an earlier instant.

    Raises LookupError when there is no such version.
    """
    row = await connection.fetchrow(_FILE, version)
    if row is None:
        raise LookupError(f"there is no contract version {version}")
    return await _with_the_past(connection, _stored(row), as_of)


async def sha256_of(connection: Connection, version: int) -> str:
    """Return the SHA-256 of a version's file, in hexadecimal digits."""
    found: bytes = await connection.fetchval(_SHA256, version)
    return found.hex()


async def newest(connection: Connection, than: int = 0) -> StoredContract | None:
    """Return the newest version, if there is one that is newer than `than`."""
    row = await connection.fetchrow(_NEWEST, than)
    if row is None:
        return None
    sha256 = hashlib.sha256(row["file"].encode()).hexdigest()
    return StoredContract(row["version"], await _with_the_past(connection, _stored(row)), sha256=sha256)


async def versions(connection: Connection) -> list[Version]:
    """Return all versions, oldest first."""
    return [
        Version(row["version"], row["code"], row["sha256"].hex(), row["applied_at"], row["applied_by"])
        for row in await connection.fetch(_VERSIONS)
    ]


async def _checked(connection: Connection, text: str) -> tuple[Contract, int | None]:
    """Return the contract that may follow the newest, and the newest version's number where it is the same file."""
    contract = _loaded(text)
    row = await connection.fetchrow(_NEWEST, 0)
    if row is None:
        return contract, None
    if row["file"] == text:
        return contract, row["version"]
    problems = await _refusals(connection, await _with_the_past(connection, _stored(row)), contract)
    if problems:
        raise ContractError(problems)
    return contract, None


async def _with_the_past(connection: Connection, contract: Contract, as_of: datetime | None = None) -> Contract:
    """Return a contract with the months that were priced again, and with the pools by which months were closed."""
    rows = await connection.fetch(_RERATED, as_of)
    files = {row["rerating"]: row["file"] for row in rows}
    loaded = {number: _loaded(file) for number, file in files.items()}
    rerated = {(row["award"], row["month"]): loaded[row["rerating"]] for row in rows}
    closed_pools = await _closed_pools(connection, as_of)
    return replace(contract, rerated=rerated, rerating=max(files, default=0), closed_pools=closed_pools)


async def _closed_pools(connection: Connection, as_of: datetime | None) -> dict[str, Mapping[str, Pool]]:
    if not await connection.fetchval(_INVOICING_EXISTS):
        return {}
    rows = await connection.fetch(_CLOSED_UNDER, as_of)
    pools = {version: _stored(row).pools for version, row in {row["version"]: row for row in rows}.items()}
    return {row["month"]: pools[row["version"]] for row in rows}


def _loaded(text: str) -> Contract:
    loaded = load(text)
    if not isinstance(loaded, Contract):
        raise ContractError(loaded)
    return loaded


def _stored(row: asyncpg.Record) -> Contract:
    try:
        return _loaded(row["file"])
    except ContractError as error:
        place = f"stored version {row['version']}"
        raise ContractError([replace(each, place=f"{place}: {each.place}") for each in error.problems]) from error


async def _refusals(connection: Connection, before: Contract, after: Contract) -> list[Problem]:
    """Return why a contract can't follow the one before it."""
    if after.code != before.code:
        return [Problem("contract.code", repr(after.code), f"{before.code!r}: another contract has its own database")]
    if not await connection.fetchval(_RATING_EXISTS) or not await connection.fetchval(_ANYTHING_RATED):
        return []
    problems = vanished(before, after)
    for award, tariff in await connection.fetch(_PRICED):
        if changed := edited(before, after, award, tariff):
            wanted = "the prices as applied: a tariff that has priced anything is never edited, but followed by another"
            place = place_of(before, after, award, tariff)
            place += ".prices" if place.startswith("tariffs") else ""
            problems.append(Problem(place, f"another {', '.join(changed)}", wanted))
    for award, tariff, month in await connection.fetch(_PRICED_MONTHS):
        problems += [
            _other_rate(before, after, currency, month) for currency in converted(before, after, award, tariff, month)
        ]
    for (month,) in await connection.fetch(_CLOSED):
        problems += [
            Problem(
                f"tariffs[{award}].prices", f"something else that is due unused in {month}", "what was invoiced for it"
            )
            for award in reserved_otherwise(before, replace(after, rerated=before.rerated), month)
        ]
    problems = list(dict.fromkeys(problems))
    for provider, award in await connection.fetch(_DELIVERED):
        now = after.award_by_provider.get((provider, before.awards[award].lot))
        if now is not None and now.code != award:
            wanted = f"{award}: usage of {provider} was priced under it"
            problems.append(Problem(f"awards[{now.code}].providers", provider, wanted))
    return problems + [
        each for change in moved(before, after) if (each := await _rated_in(connection, before, after, change))
    ]


def _other_rate(before: Contract, after: Contract, currency: str, month: str) -> Problem:
    old, new = before.rate(currency, month), after.rate(currency, month)
    return Problem(
        f"rates[{currency} {month}].rate",
        plain(new.rate) if new else "nothing",
        f"{plain(old.rate) if old else 'none'}, with which usage of that month was priced: "
        f"`plafond rerate --month {month} --contract FILE --post` puts that right, and then the file can be applied",
    )


async def _rated_in(connection: Connection, before: Contract, after: Contract, change: Moved) -> Problem | None:
    """Return the problem that usage was priced in a stretch of time that is to have another tariff."""
    months = months_between(month_of(change.begins), month_of(change.ends))
    span = (midnight(change.begins, before.zone), midnight(change.ends, before.zone))
    last = await connection.fetchval(_LAST_RATED, change.award, months, *span)
    if last is None:
        return None
    is_new = change.after is not None and change.after > change.before
    named = change.after if change.after is not None and is_new else change.before
    return Problem(
        place_of(before, after, change.award, named),
        "nothing" if change.after is None else f"valid_from {change.after}",
        f"that of {change.before} for usage from {change.begins} to {last.astimezone(before.zone).date()}, "
        "which is priced already: a tariff begins after the last usage that was priced",
    )
