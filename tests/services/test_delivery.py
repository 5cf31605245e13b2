"""Delivery on real servers: each document once to each address, whatever breaks; into stores; and over HTTP."""

import asyncio
import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from services.delivery.channels import ways_of
from services.delivery.documents import Documents
from services.delivery.journal import Journal, Sending, Verdict
from services.delivery.rounds import Rounds
from services.delivery.settings import Ways, ways
from services.documents.files import FORMS
from services.kafka import Sender
from services.postgres import open_pool
from services.stack.process import free_ports
from tests.conftest import SMALL
from tests.mailbox import CUT, FULL, HANG, UNKNOWN, Mailbox, mailbox
from tests.pipeline import Pipeline, event

MARCH, APRIL = "2016-03", "2016-04"
FIRST, SECOND = "invoices@ep.example", "second@ep.example"
SENDER = "billing@digit.example"
KEYS = {"AWS_ACCESS_KEY_ID": "plafond", "AWS_SECRET_ACCESS_KEY": "only for tests", "AWS_REGION": "eu-west-1"}


@pytest.fixture(scope="module")
def contract() -> str:
    return SMALL


@pytest.fixture(scope="module")
def mail_server() -> Iterator[tuple[str, Mailbox]]:
    with mailbox() as server:
        yield server


@pytest.fixture(scope="module")
def box(mail_server: tuple[str, Mailbox]) -> Mailbox:
    return mail_server[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="module")
def by_mail(mail_server: tuple[str, Mailbox], folder: Path) -> dict[str, str]:
    return {"PLAFOND_SMTP_URL": mail_server[0], "PLAFOND_MAIL_FROM": SENDER, "PLAFOND_DOCUMENTS": str(folder)}


@asynccontextmanager
async def worker(pipeline: Pipeline, settings: Ways) -> AsyncIterator[Rounds]:
    """Give one worker's rounds, its connections its own."""
    pool, sender = await open_pool(pipeline.url, "test"), Sender(pipeline.kafka, "test")
    journal = Journal(pipeline.kafka, sender)
    try:
        yield Rounds(pool, Documents(settings.documents, pipeline.url), ways_of(settings, journal))
    finally:
        await journal.stop()
        await sender.stop()
        await pool.close()


async def go(pipeline: Pipeline, environment: dict[str, str]) -> int:
    """Go one round, with all that waits due now."""
    await pipeline.fetch("update delivery.outbox set due_at = now() where state = 'queued'")
    async with worker(pipeline, ways(environment)) as rounds:
        return await rounds.go()


async def close(pipeline: Pipeline, month: str, *numbers: str) -> str:
    """Use something in a month, close it, and return the number of EP's invoice."""
    events = [
        event("alpha", f"{month}-{each}", subject=each, quantity="100", time=f"{month}-02T10:00:00Z")
        for each in ("EP", "EC")
    ]
    await pipeline.push("alpha", events)
    await pipeline.through()
    return next(each.number for each in await pipeline.close(month) if each.statement.institution == "EP")


async def states(pipeline: Pipeline, number: str) -> dict[tuple[str, int], str]:
    rows = await pipeline.fetch(
        "select address, round, state from delivery.outbox where number = $1 and channel = 'email'", number
    )
    return {(row["address"], row["round"]): row["state"] for row in rows}


async def test_what_was_issued_before_is_not_sent_and_what_is_after_goes_to_each_address_once(
    pipeline: Pipeline, box: Mailbox, by_mail: dict[str, str]
):
    february = await close(pipeline, "2016-02")
    assert await go(pipeline, by_mail) == 0
    march = await close(pipeline, MARCH)
    assert await go(pipeline, by_mail) == 2
    assert await go(pipeline, by_mail) == 0
    assert {address: len(box.messages[address]) for address in (FIRST, SECOND)} == {FIRST: 1, SECOND: 1}
    [message] = box.messages[FIRST]
    sent = {each.get_filename(): each.get_payload(decode=True) for each in message.iter_attachments()}
    recorded = {
        f"{march}.{row['form']}": row["sha256"]
        for row in await pipeline.fetch("select form, sha256 from invoicing.document where name = $1", march)
    }
    assert sent.keys() == {f"{march}.pdf", f"{march}.xml"}
    assert all(hashlib.sha256(text).digest() == recorded[name] for name, text in sent.items())
    shown = pipeline.json("delivery", "show", march)
    assert [each["outcome"] for each in shown["attempts"]] == ["sent", "sent"]
    assert shown["attempts"][0]["files"] == {name: recorded[name].hex() for name in sent}
    listed = pipeline.json("delivery", "list", "--month", MARCH)
    assert {each["number"] for each in listed["to_nobody"]} == {f"{march[:-1]}{int(march[-1]) - 1}"}, (
        "EC has no address"
    )
    assert pipeline.json("delivery", "show", february) == {"attempts": [], "downloads": []}


