"""The ways that documents go: by e-mail, and into a store."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol

import msgspec
from aiokafka.errors import KafkaError

from services.contract.model import Contract
from services.delivery.journal import Journal, Sending, Verdict
from services.delivery.mail import ATTACHED, mail
from services.delivery.outbox import Channel, Delivery
from services.delivery.outcome import Outcome, State
from services.delivery.settings import Ways
from services.delivery.smtp import MailServer, Postman
from services.delivery.store import Store

NOT_SENT = {
    Verdict.WAS_SENT: Outcome(State.SENT, "it was sent before: so the topic says, and the database did not know"),
    Verdict.NOBODY_KNOWS: Outcome(
        State.DOUBTFUL,
        "an earlier attempt began and nobody said how it ended: the program was killed, or the database was set back",
    ),
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of an attempt, the SHA-256 of what was sent by its name, and whether the topic waits for its end."""

    outcome: Outcome
    files: Mapping[str, str] = field(default_factory=dict)
    is_announced: bool = False


class Way(Protocol):
    """A way to institutions."""

    channel: Channel

    def addresses(self, contract: Contract, institution: str) -> Sequence[str]:
        """Return to where an institution's documents go."""

    async def send(self, delivery: Delivery, attempt: uuid.UUID, texts: Mapping[str, bytes]) -> Tried:
        """Send a document's files, by form."""

    async def tell(self, delivery: Delivery, attempt: uuid.UUID, tried: Tried) -> None:
        """Tell others how an attempt ended, where they must know."""

    async def leave(self) -> None:
        """End connections: nothing more is sent for now."""


class ByEmail:
    """To each of an institution's addresses, a message of its own; never twice by accident (`journal`)."""

    channel = Channel.EMAIL

    def __init__(self, server: MailServer, journal: Journal, sender: str, bytes_max: int) -> None:
        self._postman, self._journal, self._sender, self._bytes_max = Postman(server), journal, sender, bytes_max

    def addresses(self, contract: Contract, institution: str) -> Sequence[str]:
        """Return the institution's e-mail addresses."""
        buyer = contract.institutions[institution].buyer
        return list(dict.fromkeys(buyer.party.emails)) if buyer else []

    async def send(self, delivery: Delivery, attempt: uuid.UUID, texts: Mapping[str, bytes]) -> Tried:
        """Send PDF and e-invoice, once the topic has it that this attempt may."""
        document = msgspec.json.decode(texts["json"])
        sender = self._sender or next(iter(document["seller"]["emails"]), "")
        if not sender:
            nobody = "nobody to send it: set PLAFOND_MAIL_FROM, or give the contract's coordinator `emails`"
            return Tried(Outcome(State.LATER, nobody, is_trouble=True))
        written = mail(
            document, {form: texts[form] for form in ATTACHED if form in texts}, delivery.address, delivery.round,
            sender=sender, bytes_max=self._bytes_max, now=datetime.now(UTC),
        )  # fmt: skip
        try:
            verdict = await self._journal.ask(_sending(delivery), attempt)
        except (KafkaError, TimeoutError, OSError) as error:
            said = f"Kafka, without which nothing is sent: {error!r}"
            return Tried(Outcome(State.LATER, said, is_trouble=True))
        if verdict is not Verdict.MAY:
            return Tried(NOT_SENT[verdict])
        return Tried(await self._postman.hand_in(written), written.files, is_announced=True)

    async def tell(self, delivery: Delivery, attempt: uuid.UUID, tried: Tried) -> None:
        """Tell the topic, unless nobody knows how it ended."""
        if tried.is_announced and tried.outcome.state is not State.DOUBTFUL:
            await self._journal.tell(_sending(delivery), attempt, is_sent=tried.outcome.state is State.SENT)

    async def leave(self) -> None:
        """End the connection to the mail server."""
        await self._postman.leave()


class IntoStore:
    """Every file into a folder or a bucket; what is put there twice is the same, so nobody is asked."""

    channel = Channel.STORE

    def __init__(self, store: Store) -> None:
        self._store = store

    def addresses(self, contract: Contract, institution: str) -> Sequence[str]:  # noqa: ARG002 the same for all
        """Return the store's URL."""
        return [self._store.url]

    async def send(self, delivery: Delivery, attempt: uuid.UUID, texts: Mapping[str, bytes]) -> Tried:  # noqa: ARG002
        """Put all files of a document into the institution's folder."""
        if delivery.address != self._store.url:
            return Tried(Outcome(State.LATER, f"the store is {self._store.url} now: send it there, and dismiss this"))
        named = {f"{delivery.number}.{form}": text for form, text in texts.items()}
        outcome = await self._store.put(delivery.institution, named)
        return Tried(outcome, {name: sha256(text).hexdigest() for name, text in named.items()})

    async def tell(self, delivery: Delivery, attempt: uuid.UUID, tried: Tried) -> None:
        """Tell nobody."""

    async def leave(self) -> None:
        """Leave nothing open."""


def ways_of(settings: Ways, journal: Journal) -> list[Way]:
    """Return the ways that are set up."""
    found: list[Way] = []
    if settings.mail is not None:
        found.append(ByEmail(settings.mail, journal, settings.sender, settings.mail_bytes_max))
    if settings.store is not None:
        found.append(IntoStore(settings.store))
    return found


def _sending(delivery: Delivery) -> Sending:
    return Sending(delivery.number, delivery.address, delivery.round)
