"""The contract versions in PostgreSQL: each is the file as it was given, and never changes.

Law: a version that is stored loads, all versions are of one contract, and a tariff that has priced anything
is the same in every later version.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import date, datetime

import asyncpg

from services.contract.load import load
from services.contract.model import Contract
from services.contract.problems import Problem
from services.postgres import Connection

CHANNEL = "plafond_contract"
_LOCK = "lock table contract.version in share row exclusive mode"
_INSERT = "insert into contract.version (code, sha256, file) values ($1, $2, $3) returning version"
_NEWEST = "select version, file from contract.version where version > $1 order by version desc limit 1"
_FILE = "select version, file from contract.version where version = $1"
_VERSIONS = "select version, code, sha256, applied_at, applied_by from contract.version order by version"
_RATING_EXISTS = "select to_regclass('rating.meter') is not null"
_ANYTHING_RATED = "select exists (select from rating.batch)"
_PRICED = "select distinct award, tariff from rating.meter order by award, tariff"


class ContractError(Exception):
    """A contract that can't be stored, or a stored one that this program can't load; `problems` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class StoredContract:
    """A version and its contract; `already` tells that an apply found the same file as the newest version."""

    version: int
    contract: Contract
    already: bool = False


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
    contract = _loaded(text)
    async with connection.transaction():
        await connection.execute(_LOCK)
        row = await connection.fetchrow(_NEWEST, 0)
        if row is not None:
            if row["file"] == text:
                return StoredContract(row["version"], contract, already=True)
            problems = await _refusals(connection, _stored(row), contract)
            if problems:
                raise ContractError(problems)
        version = await connection.fetchval(_INSERT, contract.code, hashlib.sha256(text.encode()).digest(), text)
        await connection.execute("select pg_notify($1, $2)", CHANNEL, str(version))
    return StoredContract(version, contract)


async def load_version(connection: Connection, version: int) -> Contract:
    """Return one version; raises LookupError when there is no such."""
    row = await connection.fetchrow(_FILE, version)
    if row is None:
        raise LookupError(f"there is no contract version {version}")
    return _stored(row)


async def newest(connection: Connection, than: int = 0) -> StoredContract | None:
    """Return the newest version, if there is one that is newer than `than`."""
    row = await connection.fetchrow(_NEWEST, than)
    return None if row is None else StoredContract(row["version"], _stored(row))


async def versions(connection: Connection) -> list[Version]:
    """Return all versions, oldest first."""
    return [
        Version(row["version"], row["code"], row["sha256"].hex(), row["applied_at"], row["applied_by"])
        for row in await connection.fetch(_VERSIONS)
    ]


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
    return _vanished(before, after) + [
        Problem(
            f"tariffs[{award} {tariff}]",
            "other prices than those applied" if tariff in _days(after, award) else "nothing",
            "it as applied: a tariff that has priced anything can't be edited: follow it by another from a date",
        )
        for award, tariff in await connection.fetch(_PRICED)
        if _days(before, award).get(tariff) != _days(after, award).get(tariff)
    ]


def _vanished(before: Contract, after: Contract) -> list[Problem]:
    """Return what the books may name and a later version no longer does."""
    fixed = [
        Problem(f"contract.{name}", str(new), f"{old}: usage was priced and posted under it")
        for name, old, new in (
            ("currency", before.currency, after.currency),
            ("time_zone", before.zone.key, after.zone.key),
            ("starts", before.starts, after.starts),
        )
        if old != new
    ]
    named = {"awards": before.awards, "items": before.items, "providers": before.providers, "subjects": before.subjects}
    kept = {"awards": after.awards, "items": after.items, "providers": after.providers, "subjects": after.subjects}
    return fixed + [
        Problem(f"{what}[{code}]", "nothing", "what was applied: usage may have been posted under it")
        for what, codes in named.items()
        for code in sorted(codes)
        if code not in kept[what]
    ]


def _days(contract: Contract, award: str) -> dict[date, object]:
    """Return what an award's tariffs say, by first day."""
    tariffs = contract.tariffs_by_award.get(award, ())
    return {tariff.valid_from: dict(tariff.prices) for tariff in tariffs}
