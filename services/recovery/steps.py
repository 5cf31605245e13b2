"""A re-rating, a close or a credit that happens again.

Law: it comes to what it came to, or nothing of it is kept and it is told what differs.
"""

import uuid
from datetime import timedelta

from services import contract_store
from services.contract_store import StoredContract
from services.decisions.records import Record, credit_told, issued, named
from services.invoicing.close import CloseError, settle_and_close
from services.invoicing.credit import Asked, CreditError, Then, enter_credit_note, enter_reissue
from services.invoicing.credits import BorneBy
from services.postgres import Connection
from services.recovery.lacking import EPOCH, RecoveryError
from services.rerating.store import Again, post_again

_KEEP_OVERRIDE = """
insert into invoicing.override (month, reason, items, overridden_at, overridden_by) values ($1, $2, $3, $4, $5)
"""


async def repeat(connection: Connection, record: Record) -> None:
    """Let a decision happen again; raises RecoveryError where it comes to something else."""
    async with connection.transaction():
        if record["rerating"]:
            await _rerate(connection, record)
        elif record["credit"]:
            await _credit(connection, record)
        else:
            await _close(connection, record)


async def _rerate(connection: Connection, record: Record) -> None:
    told, at = record["rerating"], EPOCH + timedelta(microseconds=record["decided_at"])
    again = Again(uuid.UUID(told["batch"]), at, record["decided_by"])
    number = await post_again(connection, told["version"], told["file"], told["month"], told["awards"], again)
    if number != told["rerating"]:
        raise RecoveryError(f"{named(record)} would have the number {number} in the database")


async def _credit(connection: Connection, record: Record) -> None:
    told, then = record["credit"], Then(EPOCH + timedelta(microseconds=record["decided_at"]), record["decided_by"])
    note, anew = told["credit_note"], told["reissue"]
    try:
        if note:
            asked = Asked(note["corrects"], tuple(note["lines"]), note["reason"], BorneBy(note["borne_by"]))
            _same(await enter_credit_note(connection, await _stored(connection, note["version"]), asked, then), note)
        if anew:
            stored = await _stored(connection, anew["version"])
            _same(await enter_reissue(connection, stored, anew["credit_note"], anew["reason"], then), anew)
    except CreditError as error:
        raise RecoveryError(f"{named(record)} can't be issued as it was: {error}") from error
    made = await credit_told(connection, (note or anew)["number"])
    if made["credit_note"] != note or made["reissue"] != anew:
        raise RecoveryError(f"{named(record)} would say something else: {made}")


def _same(number: str, told: Record) -> None:
    if number != told["number"]:
        raise RecoveryError(f"{told['number']} is not issued again, since its number would be {number}")


async def _stored(connection: Connection, version: int) -> StoredContract:
    return StoredContract(version, await contract_store.load_version(connection, version))


async def _close(connection: Connection, record: Record) -> None:
    told, at = record["close"], EPOCH + timedelta(microseconds=record["decided_at"])
    month, version = told["month"], told["version"]
    stored = await _stored(connection, version)
    try:
        await settle_and_close(connection, stored, month, at, record["decided_by"])
    except CloseError as error:
        raise RecoveryError(f"{month} can't be closed as it was: {error}") from error
    if override := told["override"]:
        await connection.execute(_KEEP_OVERRIDE, month, override["reason"], override["items"], at, record["decided_by"])
    made = await issued(connection, month)
    if different := _different(told, made):
        raise RecoveryError(f"{month} is not closed again, since its invoices would be others: {different}")


def _different(told: Record, made: Record) -> str:
    """Say by what invoices differ from what was issued, nothing where they are the same to the last line."""
    before = {each["number"]: (each["institution"], each["total"]) for each in told["invoices"]}
    after = {each["number"]: (each["institution"], each["total"]) for each in made["invoices"]}
    for number in sorted(before.keys() | after.keys()):
        was, would_be = before.get(number), after.get(number)
        if was != would_be:
            return f"{number} was {_said(was)} and would be {_said(would_be)}"
    return "" if told["lines"] == made["lines"] else "the totals are the same, but lines are others"


def _said(invoice: tuple[str, str] | None) -> str:
    return "not issued" if invoice is None else f"{invoice[1]} for {invoice[0]}"