async def test_a_full_mailbox_is_tried_again_and_an_unknown_one_is_not(
    pipeline: Pipeline, box: Mailbox, by_mail: dict[str, str]
):
    number = await close(pipeline, APRIL)
    before = len(box.messages[FIRST]), len(box.messages[SECOND])
    box.answers[FIRST], box.answers[SECOND] = [FULL], [UNKNOWN]
    await go(pipeline, by_mail)
    assert await states(pipeline, number) == {(FIRST, 1): "queued", (SECOND, 1): "refused"}
    [waiting] = await pipeline.fetch(
        "select tries, answer, due_at > now() as later from delivery.outbox where state = 'queued'"
    )
    assert (waiting["tries"], waiting["answer"], waiting["later"]) == (1, FULL, True)
    assert "waits to be sent" in pipeline.command(
        "delivery", "resend", number, "--to", FIRST, "--reason", "?", status=1
    )
    await go(pipeline, by_mail)
    assert await states(pipeline, number) == {(FIRST, 1): "sent", (SECOND, 1): "refused"}
    assert (len(box.messages[FIRST]), len(box.messages[SECOND])) == (before[0] + 1, before[1])
    assert UNKNOWN in pipeline.command("delivery", "list", "--state", "refused", status=1)
    pipeline.command("delivery", "resend", number, "--to", SECOND, "--to", "new@ep.example", "--reason", "Mended")
    await go(pipeline, by_mail)
    found = await states(pipeline, number)
    [again] = [round_ for address, round_ in found if address == SECOND and round_ > 1]
    assert found == {
        (FIRST, 1): "sent", (SECOND, 1): "dismissed", (SECOND, again): "sent", ("new@ep.example", 1): "sent",
    }  # fmt: skip
    assert pipeline.json("delivery", "list", "--month", APRIL)["deliveries"][-1]["state"] == "sent"


@pytest.mark.parametrize("bad", [("--to", "nobody"), ("--reason", " ")])
def test_what_is_asked_for_wrongly_is_said(pipeline: Pipeline, bad: tuple[str, str]):
    said = pipeline.command("delivery", "resend", "SMALL-2016-000001", "--reason", "x", *bad, status=2)
    assert bad[0] in said
    assert "there is no invoice 'X'" in pipeline.command("delivery", "show", "X", status=1)
    assert "no delivery 99" in pipeline.command("delivery", "dismiss", "99", "--reason", "x", status=1)


async def test_a_connection_cut_before_the_answer_is_doubtful_and_never_sent_again(
    pipeline: Pipeline, box: Mailbox, by_mail: dict[str, str]
):
    number = await close(pipeline, "2016-05")
    box.answers[FIRST] = [CUT]
    before = len(box.messages[FIRST])
    for _ in range(3):
        await go(pipeline, by_mail)
    assert await states(pipeline, number) == {(FIRST, 1): "doubtful", (SECOND, 1): "sent"}
    assert len(box.messages[FIRST]) == before + 1, "it did arrive, and nobody could know"
    [doubtful] = pipeline.json("delivery", "list", "--state", "doubtful", status=1)["deliveries"]
    pipeline.command("delivery", "dismiss", str(doubtful["delivery"]), "--reason", "They have it")
    assert pipeline.json("delivery", "list", "--state", "doubtful")["deliveries"] == []


async def test_a_credit_note_is_sent_too(pipeline: Pipeline, box: Mailbox, by_mail: dict[str, str]):
    invoice = (
        await pipeline.fetch("select number from invoicing.invoice where month = $1 and institution = 'EP'", MARCH)
    )[0]["number"]
    note = pipeline.json("invoice", "credit", invoice, "--reason", "It stood still")["number"]
    await go(pipeline, by_mail)
    assert await states(pipeline, note) == {(FIRST, 1): "sent", (SECOND, 1): "sent"}
    assert box.names(FIRST)[-1] == f"Note de crédit {note}, mars 2016"


async def test_a_database_that_was_set_back_sends_nothing_again(
    pipeline: Pipeline, box: Mailbox, by_mail: dict[str, str]
):
    counts = {address: len(messages) for address, messages in box.messages.items()}
    await pipeline.fetch("""
        update delivery.outbox set state = 'queued', ended_at = null where state = 'sent' or answer = 'They have it'
    """)
    await go(pipeline, by_mail)
    assert {address: len(messages) for address, messages in box.messages.items()} == counts
    rows = await pipeline.fetch(
        "select distinct state, answer from delivery.outbox where channel = 'email' and state <> 'refused'"
    )
    assert {row["state"] for row in rows} >= {"sent", "doubtful"}
    assert "the database did not know" in "".join(row["answer"] for row in rows)


