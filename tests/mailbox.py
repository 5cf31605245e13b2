"""A real SMTP server that keeps what it takes, and fails as it is told."""

import asyncio
import email
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.stack.process import free_ports

FULL, UNKNOWN = "452 4.2.2 mailbox full", "550 5.1.1 no such mailbox"
CUT = "cut"
"""The connection is cut once the server has all of a message, before it says so."""
HANG = "hang"
"""The server says nothing once it has all of a message."""


class Mailbox:
    """What came, by address, and how the next messages to an address fail: each answer once."""

    def __init__(self) -> None:
        self.messages: dict[str, list[EmailMessage]] = defaultdict(list)
        self.answers: dict[str, list[str]] = defaultdict(list)
        self.has_all = threading.Event()

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802 named by aiosmtpd
        answers = self.answers[address]
        if answers and answers[0][0].isdigit():
            return answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 named by aiosmtpd
        (address,) = envelope.rcpt_tos
        self.messages[address].append(
            cast("EmailMessage", email.message_from_bytes(cast("bytes", envelope.content), policy=default))
        )
        self.has_all.set()
        fault = self.answers[address].pop(0) if self.answers[address] else None
        if fault == HANG:
            await asyncio.sleep(60)
        if fault == CUT:
            assert server.transport is not None
            server.transport.abort()
        return "250 OK"

    def names(self, address: str) -> list[str]:
        """Return the subjects of what came to an address."""
        return [str(each["Subject"]) for each in self.messages[address]]


@contextmanager
def mailbox() -> Iterator[tuple[str, Mailbox]]:
    """Run a server, and give its URL and what it keeps."""
    kept = Mailbox()
    (port,) = free_ports(1)
    controller = Controller(kept, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}", kept
    finally:
        controller.stop()
