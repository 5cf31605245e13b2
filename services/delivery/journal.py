"""The topic `deliveries`: who may send a document to an address.

Law: whoever's word comes first in the topic may, and nobody else ever does, unless the word comes that it was not
sent. So nothing goes out twice by accident: not by two workers side by side, not by one that was paused, not after a
kill, and not from a database that was set back to an older state and knows nothing of it any more.
"""

import asyncio
import uuid
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.avro import UnreadableError, codec
from services.kafka import DELIVERIES, Message, Sender, let_go
from services.kafka_security import client

ABOUT_TO, SENT, NOT_SENT = "about_to", "sent", "not_sent"
_PLACE = TopicPartition(DELIVERIES, 0)
_POLL_MS = 500
_READ_SECONDS_MAX = 60.0

log = structlog.get_logger()


class Sending(NamedTuple):
    """A document to an address, for the first time or once more because a person asked for it."""

    number: str
    address: str
    round: int


class Word(NamedTuple):
    """What somebody said of a sending."""

    sending: Sending
    attempt: str
    state: str


class Verdict(StrEnum):
    """Whether an attempt may send; if not, whether it is known to have been sent."""

    MAY = "may"
    WAS_SENT = "was sent"
    NOBODY_KNOWS = "nobody knows"


class Holders:
    """Who may send what, and what was sent, by what was said, in its order."""

    def __init__(self) -> None:
        self._holders: dict[Sending, str] = {}
        self._sent: set[Sending] = set()

    def hear(self, words: Iterable[Word]) -> None:
        """Take in what was said next."""
        for sending, attempt, state in words:
            if state == ABOUT_TO:
                self._holders.setdefault(sending, attempt)
            elif self._holders.get(sending) == attempt:
                if state == SENT:
                    self._sent.add(sending)
                elif sending not in self._sent:
                    del self._holders[sending]

    def is_free(self, sending: Sending) -> bool:
        """Tell whether nobody has begun it, or all were in vain."""
        return sending not in self._holders

    def verdict(self, sending: Sending, attempt: str) -> Verdict:
        """Return whether an attempt that was announced may send."""
        if sending in self._sent:
            return Verdict.WAS_SENT
        return Verdict.MAY if self._holders.get(sending) == attempt else Verdict.NOBODY_KNOWS


class Journal:
    """Reads the topic from its beginning, and says and hears words."""

    def __init__(self, servers: str, sender: Sender) -> None:
        self._servers, self._sender = servers, sender
        self._reader: AIOKafkaConsumer | None = None
        self._holders = Holders()

    async def ask(self, sending: Sending, attempt: uuid.UUID) -> Verdict:
        """Say that an attempt is about to begin, and return whether it may.

        Raises KafkaError or TimeoutError where the topic can't be read; then it may not.
        """
        await self._hear()
        if self._holders.is_free(sending):
            await self._say(sending, attempt, ABOUT_TO)
            await self._hear()
        return self._holders.verdict(sending, str(attempt))

    async def tell(self, sending: Sending, attempt: uuid.UUID, *, is_sent: bool) -> None:
        """Say how an attempt ended that was allowed."""
        await self._say(sending, attempt, SENT if is_sent else NOT_SENT)

    async def stop(self) -> None:
        """Let go of the connection; what was heard is heard again from the beginning."""
        reader, self._reader, self._holders = self._reader, None, Holders()
        if reader is not None:
            await let_go(reader)

    async def _say(self, sending: Sending, attempt: uuid.UUID, state: str) -> None:
        record = {**sending._asdict(), "attempt": str(attempt), "state": state}
        await self._sender.send([Message(DELIVERIES, codec("delivery").encode(record), partition=0)])

    async def _hear(self) -> None:
        """Hear all that was said by now; after a failure it is heard again from the beginning."""
        try:
            await asyncio.wait_for(self._hear_all(), _READ_SECONDS_MAX)
        except BaseException:
            await self.stop()
            raise

    async def _hear_all(self) -> None:
        if self._reader is None:
            reader = self._reader = AIOKafkaConsumer(**client(self._servers), enable_auto_commit=False)
            await reader.start()
            reader.assign([_PLACE])
            await reader.seek_to_beginning(_PLACE)
        end = (await self._reader.end_offsets([_PLACE]))[_PLACE]
        while await self._reader.position(_PLACE) < end:
            found = await self._reader.getmany(_PLACE, timeout_ms=_POLL_MS)
            self._holders.hear(word for message in found.get(_PLACE, []) if (word := _word(message)))


def _word(message: Any) -> Word | None:
    try:
        said = codec("delivery").decode(message.value)
    except UnreadableError as error:  # nobody of ours has said it
        log.warning("deliveries.unreadable", offset=message.offset, error=str(error))
        return None
    return Word(Sending(said["number"], said["address"], said["round"]), said["attempt"], said["state"])