async def test_a_server_in_trouble_is_asked_with_one_delivery_and_the_store_goes_on(
    pipeline: Pipeline, folder: Path, tmp_path: Path
):
    (port,) = free_ports(1)
    environment = {
        "PLAFOND_DOCUMENTS": str(folder), "PLAFOND_MAIL_FROM": SENDER, "PLAFOND_SMTP_URL": f"smtp://127.0.0.1:{port}",
        "PLAFOND_STORE_URL": (tmp_path / "beside").as_uri(),
    }  # fmt: skip
    await go(pipeline, environment)
    number = await close(pipeline, "2016-06")
    async with worker(pipeline, ways(environment)) as rounds:
        assert await rounds.go() == 1 + 2, "one e-mail of two, and both documents into the folder"
        assert await rounds.go() == 0, "the mail server is left alone for a while"
    rows = await pipeline.fetch(
        "select channel, state, tries from delivery.outbox where number = $1 order by delivery", number
    )
    assert sorted(map(tuple, rows)) == [("email", "queued", 0), ("email", "queued", 1), ("store", "sent", 1)]


async def test_a_file_that_can_not_be_written_costs_its_own_document_alone(
    pipeline: Pipeline, folder: Path, by_mail: dict[str, str]
):
    number = await close(pipeline, "2016-07")
    (folder / "EP" / f"{number}.pdf").mkdir(parents=True)
    async with worker(pipeline, ways(by_mail)) as rounds:
        await rounds.go()
        said = rounds._documents.lacking
        assert list(said) == [number]
        assert f"{number}.pdf: can't be written: Is a directory" in said[number]
        await rounds.go()
    assert await states(pipeline, number) == {}
    listed = pipeline.json("delivery", "list", "--month", "2016-07")
    assert number in {each["number"] for each in listed["not_made"]}
    (folder / "EP" / f"{number}.pdf").rmdir()
    await go(pipeline, by_mail)
    assert await states(pipeline, number) == {(FIRST, 1): "sent", (SECOND, 1): "sent"}


async def test_of_two_workers_one_may(pipeline: Pipeline):
    async def ask(sending: Sending) -> Verdict:
        sender = Sender(pipeline.kafka, "test")
        journal = Journal(pipeline.kafka, sender)
        try:
            return await journal.ask(sending, uuid4())
        finally:
            await journal.stop()
            await sender.stop()

    for number in range(3):
        sending = Sending(f"raced-{number}", FIRST, 1)
        verdicts = await asyncio.gather(*(ask(sending) for _ in range(4)))
        assert sorted(verdicts) == [Verdict.MAY, *[Verdict.NOBODY_KNOWS] * 3]


async def test_a_worker_that_is_killed_while_it_sends_sends_nothing_twice(
    pipeline: Pipeline, box: Mailbox, by_mail: dict[str, str]
):
    number = await close(pipeline, "2016-08")
    box.answers[FIRST] = [HANG]
    before = len(box.messages[FIRST])
    box.has_all.clear()
    service = delivery(pipeline, by_mail)
    service.launch()
    try:
        await asyncio.to_thread(service.wait_until_ready)
        assert await asyncio.to_thread(box.has_all.wait, 60)
        service.kill()
        service.launch()
        await asyncio.to_thread(service.wait_until_ready)
        async with asyncio.timeout(60):
            while "queued" in (await states(pipeline, number)).values():
                await asyncio.sleep(0.2)
    finally:
        service.stop()
    assert await states(pipeline, number) == {(FIRST, 1): "doubtful", (SECOND, 1): "sent"}
    assert len(box.messages[FIRST]) == before + 1


def delivery(pipeline: Pipeline, environment: dict[str, str]) -> Any:
    """Return the delivery service, not yet started; its desk answers at `gateway_port`."""
    port, gateway_port = free_ports(2)
    pipeline.environment |= environment
    service = pipeline.service("delivery", port, gateway_port=gateway_port)
    service.desk = f"http://127.0.0.1:{gateway_port}"
    return service


async def test_a_folder_gets_every_file_and_nothing_is_replaced(pipeline: Pipeline, folder: Path, tmp_path: Path):
    environment = {"PLAFOND_DOCUMENTS": str(folder), "PLAFOND_STORE_URL": (tmp_path / "store").as_uri()}
    await go(pipeline, environment)
    number = await close(pipeline, "2016-09")
    (tmp_path / "store" / "EC").mkdir(parents=True, exist_ok=True)
    other = tmp_path / "store" / "EC" / f"{number[:-1]}{int(number[-1]) - 1}.pdf"
    other.write_bytes(b"of somebody else")
    assert await go(pipeline, environment) == 2
    found = {path.name for path in (tmp_path / "store" / "EP").glob(f"{number}.*")}
    assert found == {f"{number}.{form}" for form in FORMS}
    assert all((tmp_path / "store" / "EP" / name).read_bytes() == (folder / "EP" / name).read_bytes() for name in found)
    assert other.read_bytes() == b"of somebody else"
    [refused] = [
        each
        for each in pipeline.json("delivery", "list", "--state", "refused", status=1)["deliveries"]
        if each["channel"] == "store"
    ]
    assert refused["answer"] == f"other bytes lie at EC/{other.name} already"


