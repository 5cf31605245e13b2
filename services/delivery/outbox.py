"""The outbox: what is to be sent to whom, and how every try ended.

Law: a document is given to a channel once; a delivery ends once; every try is kept.
"""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import asyncpg

from services.delivery.outcome import Outcome
from services.postgres import Connection

FIRST_PAUSE, PAUSE_MAX = timedelta(minutes=1), timedelta(hours=1)

_OPEN_CHANNEL = "insert into delivery.channel (channel) select unnest($1::text[]) on conflict do nothing"
_NOT_GIVEN = """
select issued.number, issued.institution, issued.month, channel
from invoicing.issued join delivery.channel on issued_at >= since
where channel = any($1::text[])
      and not exists (select from delivery.given where given.number = issued.number and given.channel = channel.channel)
order by month, issued_at, issued.number
"""
_GIVE = "insert into delivery.given (number, channel) values ($1, $2) on conflict do nothing returning number"
_QUEUE = """
insert into delivery.outbox (number, institution, channel, address)
select $1, $2, $3, unnest($4::text[]) on conflict do nothing
"""
_DUE = """
select delivery, number, institution, issued.month, channel, address, round, tries
from delivery.outbox join (select number, month from invoicing.issued) as issued using (number)
where state = 'queued' and due_at <= now() and channel = any($1::text[]) and delivery > $2
order by delivery limit $3
"""
# What was doubtful is not, once whoever tried it says how that ended.
_END = """
update delivery.outbox
set state = case when $2 = 'later' then 'queued' else $2 end, answer = $3, tries = tries + 1,
    due_at = case when $2 = 'later' then now() + $4 else due_at end,
    ended_at = case when $2 = 'later' then null else now() end
where delivery = $1 and state in ('queued', 'doubtful')
"""
_TRIED = "insert into delivery.attempt (attempt, delivery, outcome, answer, files) values ($1, $2, $3, $4, $5)"
_ROUNDS = """
select address, greatest(max(round) + 1, extract(epoch from now())::bigint) as next,
       bool_or(state = 'queued') as is_open
from delivery.outbox where number = $1 and channel = $2 group by address order by address
"""
_AGAIN = """
insert into delivery.outbox (number, institution, channel, address, round, reason) values ($1, $2, $3, $4, $5, $6)
returning delivery
"""
_FIRST = """
insert into delivery.outbox (number, institution, channel, address) values ($1, $2, $3, $4) returning delivery
"""
_SENT_AGAIN = """
with ended as (
    update delivery.outbox set state = 'dismissed', ended_at = now(), answer = 'sent again: ' || $4
    where number = $1 and channel = $2 and address = any($3::text[]) and state in ('refused', 'doubtful')
    returning delivery)
insert into delivery.attempt (attempt, delivery, outcome, answer)
select gen_random_uuid(), delivery, 'dismissed', 'sent again: ' || $4 from ended
"""
_DISMISS = """
update delivery.outbox set state = 'dismissed', ended_at = now(), answer = $2
where delivery = $1 and state in ('queued', 'refused', 'doubtful') returning number
"""


class Channel(StrEnum):
    """A way to an institution."""

    EMAIL = "email"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class NotGiven:
    """A document that a channel has not been given yet."""

    number: str
    institution: str
    month: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class Delivery:
    """What waits to be sent."""

    delivery: int
    number: str
    institution: str
    month: str
    channel: Channel
    address: str
    round: int
    tries: int


class AskedError(Exception):
    """What was asked for can't be; the message says why."""


async def open_channels(connection: Connection, channels: Collection[Channel]) -> None:
    """Note since when documents go by these channels: what was issued before is not sent by itself."""
    await connection.execute(_OPEN_CHANNEL, list(channels))


async def not_given(connection: Connection, channels: Collection[Channel]) -> list[NotGiven]:
    """Return what was issued and these channels have not been given."""
    rows = await connection.fetch(_NOT_GIVEN, list(channels))
    return [NotGiven(row["number"], row["institution"], row["month"], Channel(row["channel"])) for row in rows]


async def give(connection: Connection, document: NotGiven, addresses: Sequence[str]) -> bool:
    """Give a document to a channel for some addresses, maybe none; False where it was given already."""
    async with connection.transaction():
        if await connection.fetchval(_GIVE, document.number, document.channel) is None:
            return False
        await connection.execute(_QUEUE, document.number, document.institution, document.channel, list(addresses))
        return True


async def due(connection: Connection, channels: Collection[Channel], after: int, limit: int) -> list[Delivery]:
    """Return what is to be tried now, of deliveries above `after`."""
    return [_delivery(row) for row in await connection.fetch(_DUE, list(channels), after, limit)]


async def end(
    connection: Connection, delivery: Delivery, attempt: uuid.UUID, outcome: Outcome, files: Mapping[str, str]
) -> None:
    """Keep how a try ended; what is to be tried later waits for twice as long each time, at most for an hour."""
    pause = min(FIRST_PAUSE * 2 ** min(delivery.tries, 10), PAUSE_MAX)
    async with connection.transaction():
        await connection.execute(_END, delivery.delivery, outcome.state.value, outcome.answer, pause)
        await connection.execute(
            _TRIED, attempt, delivery.delivery, outcome.state.value, outcome.answer, json.dumps(dict(files))
        )


async def send_again(
    connection: Connection, number: str, institution: str, channel: Channel, addresses: Sequence[str], reason: str
) -> list[int]:
    """Queue a document once more, to all that it went to or to these addresses, and return the deliveries.

    Raises AskedError while it waits to be sent to one of them, or where it went to nobody.
    """
    async with connection.transaction():
        known = {row["address"]: row for row in await connection.fetch(_ROUNDS, number, channel)}
        wanted = list(dict.fromkeys(addresses)) or list(known)
        if not wanted:
            raise AskedError(f"{number} went to nobody by {channel}: name an address")
        if waiting := [each for each in wanted if each in known and known[each]["is_open"]]:
            raise AskedError(f"{number} waits to be sent to {', '.join(waiting)} already")
        await connection.execute(_SENT_AGAIN, number, channel, wanted, reason)
        made = []
        for each in wanted:
            if each in known:
                key = (number, institution, channel, each, known[each]["next"], reason)
                made.append(await connection.fetchval(_AGAIN, *key))
            else:
                made.append(await connection.fetchval(_FIRST, number, institution, channel, each))
        return made


async def dismiss(connection: Connection, delivery: int, reason: str) -> str:
    """End a delivery that waits, was refused or is doubtful, and return the document's number; raises AskedError."""
    async with connection.transaction():
        number: str | None = await connection.fetchval(_DISMISS, delivery, reason)
        if number is None:
            raise AskedError(f"there is no delivery {delivery} that waits, was refused or is doubtful")
        await connection.execute(_TRIED, uuid.uuid4(), delivery, "dismissed", reason, "{}")
        return number


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(
        row["delivery"], row["number"], row["institution"], row["month"], Channel(row["channel"]), row["address"],
        row["round"], row["tries"],
    )  # fmt: skip
