"""One round of delivery: what was issued is made, queued for whoever is to have it, and what is due is sent.

Law: before an e-mail is sent, the topic `deliveries` has it that this attempt alone may send it; how that ended is
kept in the topic and in the outbox.
"""

import asyncio
import uuid
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import asyncpg
import msgspec
import structlog
from aiokafka.errors import KafkaError

from services import contract_store
from services.contract.model import Contract
from services.delivery import outbox
from services.delivery.documents import Documents, MissingError
from services.delivery.journal import Journal, Sending, Verdict
from services.delivery.mail import ATTACHED, Mail, mail
from services.delivery.metrics import ATTEMPTS_TOTAL
from services.delivery.outbox import Channel, Delivery
from services.delivery.outcome import Outcome, State
from services.delivery.settings import Ways
from services.delivery.smtp import Postman
from services.documents.files import forms_in
from services.postgres import Connection

AT_ONCE = 100
STOP_SECONDS_MAX = 8.0
NOT_SENT = {
    Verdict.WAS_SENT: Outcome(State.SENT, "it was sent before: so the topic says, and the database did not know"),
    Verdict.NOBODY_KNOWS: Outcome(
        State.DOUBTFUL,
        "an earlier attempt began and nobody said how it ended: the program was killed, or the database was set back",
    ),
}
_ALONE = "select pg_try_advisory_lock(hashtext('delivery'))"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of an attempt, the SHA-256 of what was sent by its name, and whether the topic waits for its end."""

    outcome: Outcome
    files: Mapping[str, str] = field(default_factory=dict)
    is_announced: bool = False


class Rounds:
    """Goes one round after the other; of several workers, one at a time."""

    def __init__(self, pool: asyncpg.Pool, journal: Journal, documents: Documents, ways: Ways) -> None:
        self._pool, self._journal, self._documents, self._ways = pool, journal, documents, ways
        self._postman = Postman(ways.mail) if ways.mail else None

    async def go(self) -> int:
        """Go one round and return how many attempts were made; raises what PostgreSQL and Kafka raise when away."""
        async with self._pool.acquire() as connection:  # that it is let go gives the lock back
            if not await connection.fetchval(_ALONE):
                return 0
            newest = await contract_store.newest(connection)
            if newest is None:
                return 0
            await outbox.open_channels(connection, self._ways.channels)
            await self._documents.make(connection)
            forms = forms_in(newest.contract.currency)
            await self._queue(connection, newest.contract, forms)
            try:
                return await self._send_due(connection, forms)
            finally:
                if self._postman is not None:
                    await self._postman.leave()

    async def _queue(self, connection: Connection, contract: Contract, forms: Collection[str]) -> None:
        """Give each channel what it has not been given of what is made."""
        for each in await outbox.not_given(connection, self._ways.channels):
            try:
                await self._documents.read(connection, each.month, each.institution, each.number, forms)
            except MissingError:  # it lacks something, which is told where invoices are parked
                continue
            if await outbox.give(connection, each, self._addresses(contract, each.institution, each.channel)):
                log.info("delivery.queued", number=each.number, channel=each.channel)

    def _addresses(self, contract: Contract, institution: str, channel: Channel) -> Sequence[str]:
        if channel is Channel.STORE:
            assert self._ways.store is not None, "the channel is set up"
            return [self._ways.store.url]
        buyer = contract.institutions[institution].buyer
        return list(dict.fromkeys(buyer.party.emails)) if buyer else []

    async def _send_due(self, connection: Connection, forms: Collection[str]) -> int:
        made = after = 0
        while batch := await outbox.due(connection, self._ways.channels, after, AT_ONCE):
            for each in batch:
                await _to_its_end(self._attempt(connection, each, forms))
                after = each.delivery
                made += 1
        return made

    async def _attempt(self, connection: Connection, delivery: Delivery, forms: Collection[str]) -> None:
        """Try to deliver, and keep how that ended."""
        attempt = uuid.uuid4()
        try:
            texts = await self._documents.read(connection, delivery.month, delivery.institution, delivery.number, forms)
        except MissingError as error:
            tried = Tried(Outcome(State.LATER, str(error)))
        else:
            tried = await self._send(delivery, attempt, texts)
        await asyncio.gather(
            self._tell(delivery, attempt, tried),
            outbox.end(connection, delivery, attempt, tried.outcome, tried.files),
        )
        ATTEMPTS_TOTAL.labels(delivery.channel.value, tried.outcome.state.value).inc()
        log.info(
            "delivery.tried", delivery=delivery.delivery, number=delivery.number, channel=delivery.channel,
            address=delivery.address, outcome=tried.outcome.state, answer=tried.outcome.answer,
        )  # fmt: skip

    async def _tell(self, delivery: Delivery, attempt: uuid.UUID, tried: Tried) -> None:
        if tried.is_announced and tried.outcome.state is not State.DOUBTFUL:
            await self._journal.tell(_sending(delivery), attempt, is_sent=tried.outcome.state is State.SENT)

    async def _send(self, delivery: Delivery, attempt: uuid.UUID, texts: Mapping[str, bytes]) -> Tried:
        """Send by the delivery's channel; what is put into a store twice is the same, so nobody is asked."""
        if delivery.channel is Channel.STORE:
            return await self._put(delivery, texts)
        document = msgspec.json.decode(texts["json"])
        sender = self._ways.sender or next(iter(document["seller"]["emails"]), "")
        if not sender:
            nobody = "nobody to send it: set PLAFOND_MAIL_FROM, or give the contract's coordinator `emails`"
            return Tried(Outcome(State.LATER, nobody))
        written = mail(
            document, {form: texts[form] for form in ATTACHED if form in texts}, delivery.address, delivery.round,
            sender=sender, bytes_max=self._ways.mail_bytes_max, now=datetime.now(UTC),
        )  # fmt: skip
        return await self._mail(delivery, attempt, written)

    async def _put(self, delivery: Delivery, texts: Mapping[str, bytes]) -> Tried:
        store = self._ways.store
        assert store is not None, "the channel is set up"
        if delivery.address != store.url:
            return Tried(Outcome(State.LATER, f"the store is {store.url} now: send it there, and dismiss this"))
        named = {f"{delivery.number}.{form}": text for form, text in texts.items()}
        outcome = await store.put(delivery.institution, named)
        return Tried(outcome, {name: sha256(text).hexdigest() for name, text in named.items()})

    async def _mail(self, delivery: Delivery, attempt: uuid.UUID, written: Mail) -> Tried:
        assert self._postman is not None, "the channel is set up"
        try:
            verdict = await self._journal.ask(_sending(delivery), attempt)
        except (KafkaError, TimeoutError, OSError) as error:
            return Tried(Outcome(State.LATER, f"Kafka, without which nothing is sent: {error!r}"))
        if verdict is not Verdict.MAY:
            return Tried(NOT_SENT[verdict])
        return Tried(await self._postman.hand_in(written), written.files, is_announced=True)


def _sending(delivery: Delivery) -> Sending:
    return Sending(delivery.number, delivery.address, delivery.round)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do some work to its end also when the service is told to stop meanwhile."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=STOP_SECONDS_MAX)
        raise
