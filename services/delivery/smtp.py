"""Handing e-mails to an SMTP server (RFC 5321).

Law: what becomes of a message is known up to the end of its data and again from the server's answer to that. Only where
the connection is lost in between can nobody say whether it was taken, and then that is what is said.
"""

import asyncio
import re
import smtplib
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from services.delivery.mail import Mail
from services.delivery.outcome import Outcome, State

SECONDS_MAX = 60.0
TAKEN_SECONDS_MAX = 600.0
"""How long a server may take to say that it has taken a message (RFC 5321, 4.5.3.2.6)."""
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_READY_FOR_DATA, _TAKEN = 354, (250, 251)
_FOR_GOOD = 500
_FORM = "one like smtp+starttls://user:password@mail.example.eu:587, smtps://… or, without encryption, smtp://…"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mails are handed in; `secured` is smtp (plain), smtp+starttls or smtps."""

    secured: str
    host: str
    port: int
    user: str = ""
    password: str = ""


def mail_server(url: str) -> MailServer:
    """Read a URL; raises ValueError, without the password, where it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"the mail server's URL can't be used: wanted {_FORM}")
    return MailServer(
        parts.scheme, parts.hostname, port or _PORTS[parts.scheme],
        unquote(parts.username or ""), unquote(parts.password or ""),
    )  # fmt: skip


class Postman:
    """Hands in one e-mail after the other, over one connection for as long as that lasts."""

    def __init__(self, server: MailServer, *, taken_seconds_max: float = TAKEN_SECONDS_MAX) -> None:
        self._server, self._taken_seconds_max = server, taken_seconds_max
        self._smtp: smtplib.SMTP | None = None

    async def hand_in(self, mail: Mail) -> Outcome:
        """Hand one in and return what became of it; never raises for what a server does."""
        return await asyncio.to_thread(self._hand_in, mail)

    async def leave(self) -> None:
        """End the connection."""
        await asyncio.to_thread(self._leave)

    def _hand_in(self, mail: Mail) -> Outcome:
        try:
            smtp = self._connected()
            refusal = _offered(smtp, mail)
            if refusal is not None:
                self._leave()
                return refusal
            smtp.send(_escaped(mail.message))
        except (OSError, smtplib.SMTPException) as error:  # the data did not end, so nobody has them
            self._drop()
            return Outcome(State.LATER, f"{self._server.host}: {_said(error)}", is_trouble=True)
        try:
            assert smtp.sock is not None, "it was sent to just now"
            smtp.sock.settimeout(self._taken_seconds_max)
            code, answer = smtp.getreply()
            smtp.sock.settimeout(SECONDS_MAX)
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            said = f"{self._server.host} has all of it and did not say more: {_said(error)}"
            return Outcome(State.DOUBTFUL, said, is_trouble=True)
        return Outcome(_state(code), _words(code, answer))

    def _connected(self) -> smtplib.SMTP:
        """Return a connection that is good for another message; raises OSError or SMTPException."""
        if self._smtp is not None:
            try:
                if self._smtp.rset()[0] == 250:
                    return self._smtp
            except smtplib.SMTPServerDisconnected:  # it was idle for too long
                pass
            self._drop()
        server = self._server
        if server.secured == "smtps":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=SECONDS_MAX, context=ssl.create_default_context()
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=SECONDS_MAX)
        self._smtp = smtp
        if server.secured == "smtp+starttls":
            smtp.starttls(context=ssl.create_default_context())
        if server.user:
            smtp.login(server.user, server.password)
        smtp.ehlo_or_helo_if_needed()
        return smtp

    def _leave(self) -> None:
        if self._smtp is not None:
            try:
                self._smtp.quit()
            except (OSError, smtplib.SMTPException):
                self._drop()
            self._smtp = None

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None


def _offered(smtp: smtplib.SMTP, mail: Mail) -> Outcome | None:
    """Say from whom and to whom; return what becomes of it where the server does not want the data.

    A sender that is refused is ours to mend, so it is tried again; an address that is refused for good is not.
    """
    code, answer = smtp.mail(mail.sender)
    if code != 250:
        said = f"the sender {mail.sender} is refused: {_words(code, answer)}"
        return Outcome(State.LATER, said, is_trouble=True)
    code, answer = smtp.rcpt(mail.address)
    if code not in _TAKEN:
        return Outcome(_state(code), _words(code, answer))
    code, answer = smtp.docmd("DATA")
    return None if code == _READY_FOR_DATA else Outcome(_state(code), _words(code, answer))


def _state(code: int) -> State:
    if code in _TAKEN:
        return State.SENT
    return State.REFUSED if code >= _FOR_GOOD else State.LATER


def _escaped(message: bytes) -> bytes:
    """Return a message as data, with their end (RFC 5321, 4.5.2: a line that begins with a dot gets another)."""
    data = re.sub(rb"(?m)^\.", b"..", message)
    return data + (b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n")


def _words(code: int, answer: bytes) -> str:
    return f"{code} {' '.join(answer.decode('utf-8', 'replace').split())}"


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
