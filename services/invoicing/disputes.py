"""Disputes: an institution says that a document, or a line of it, is wrong; what came of that stays on record.

Law: nothing is overwritten. A dispute is opened by one step and ended by another, each with its author, instant and
note; where it is accepted with a credit note, both commit together.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.decisions.enter import enter_dispute_step
from services.invoicing import sql
from services.invoicing.credit import Asked, credit_here
from services.invoicing.credits import BorneBy
from services.invoicing.issued import issued_document
from services.postgres import Connection

_ENTER = """
insert into invoicing.dispute_step (step, dispute, state, number, line, note, credit_note)
select coalesce(max(step), 0) + 1, coalesce($1, coalesce(max(dispute), 0) + 1), $2, $3, $4, $5, $6
from invoicing.dispute_step returning step, dispute
"""
_DISPUTES = """
select opened.dispute, coalesce(ended.state, opened.state) as state, opened.number, opened.line,
       opened.note as reason, opened.at as opened_at, opened.by as opened_by, ended.at as ended_at,
       ended.by as ended_by, ended.note as outcome, ended.credit_note
from invoicing.dispute_step as opened
     left join invoicing.dispute_step as ended on ended.dispute = opened.dispute and ended.state <> 'open'
where opened.state = 'open' and ($1::bigint is null or opened.dispute = $1) and ($2::text is null or opened.number = $2)
order by opened.dispute
"""


class State(StrEnum):
    """Where a dispute stands; only an open one can change."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class DisputeError(Exception):
    """It can't be disputed, or the dispute can't be ended so; the message says why."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute of a document, or of one line of it, with what came of it."""

    dispute: int
    state: State
    number: str
    line: int | None
    reason: str
    opened_at: datetime
    opened_by: str
    ended_at: datetime | None
    ended_by: str | None
    outcome: str | None
    credit_note: str | None

    @property
    def what(self) -> str:
        """What is disputed, in words."""
        return f"line {self.line} of {self.number}" if self.line else self.number


async def disputes(connection: Connection, *, dispute: int | None = None, number: str | None = None) -> list[Dispute]:
    """Return all disputes, or one, or those of a document, in the order in which they were opened."""
    rows = await connection.fetch(_DISPUTES, dispute, number)
    return [Dispute(**{**row, "state": State(row["state"])}) for row in rows]


async def open_dispute(connection: Connection, number: str, line: int | None, reason: str) -> Dispute:
    """Put on record that a document, or a line of it, is disputed.

    Raises DisputeError where there is no such line, nothing of it is left, or it is disputed already.
    """
    async with connection.transaction():
        await connection.execute(sql.TAKE_MONTHS)  # so that nobody credits it meanwhile
        await _refuse_none_left(connection, number, line)
        for each in await disputes(connection, number=number):
            if each.state is State.OPEN and each.line in {None, line}:
                raise DisputeError(f"{each.what} is disputed already, by dispute {each.dispute}")
        return await _enter(connection, None, State.OPEN, reason, number=number, line=line)


async def end_dispute(
    connection: Connection, dispute: int, state: State, note: str, borne_by: BorneBy | None = None
) -> Dispute:
    """Put on record what came of a dispute; where it is said who bears it, with a credit note over what was disputed.

    Raises DisputeError where it is not open, CreditError where it can't be credited; then nothing has happened.
    """
    async with connection.transaction():
        await connection.execute(sql.TAKE_MONTHS)
        found = await disputes(connection, dispute=dispute)
        if not found:
            raise DisputeError(f"there is no dispute {dispute}: `plafond invoice disputes` shows all")
        (opened,) = found
        if opened.state is not State.OPEN:
            raise DisputeError(f"dispute {dispute} was {opened.state} already, by {opened.ended_by}: {opened.outcome}")
        credited = None
        if borne_by is not None:
            lines = (opened.line,) if opened.line else ()
            credited = await credit_here(connection, Asked(opened.number, lines, note, borne_by))
        return await _enter(connection, dispute, state, note, credit_note=credited)


async def _refuse_none_left(connection: Connection, number: str, line: int | None) -> None:
    try:
        document = await issued_document(connection, number)
    except LookupError as error:
        raise DisputeError(str(error.args[0])) from error
    if line is not None and not 1 <= line <= len(document.lines):
        raise DisputeError(f"{number} has no line {line}: it has lines from 1 to {len(document.lines)}")
    asked = document.lines if line is None else document.lines[line - 1 : line]
    if all(each.credited_by for each in asked):
        what = f"line {line} of {number} is" if line else f"all lines of {number} are"
        notes = sorted({each.credited_by for each in asked if each.credited_by})
        raise DisputeError(f"{what} credited already, by {', '.join(notes)}")


async def _enter(
    connection: Connection,
    dispute: int | None,
    state: State,
    note: str,
    *,
    number: str | None = None,
    line: int | None = None,
    credit_note: str | None = None,
) -> Dispute:
    row = await connection.fetchrow(_ENTER, dispute, state, number, line, note, credit_note)
    assert row is not None, "one step is entered"
    await enter_dispute_step(connection, row["step"])
    (entered,) = await disputes(connection, dispute=row["dispute"])
    return entered
