"""What the database lacks of what was decided: taken over from the topic, and what of it is still to happen again.

Law: what the database and the topic both have under one number is the same decision.
"""

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from services.contract.load import load
from services.contract.model import Contract
from services.decisions.records import Record, named, records, same
from services.decisions.topic import Published
from services.postgres import Connection
from services.recovery.order import Order, Step

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LOCK = "lock table contract.version, decisions.decision in share row exclusive mode"
_ALL = "select number from decisions.decision"
# A decision may be there without what it tells of: it was taken over, and a recovery has not come so far yet.
_DONE = """
select number from decisions.decision
where batch is not null or dispute_step is not null
      or exists (select from contract.version where version.version = decision.version)
      or exists (select from contract.rerating where rerating.rerating = decision.rerating)
      or exists (select from invoicing.month where month.month = decision.month and closed_at is not null)
      or exists (select from invoicing.issued where issued.number = document)
"""
_ENTER = """
insert into decisions.decision (number, version, rerating, month, batch, after, partitions, rated_until, waiting,
                                document, dispute_step, decided_at, decided_by, published_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, clock_timestamp())
"""
_CUT = "select min(number) from decisions.decision where published_at is not null and number <> all($1::bigint[])"
_NOT_PUBLISHED = """
update decisions.decision set published_at = null
where published_at is not null and number = any($1::bigint[]) and number <> all($2::bigint[])
"""
_ARE_PUBLISHED = """
update decisions.decision set published_at = clock_timestamp() where number = any($1::bigint[]) and published_at is null
"""
_ENTER_VERSION = """
insert into contract.version (version, code, sha256, file, applied_at, applied_by) overriding system value
values ($1, $2, $3, $4, $5, $6)
"""
# Nothing in the ledger follows from a dispute: it is entered at once, as a contract version is.
_STEP = ("step", "dispute", "state", "number", "line", "note", "credit_note")
_ENTER_STEP = """
insert into invoicing.dispute_step (step, dispute, state, number, line, note, credit_note, at, by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


class RecoveryError(Exception):
    """The database can't be brought to where it was; the message says what differs."""


async def unpublish(connection: Connection, there: Mapping[int, Record]) -> None:
    """Let what the database has whole, and the topic lacks, wait to be published again."""
    done = [row["number"] for row in await connection.fetch(_DONE)]
    await connection.execute(_NOT_PUBLISHED, done, list(there))


async def take_over(connection: Connection, topic: Published) -> Order:
    """Enter all decisions of the topic that the database lacks, apply their contract versions, and say what is to do.

    Raises RecoveryError where the database has another decision under a number, or the topic has a gap or lacks what
    the database says was published: what was decided after that, it could not tell.
    """
    there = topic.decisions
    if gaps := sorted(set(range(1, max(there, default=0) + 1)) - there.keys()):
        raise RecoveryError(_lacks(gaps[0], topic))
    async with connection.transaction():
        await connection.execute(_LOCK)
        if (cut := await connection.fetchval(_CUT, list(there))) is not None:
            raise RecoveryError(_lacks(cut, topic))
        await _refuse_others(connection, there)
        known = {row["number"] for row in await connection.fetch(_ALL)}
        for number in sorted(there.keys() - known):
            await _enter(connection, there[number])
        await connection.execute(_ARE_PUBLISHED, list(there))
        done = {row["number"] for row in await connection.fetch(_DONE)}
    steps = [Step.of(there[number]) for number in sorted(there.keys() - done)]
    late = {each["late"]["batch"]: each["late"]["after"] for each in there.values() if each["late"]}
    return Order(steps, late)


def _lacks(number: int, topic: Published) -> str:
    """Say that the topic lacks a decision, and what may be it."""
    unreadable = f" (it can't be read: {'; '.join(topic.unreadable)})" if topic.unreadable else ""
    return (
        f"the topic has no decision {number}{unreadable}, and its messages must be kept for ever: what was decided "
        "after the backup may be missing, too. Where the database is whole, or nothing more of the topic can be had, "
        "`plafond recover --republish` puts back what the database has"
    )


async def _refuse_others(connection: Connection, there: Mapping[int, Record]) -> None:
    done = [row["number"] for row in await connection.fetch(_DONE) if row["number"] in there]
    for mine in await records(connection, done):
        if not same(mine, there[mine["number"]]):
            raise RecoveryError(
                f"decision {mine['number']} is {named(mine)} in the database, and was {named(there[mine['number']])}: "
                "the database was worked on after it was restored; restore it again, and recover before anything else"
            )


async def _enter(connection: Connection, record: Record) -> None:
    close, rerating, late, contract = (record[name] for name in ("close", "rerating", "late", "contract"))
    credit, dispute = record["credit"], record["dispute"]
    cut = close or rerating or credit or {}
    until = cut.get("rated_until")
    at = EPOCH + timedelta(microseconds=record["decided_at"])
    if contract:
        await _apply(connection, contract, at, record["decided_by"])
    if dispute:
        await connection.execute(_ENTER_STEP, *(dispute[name] for name in _STEP), at, record["decided_by"])
    await connection.execute(
        _ENTER,
        record["number"],
        contract and contract["version"],
        rerating and rerating["rerating"],
        close and close["month"],
        late and uuid.UUID(late["batch"]),
        late and late["after"],
        None if until is None else [each["partition"] for each in until],
        None if until is None else [EPOCH + timedelta(milliseconds=each["appended_at"]) for each in until],
        list(map(uuid.UUID, cut.get("waiting", ()))),
        credit and (credit["credit_note"] or credit["reissue"])["number"],
        dispute and dispute["step"],
        at,
        record["decided_by"],
    )


async def _apply(connection: Connection, told: Record, at: datetime, by: str) -> None:
    """Store a version as it was; what it may follow was asked then."""
    sha256, contract = hashlib.sha256(told["file"].encode()), load(told["file"])
    if sha256.hexdigest() != told["sha256"] or not isinstance(contract, Contract):
        raise RecoveryError(f"contract version {told['version']}: this program can't load the topic's file")
    await connection.execute(_ENTER_VERSION, told["version"], contract.code, sha256.digest(), told["file"], at, by)
