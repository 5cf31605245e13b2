"""Sending rejected messages through again: the original bytes, to the topic they came from.

A message is noted as replayed once the broker has it. After a crash in between it is sent twice, which is a repeat and
costs nothing.
"""

from services.kafka import Message, Sender
from services.postgres import Connection
from services.reasons import Reason

NEVER_REPLAYED = frozenset({
    Reason.CONFLICT, Reason.CORRECTED_ALREADY, Reason.CORRECTION_CIRCLE, Reason.WRONG_PROVIDER, Reason.MALFORMED,
    Reason.TOO_LARGE,
})  # fmt: skip
"""Reasons that lie in the message itself, so that the same bytes would be refused again."""
_CHUNK = 500

_TAKE = """
select rejection, topic, key, payload from ingest.rejection
where payload is not null and reason <> all($1::text[])
  and ($2::text is null or reason = $2) and ($3::text is null or provider = $3)
  and ($4 or not exists (select from ingest.replay where replay.rejection = rejection.rejection))
  and rejection > $5 and rejected_at <= $6
order by rejection limit $7
"""
_NOTE = "insert into ingest.replay (rejection) select unnest($1::uuid[])"


async def replay(connection: Connection, kafka: str, *, reason: str | None, provider: str | None, again: bool) -> int:
    """Send the wanted rejections through again and return how many there were."""
    sender = Sender(kafka, "replay", patient=False)
    began = await connection.fetchval("select clock_timestamp()")
    last, sent = "00000000-0000-0000-0000-000000000000", 0
    try:
        while rows := await connection.fetch(_TAKE, list(NEVER_REPLAYED), reason, provider, again, last, began, _CHUNK):
            await sender.send([Message(row["topic"], row["payload"], key=row["key"]) for row in rows])
            await connection.execute(_NOTE, [row["rejection"] for row in rows])
            last, sent = rows[-1]["rejection"], sent + len(rows)
    finally:
        await sender.stop()
    return sent
