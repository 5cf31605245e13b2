"""Delivery without servers: who may send, what an e-mail says, and which settings are refused."""

import email
import smtplib
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.journal import ABOUT_TO, NOT_SENT, SENT, Holders, Sending, Verdict, Word
from services.delivery.mail import Mail, mail
from services.delivery.settings import ways
from services.delivery.smtp import _escaped, mail_server
from services.documents.data import as_json
from tests.documents import line, made

NOW = datetime(2016, 4, 11, 9, 0, tzinfo=UTC)
FILES = {"pdf": b"%PDF-1.7 ...", "xml": b"<Invoice/>"}
HERE = Sending("N-1", "a@ep.example", 1)


def written(
    bytes_max: int = 1000, *, quantity: str = "100", exact: str = "123.45", address: str = "a@ep.example"
) -> Mail:
    document = msgspec.json.decode(as_json(made([line(quantity, exact)])))
    return mail(document, FILES, address, 1, sender="billing@digit.example", bytes_max=bytes_max, now=NOW)


def read(mail: Mail) -> EmailMessage:
    return cast("EmailMessage", email.message_from_bytes(mail.message, policy=default))


def text_of(mail: Mail) -> str:
    body = read(mail).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_an_email_is_in_the_institutions_language_and_has_both_files():
    message = read(written())
    assert (message["To"], message["Subject"]) == ("a@ep.example", "Facture SMALL-2016-000007, mars 2016")
    assert str(message["From"]) == "Coordinating body <billing@digit.example>"
    assert "À payer : 149,37\N{NO-BREAK SPACE}€, au plus tard le 11 mai 2016" in text_of(written())
    found = {each.get_filename(): each.get_content() for each in message.iter_attachments()}
    assert found["SMALL-2016-000007.pdf"] == FILES["pdf"]
    assert set(found) == {"SMALL-2016-000007.pdf", "SMALL-2016-000007.xml"}


@pytest.mark.parametrize(
    ("month", "said"),
    [
        ("2016-03", "000007 de mars 2016, au titre"),
        ("2016-04", "d'avril 2016"),
        ("2016-08", "d'août"),
        ("2016-10", "d'octobre"),
    ],
)
def test_a_french_month_has_its_preposition(month: str, said: str):
    document = msgspec.json.decode(as_json(made([line("1", "1")]))) | {"month": month}
    text = text_of(mail(document, FILES, "a@ep.example", 1, sender="b@digit.example", bytes_max=1000, now=NOW))
    assert said in text


def test_less_than_nothing_is_a_credit_note():
    message = read(written(quantity="-100", exact="-100"))
    assert message["Subject"] == "Note de crédit SMALL-2016-000007, mars 2016"
    assert "Crédité : 121,00\N{NO-BREAK SPACE}€" in text_of(written(quantity="-100", exact="-100"))


@pytest.mark.parametrize(("bytes_max", "attached"), [(1000, {"pdf", "xml"}), (15, {"pdf"}), (11, {"xml"}), (1, set())])
def test_what_is_too_large_is_left_out_and_said(bytes_max: int, attached: set[str]):
    made = written(bytes_max)
    assert {name.rpartition(".")[2] for name in made.files} == attached
    assert ("à retirer chez nous" in text_of(made)) is (attached != {"pdf", "xml"})


def test_a_message_is_named_by_document_address_and_round():
    assert read(written())["Message-ID"] == read(written(bytes_max=1))["Message-ID"]
    assert read(written())["Message-ID"] != read(written(address="b@ep.example"))["Message-ID"]


@given(st.binary(max_size=200).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b"\r\n")))
def test_data_end_where_the_message_does(data: bytes):
    sent = _escaped(data)
    assert sent.endswith(b"\r\n.\r\n") or sent == b".\r\n"
    assert b"\r\n.\r\n" not in sent[:-5]
    taken = [each.removeprefix(b".") for each in sent.removesuffix(b".\r\n").split(b"\r\n")]
    assert b"\r\n".join(taken).removesuffix(b"\r\n") == data.removesuffix(b"\r\n")
    assert smtplib.CRLF == "\r\n"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([ABOUT_TO, SENT, NOT_SENT]))))
def test_nobody_may_send_while_another_may_or_after_it_was_sent(said: list[tuple[str, str]]):
    holders = Holders()
    sent = False
    for attempt, state in said:
        may = [each for each in "abc" if holders.verdict(HERE, each) is Verdict.MAY]
        assert len(may) <= 1
        sent |= state == SENT and may == [attempt]
        holders.hear([Word(HERE, attempt, state)])
        verdicts = {holders.verdict(HERE, each) for each in "abc"}
        assert (Verdict.WAS_SENT in verdicts) is sent
        if sent:
            assert verdicts == {Verdict.WAS_SENT}


def test_whoever_comes_second_may_not_until_the_first_says_that_it_was_not_sent():
    holders = Holders()
    holders.hear([Word(HERE, "first", ABOUT_TO), Word(HERE, "second", ABOUT_TO)])
    assert holders.verdict(HERE, "first") is Verdict.MAY
    assert holders.verdict(HERE, "second") is Verdict.NOBODY_KNOWS
    holders.hear([Word(HERE, "second", NOT_SENT)])
    assert not holders.is_free(HERE), "whoever may not has nothing to say"
    holders.hear([Word(HERE, "first", NOT_SENT)])
    assert holders.is_free(HERE)
    assert holders.is_free(HERE._replace(round=2))


@pytest.mark.parametrize(
    ("url", "port"),
    [("smtp://mail", 25), ("smtps://mail", 465), ("smtp+starttls://u%40x:p%2Fw@mail", 587), ("smtp://mail:2525", 2525)],
)
def test_a_mail_servers_url(url: str, port: int):
    server = mail_server(url)
    assert (server.host, server.port) == ("mail", port)
    if server.user:
        assert (server.user, server.password) == ("u@x", "p/w")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PLAFOND_SMTP_URL", "mail.example.eu", "wanted one like smtp+starttls://"),
        ("PLAFOND_SMTP_URL", "smtp://user:secret@mail:port", "wanted one like smtp+starttls://"),
        ("PLAFOND_SMTP_URL_FILE", "/nowhere", "can't be read"),
        ("PLAFOND_STORE_URL", "ftp://mail", "wanted file:///srv/invoices or s3://bucket/prefix"),
        ("PLAFOND_MAIL_BYTES_MAX", "10 MB", "wanted a number of bytes"),
        ("PLAFOND_DOCUMENTS", "", "name a folder"),
    ],
)
def test_settings_that_are_none_are_refused_and_tell_no_secret(name: str, value: str, said: str):
    with pytest.raises(ValueError, match=r"PLAFOND_") as error:
        ways({"PLAFOND_DOCUMENTS": "documents", name: value})
    assert said in str(error.value)
    assert "secret" not in str(error.value)


def test_a_secret_may_lie_in_a_file(tmp_path: Path):
    (tmp_path / "url").write_text("smtps://u:p@mail\n")
    found = ways(
        {
            "PLAFOND_DOCUMENTS": "documents",
            "PLAFOND_SMTP_URL_FILE": str(tmp_path / "url"),
            "PLAFOND_STORE_URL": tmp_path.as_uri(),
        }
    )
    assert found.store is not None
    assert found.mail is not None
    assert found.mail.password == "p"
