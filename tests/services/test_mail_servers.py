"""Handing e-mails to servers that want encryption and a password, and to some that are not what they should be."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from services.delivery.mail import Mail
from services.delivery.outcome import Outcome, State
from services.delivery.smtp import Postman, mail_server
from services.stack.process import free_ports
from tests.mailbox import Mailbox

pytestmark = pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS"
)  # it is encrypted from the start
MAIL = Mail("billing@digit.example", "invoices@ep.example", b"Subject: Invoice\r\n\r\n.\r\n..two\r\nthe end\r\n", {})


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this program trusts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


def context(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(made)
    return made


def knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=data.password == b"s3cret/word", handled=False)


@contextmanager
def server(tls: ssl.SSLContext | None, implicit: ssl.SSLContext | None = None) -> Iterator[tuple[int, Mailbox]]:
    kept = Mailbox()
    (port,) = free_ports(1)
    controller = Controller(
        kept, hostname="localhost", port=port, ssl_context=implicit, tls_context=tls, require_starttls=tls is not None,
        auth_required=True, auth_require_tls=implicit is None, authenticator=knows,
    )  # fmt: skip
    controller.start()
    try:
        yield port, kept
    finally:
        controller.stop()


async def hand_in(url: str) -> Outcome:
    postman = Postman(mail_server(url))
    try:
        return await postman.hand_in(MAIL)
    finally:
        await postman.leave()


@pytest.mark.parametrize("secured", ["smtp+starttls", "smtps"])
async def test_an_encrypted_server_with_a_password_takes_every_byte(authority: trustme.CA, secured: str):
    own = context(authority)
    with server(*((own, None) if secured == "smtp+starttls" else (None, own))) as (port, kept):
        outcome = await hand_in(f"{secured}://user:s3cret%2Fword@localhost:{port}")
    assert outcome.state is State.SENT, outcome.answer
    [message] = kept.messages[MAIL.address]
    assert message.get_payload() == ".\r\n..two\r\nthe end\r\n"


@pytest.mark.parametrize(
    ("secured", "name", "password", "said"),
    [
        ("smtp+starttls", "other.example", "s3cret%2Fword", "certificate verify failed"),
        ("smtps", "other.example", "s3cret%2Fword", "certificate verify failed"),
        ("smtp+starttls", "localhost", "wrong", "535"),
        ("smtp", "localhost", "s3cret%2Fword", "AUTH"),
    ],
)
async def test_nothing_is_told_to_a_server_that_is_not_the_one(
    authority: trustme.CA, secured: str, name: str, password: str, said: str
):
    own = context(authority, name)
    with server(*((None, own) if secured == "smtps" else (own, None))) as (port, kept):
        outcome = await hand_in(f"{secured}://user:{password}@localhost:{port}")
    assert outcome.state is State.LATER
    assert said in outcome.answer
    assert password not in outcome.answer
    assert not kept.messages


async def test_a_server_that_is_not_there_or_speaks_otherwise_is_tried_later(authority: trustme.CA):
    (port,) = free_ports(1)
    assert (await hand_in(f"smtp://localhost:{port}")).state is State.LATER
    with server(context(authority)) as (port, _):
        assert (await hand_in(f"smtps://localhost:{port}")).state is State.LATER