@contextmanager
def bucket(folder: Path, port: int) -> Iterator[None]:
    """Run an S3 server over a folder whose folders are buckets."""
    program, key = Path(sys.executable).with_name("rclone"), ",".join(list(KEYS.values())[:2])
    words = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", key, folder]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 30
            while not answers(port):
                assert time.monotonic() < deadline, "the S3 server does not start"
                time.sleep(0.1)
            yield
        finally:
            server.terminate()


def answers(port: int) -> bool:
    try:
        return bool(httpx.get(f"http://127.0.0.1:{port}").status_code)
    except httpx.TransportError:
        return False


async def test_a_bucket_gets_every_file(
    pipeline: Pipeline, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (port,) = free_ports(1)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
        monkeypatch.setenv(name, value)
    environment = {"PLAFOND_DOCUMENTS": str(folder), "PLAFOND_STORE_URL": "s3://invoices/cloud"}
    number = await close(pipeline, "2016-10")
    await go(pipeline, environment)
    [row] = await pipeline.fetch("select state from delivery.outbox where number = $1", number)
    assert row["state"] == "queued", "the server is not there yet"
    (tmp_path / "invoices").mkdir()
    with bucket(tmp_path, port):
        await go(pipeline, environment)
    there = list((tmp_path / "invoices" / "cloud" / "EP").glob(f"{number}.*"))
    assert {path.name for path in there} == {f"{number}.{form}" for form in FORMS}
    assert all(path.read_bytes() == (folder / "EP" / path.name).read_bytes() for path in there)


async def test_an_institution_fetches_its_own_documents_and_no_others(
    pipeline: Pipeline, folder: Path, by_mail: dict[str, str]
):
    keys = {each: pipeline.json("keys", "create", "--institution", each)["key"] for each in ("EP", "EC")}
    service = delivery(pipeline, by_mail)
    service.launch()
    try:
        await asyncio.to_thread(service.wait_until_ready)
        async with httpx.AsyncClient(
            base_url=service.desk, headers={"Authorization": f"Bearer {keys['EP']}"}
        ) as client:
            await fetch_own(pipeline, client, keys["EC"], folder)
    finally:
        service.stop()


async def fetch_own(pipeline: Pipeline, client: httpx.AsyncClient, other_key: str, folder: Path) -> None:
    listed = (await client.get("/v1/documents", params={"month": MARCH})).json()["documents"]
    assert [each["document"] for each in listed] == ["credit note", "invoice"]
    [pdf] = [each for each in listed[1]["files"] if each["form"] == "pdf"]
    got = await client.get(pdf["href"])
    assert hashlib.sha256(got.content).hexdigest() == pdf["sha256"]
    assert (got.headers["etag"], got.headers["content-type"]) == (f'"{pdf["sha256"]}"', "application/pdf")
    again = await client.get(pdf["href"], headers={"If-None-Match": f'"other", W/{got.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    head = await client.head(pdf["href"])
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(got.content)), b"")
    for headers, href, status in (
        ({"Authorization": f"Bearer {other_key}"}, pdf["href"], 404),
        ({"Authorization": "Bearer plf_nobody"}, pdf["href"], 401),
        ({}, f"/v1/documents/{listed[0]['number']}/doc", 404),
        ({}, "/v1/documents/../pdf", 404),
        ({}, "/v1/documents/X%00/pdf", 404),
        ({}, "/v1/documents?month=abc", 422),
        ({}, "/v1/documents?month=%00", 422),
    ):
        answer = await client.get(href, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), href
    assert len(pipeline.json("delivery", "show", listed[1]["number"])["downloads"]) == 1
    shutil.rmtree(folder / "EP")
    assert (await client.get(pdf["href"])).status_code == 503
    async with asyncio.timeout(60):
        while (made := await client.get(pdf["href"])).status_code == 503:
            await asyncio.sleep(0.5)
    assert made.content == got.content


async def test_the_books_are_in_order(pipeline: Pipeline):
    assert await pipeline.audit() == []
    with pytest.raises(asyncpg.PostgresError):
        await pipeline.fetch("update delivery.attempt set answer = ''")
