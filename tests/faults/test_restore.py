"""A database set back to an older point and a replay of the topics end in the same ledger."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from services.decisions.topic import published
from services.invoicing.settle_open import settle_open_months
from services.kafka import ACCEPTED, ALERTS, DECISIONS, INGEST_GROUP, RATING_GROUP, Message, Sender, is_raw
from services.offsets import Offsets
from services.postgres import connect, migrate, open_pool
from services.rating.sql import STAGING
from services.recovery.recover import recover
from services.stack.postgres import USER, PostgresServer
from services.stack.postgres_files import find_installation, home, server_account
from services.stack.process import free_ports
from services.worker import AT_A_TIME
from tests.pipeline import SERVICES, Pipeline, event

DATABASE = "plafond"
CONTRACT = Path(__file__).parents[1] / "data" / "small.toml"
Decided = tuple[list[Any], set[Any]]
MARCH, APRIL, MAY = MONTHS = ("2016-03", "2016-04", "2016-05")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of one's own, which archives its log; its programs for backup are at hand."""
    made = PostgresServer(tmp_path_factory.mktemp("server") / "postgres", *free_ports(1))
    made.start()
    archive = _place(made) / "archive"
    archive.mkdir()
    _own(archive)
    program(made, "psql", "--dbname=postgres", "--command=alter system set archive_mode = on",
            f"--command=alter system set archive_command = 'cp %p {archive}/%f'")  # fmt: skip
    made.stop()
    made.start()
    made.create_database(DATABASE)
    yield made
    made.destroy()


@pytest_asyncio.fixture(scope="module")
async def pipeline(kafka: str, server: PostgresServer, contract: str, tmp_path_factory) -> AsyncIterator[Pipeline]:
    """The services on that server."""
    made = Pipeline(Path(tmp_path_factory.mktemp("services")), kafka, server.url(DATABASE))
    await made.prepare(contract)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


def program(server: PostgresServer, name: str, *words: str) -> None:
    """Run one of PostgreSQL's programs against the server."""
    programs = find_installation(server.folder / "data").folder
    password = server.url("x").partition(f"{USER}:")[2].partition("@")[0]
    place = ["--host=127.0.0.1", f"--port={server.port}", f"--username={USER}"]
    done = subprocess.run(
        [programs / name, *place, *words], check=False, env={"PGPASSWORD": password}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def usage(first: int, count: int, *, pool: str = "pool/backup", **more: str) -> list[bytes]:
    """Events of several payers and items, some of which are refused; a proportional pool's are shared at the close."""
    subjects, items = ("EP", "EC/AGRI", "EDA", pool), ("vm", "traffic", "nothing")
    return [
        event(
            "beta-north", number, subject=subjects[number % 4], item=items[number % 7 % 3],
            quantity=str(number % 11 + 1), **more,
        )
        for number in range(first, first + count)
    ]  # fmt: skip


def correction(number: str, corrects: str, quantity: str, **more: str) -> bytes:
    made = event("beta-north", number, quantity=quantity, **more)
    return made.replace(b'"data"', b'"corrects": "%s", "data"' % corrects.encode())


def _place(server: PostgresServer) -> Path:
    return home(server.folder, server_account())


def _own(folder: Path) -> None:
    """Give a folder to the account that the server runs under."""
    if account := server_account():
        subprocess.run(["chown", "-R", f"{account.user}:{account.group}", folder], check=True)


DECIDED = "select version, rerating, month, batch, after from decisions.decision order by number"
BOOKS = {
    "invoices": "select number, institution, month, version, total, issued_at from invoicing.invoice order by number",
    "lines": "select * from invoicing.invoice_line order by number, line",
    "credit notes": "select * from invoicing.credit_note order by number",
    "lines taken back": "select * from invoicing.credit_note_line order by number, line",
    "reissues": "select * from invoicing.reissue order by number",
    "disputes": "select * from invoicing.dispute_step order by step",
    "months": "select * from invoicing.month where closed_at is not null order by month",
    "overrides": "select * from invoicing.override order by month",
    "versions": "select * from contract.version order by version",
    "reratings": "select * from contract.rerating join contract.rerated using (rerating) order by rerating, award, month",
    "alerts": "select alert, level, code, threshold, ceiling, raised_at from invoicing.alert order by alert",
    "refused": "select rejection, provider, event_id, reason, payload from ingest.rejection order by rejection",
    "charged": "select award, item, month, tariff, subject, quantity, amount from invoicing.charged order by 1, 2, 3, 4, 5",
    "posted": """
        select side, invoice_month, month, award, institution, department, pool, item, tariff, sum(quantity), sum(amount)
        from invoicing.posting where side in ('institution', 'credited') group by 1, 2, 3, 4, 5, 6, 7, 8, 9
        having sum(quantity) <> 0 or sum(amount) <> 0 order by 1, 2, 3, 4, 5, 6, 7, 8, 9
    """,
    "counted": """
        select provider, usage.id, quantity, subject from rating.usage join rating.use using (use_no) order by 1, 2
    """,
}


def decided(rows: list[Any]) -> Decided:
    """Return what was decided in its order, and which charges came late, in any: they are posted side by side."""
    late = {row["batch"] for row in rows if row["batch"]}
    kept = [(row["version"], row["rerating"], row["month"]) for row in rows if not row["batch"]]
    return [each for each in kept if any(each)], late


async def books(pipeline: Pipeline) -> dict[str, Any]:
    """Return what must be the same again; what open months share is settled first, as it is every hour."""
    pool = await open_pool(pipeline.url, "settle")
    await settle_open_months(pool)
    await pool.close()
    found: dict[str, Any] = {name: await pipeline.fetch(statement) for name, statement in BOOKS.items()}
    found |= {month: await pipeline.statements(month) for month in MONTHS}
    found["decisions"] = decided(await pipeline.fetch(DECIDED))
    return found | {"spent": await pipeline.spent()}


async def same_books(pipeline: Pipeline, before: dict[str, Any]) -> None:
    after = await books(pipeline)
    assert {name: each for name, each in after.items() if each != before[name]} == {}
    assert await pipeline.audit() == []


def dump(server: PostgresServer, folder: Path) -> str:
    """Dump the database as the document says."""
    file = str(folder / f"backup-{uuid.uuid4()}")
    program(server, "pg_dump", "--format=custom", f"--file={file}", DATABASE)
    return file


def restore(server: PostgresServer, dumped: str, database: str = DATABASE) -> None:
    """Put a dump in the place of a database."""
    program(server, "dropdb", "--if-exists", database)
    program(server, "createdb", database)
    program(server, "pg_restore", f"--dbname={database}", "--exit-on-error", dumped)


async def taken_over(server: PostgresServer, folder: Path) -> Decided:
    """Return the decisions that the migration makes of a copy of the database in which there were none."""
    restore(server, dump(server, folder), "before")
    connection = await connect(server.url("before"))
    await connection.execute("drop schema decisions cascade; drop index ingest.rejection_conflict")
    await connection.execute("delete from plafond_migration where number = 15")
    await migrate(connection)
    found = await connection.fetch(DECIDED)
    await connection.close()
    return decided(found)


def apply(pipeline: Pipeline, folder: Path, text: str) -> None:
    """Apply a contract, and wait until ingest works with it."""
    (folder / "contract.toml").write_text(text, "utf-8")
    pipeline.command("contract", "apply", str(folder / "contract.toml"))


async def push(pipeline: Pipeline, events: list[bytes]) -> None:
    await pipeline.push("beta-north", events)
    await pipeline.through()


def killed_on_its_way(pipeline: Pipeline) -> None:
    """Begin a recovery and end it as a crash would, once it has repeated a decision and begins with the next."""
    command = [sys.executable, "-m", "services.cli", "recover", "--kafka", pipeline.kafka]
    environment = {**os.environ, **pipeline.environment}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        again = [line for line in islice(process.stderr, 2) if line.startswith("again: ")]
        process.kill()
    assert len(again) == 2, again
    assert process.returncode == -signal.SIGKILL, "it was through before it could be killed"


async def test_a_dump_and_all_that_was_decided_since_end_in_the_same_ledger(
    pipeline: Pipeline, server: PostgresServer, contract: str, tmp_path: Path
):
    """Two months are closed, one before and one after the backup, with late usage, conflicts and corrections around."""
    april, may = {"time": "2016-04-03T10:00:00Z"}, {"time": "2016-05-03T10:00:00Z"}
    either_way = [
        [event("beta-north", f"twice-{number}", quantity=quantity, subject=who, **april)
         for number, who in enumerate(whose)]
        for whose, quantity in ((("EP", "EDA", "EP", "EDA"), "20"), (("EDA", "EP", "EDA", "EP"), "30"))
    ]  # fmt: skip
    await push(pipeline, usage(0, 300))
    await push(pipeline, [*usage(300, 200, **april), event("beta-north", "large", quantity="2100")])
    march = [each["number"] for each in pipeline.json("close", MARCH, "--override", "tested")]
    before_it = pipeline.json("invoice", "credit", march[0], "--line", "1", "--reason", "Before the backup")["number"]
    pipeline.json("invoice", "dispute", march[1], "--line", "2", "--reason", "Not ours")
    await push(pipeline, usage(600, 60))
    await pipeline.stop("invoicing")
    await pipeline.push("beta-north", usage(700, 60, **april))
    await pipeline.read_by(INGEST_GROUP, is_raw)
    await pipeline.read_by(RATING_GROUP, ACCEPTED.__eq__)
    await pipeline.stop("rating")
    await pipeline.push("beta-north", usage(800, 60, **april))
    await pipeline.read_by(INGEST_GROUP, is_raw)
    dumped = dump(server, tmp_path)
    await pipeline.start("rating", "invoicing")
    for each in either_way:
        await push(pipeline, each)
    for number in (0, 1):  # whichever comes first again, the second closes the circle
        await push(pipeline, [correction(f"round-{number}", f"round-{1 - number}", "5", **april)])
    await push(pipeline, [correction("c-late", "large", "2000"), event("beta-north", "kept", quantity="3", **april)])
    pipeline.json(
        "invoice", "settle-dispute", "1", "--accepted", "--credit", "--borne-by", "supplier", "--note", "Right"
    )
    fixed = tmp_path / "fixed.toml"
    fixed.write_text(contract.replace('price = "0.06"', 'price = "0.03"'), "utf-8")
    pipeline.json("rerate", "--month", MARCH, "--contract", str(fixed), "--post")
    pipeline.json("close", APRIL, "--override", "tested")
    pipeline.json("invoice", "reissue", march[2], "--reason", "Wrong address")
    await push(pipeline, [
        correction("c-after", "kept", "50", subject="EDA", **april), *usage(700, 90, pool="EP", **april), *usage(900, 60, pool="EP"),
        *usage(1000, 90, **may),
    ])  # fmt: skip
    pipeline.json("rerate", "--month", APRIL, "--contract", str(fixed), "--post")
    apply(pipeline, tmp_path, contract.replace('budget = "200"', 'budget = "150"'))
    pipeline.json("invoice", "reissue", before_it, "--reason", "It was right after all")
    await push(pipeline, [*usage(1100, 60, **may), *usage(1200, 20, pool="EP")])
    await pipeline.through()
    assert await pipeline.audit() == []
    before = await books(pipeline)
    assert all(before.values())
    assert {row["reason"] for row in before["refused"]} == {"unknown_item", "conflict", "correction_circle"}
    assert await taken_over(server, tmp_path) == before["decisions"]
    await pipeline.stop()
    restore(server, dumped)
    pipeline.launch("rating")
    await pipeline.ended("rating")
    assert "run `plafond recover`" in pipeline.log("rating")
    killed_on_its_way(pipeline)
    recovered = pipeline.json("recover", "--kafka", pipeline.kafka)
    assert 0 < len(recovered["decisions"]) < 6, "the first of six was repeated by the run that was killed"
    assert pipeline.json("recover", "--kafka", pipeline.kafka)["decisions"] == []
    await pipeline.start()
    await pipeline.through()
    await same_books(pipeline, before)
    for row in [*before["invoices"], *before["credit notes"], *before["reissues"]]:
        assert pipeline.json("explain", row["number"], "--line", "1"), "the books say how each line came about"
    pipeline.json("close", MAY, "--override", "tested")
    assert await pipeline.audit() == []


async def test_a_database_that_is_lost_altogether_comes_back_from_the_topics(
    pipeline: Pipeline, server: PostgresServer
):
    before = await books(pipeline)
    await pipeline.stop()
    program(server, "dropdb", DATABASE)
    program(server, "createdb", DATABASE)
    pipeline.command("migrate")
    pipeline.command("recover", "--kafka", pipeline.kafka)
    await pipeline.start()
    await pipeline.through()
    await same_books(pipeline, before)


async def test_a_recovery_to_a_point_in_time_ends_in_the_same_ledger(
    pipeline: Pipeline, server: PostgresServer, tmp_path: Path
):
    base = tmp_path / "base"
    program(server, "pg_basebackup", f"--pgdata={base}", "--checkpoint=fast")
    await push(pipeline, usage(2000, 300))
    await pipeline.fetch("select pg_create_restore_point('noon')")
    await push(pipeline, usage(2300, 300))
    before = await books(pipeline)
    await pipeline.fetch("select pg_switch_wal()")
    await pipeline.stop()
    server.stop()
    data = _place(server) / "data"
    shutil.rmtree(data)
    shutil.copytree(base, data)
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = 'cp {data.parent}/archive/%f %p'\n")
        settings.write("recovery_target_name = 'noon'\nrecovery_target_action = 'promote'\n")
    (data / "recovery.signal").touch()
    _own(data)
    data.chmod(0o700)
    server.start()
    async with asyncio.timeout(30):
        while await pipeline.fetch("select pg_is_in_recovery()") != [(False,)]:
            await asyncio.sleep(0.1)
    assert await books(pipeline) != before
    pool = await open_pool(pipeline.url, "recover", size=2 * AT_A_TIME, first=STAGING)
    recovered = await recover(pool, pipeline.kafka, margin=1)
    await pool.close()
    ((batches,),) = await pipeline.fetch("select count(*) from rating.batch where partition is not null")
    assert 0 < recovered.read < batches, "the database says how far back"
    await pipeline.start()
    await pipeline.through()
    await same_books(pipeline, before)


async def test_another_file_under_a_number_is_never_taken_for_the_one_that_was_applied(
    pipeline: Pipeline, server: PostgresServer, contract: str, tmp_path: Path
):
    """The version was not published when the database was lost: all that is left of it is the file's digest in batches."""
    dumped = dump(server, tmp_path)
    await pipeline.stop("invoicing")
    apply(pipeline, tmp_path, contract.replace("grace_days = ", "grace_days = 1"))
    (newest,) = await pipeline.fetch("select max(version) as version from contract.version")
    await pipeline.taken_up("ingest", newest["version"])
    await pipeline.push("beta-north", usage(3000, 100))
    await pipeline.read_by(INGEST_GROUP, is_raw)
    await pipeline.read_by(RATING_GROUP, ACCEPTED.__eq__)
    counted = BOOKS["counted"]
    before = await pipeline.fetch(counted)
    await pipeline.stop()
    restore(server, dumped)
    apply(pipeline, tmp_path, contract.replace("grace_days = ", "grace_days = 2"))
    pipeline.command("recover", "--kafka", pipeline.kafka)
    waiting = pipeline.json("parked", "list")
    assert waiting
    assert all("is another file here" in each["error"] for each in waiting)
    restore(server, dumped)
    pipeline.command("recover", "--kafka", pipeline.kafka)
    waiting = pipeline.json("parked", "list")
    assert all("there is no contract version" in each["error"] for each in waiting)
    apply(pipeline, tmp_path, contract.replace("grace_days = ", "grace_days = 1"))
    assert pipeline.json("parked", "replay", "--kafka", pipeline.kafka)["sent_again"] == len(waiting)
    await pipeline.start()
    await pipeline.through()
    assert await pipeline.fetch(counted) == before
    assert await pipeline.audit() == []
    assert {each["resolution"] for each in pipeline.json("parked", "list", "--all")} == {"sent again"}


async def test_no_decision_comes_to_something_else(
    pipeline: Pipeline, server: PostgresServer, contract: str, tmp_path: Path
):
    """Neither another version under its number, nor another invoice: it is told, and services refuse to start."""
    dumped = dump(server, tmp_path)
    apply(pipeline, tmp_path, contract.replace("grace_days = ", "grace_days = 3"))
    await push(pipeline, usage(4000, 30, time="2016-06-03T10:00:00Z"))
    pipeline.json("close", "2016-06", "--override", "tested")
    assert await pipeline.audit() == []
    before = await books(pipeline)
    await pipeline.stop()
    restore(server, dumped)
    apply(pipeline, tmp_path, contract.replace("grace_days = ", "grace_days = 4"))
    said = pipeline.command("recover", "--kafka", pipeline.kafka, status=1)
    assert "the database was worked on after it was restored" in said
    assert "contract version" in said
    restore(server, dumped)
    await pipeline.fetch("update invoicing.series set last = last + 1")
    said = pipeline.command("recover", "--kafka", pipeline.kafka, status=1)
    assert "2016-06 is not closed again, since its invoices would be others" in said
    assert "and would be not issued" in said
    pipeline.launch("invoicing")
    await pipeline.ended("invoicing")
    assert "the recovery of the database was not ended" in pipeline.log("invoicing")
    await pipeline.fetch("update invoicing.series set last = last - 1")
    pipeline.command("recover", "--kafka", pipeline.kafka)
    await pipeline.start()
    await pipeline.through()
    await same_books(pipeline, before)


async def test_what_cannot_be_read_is_passed_over_and_a_topic_that_was_cut_is_told(
    pipeline: Pipeline, server: PostgresServer, tmp_path: Path
):
    dumped = dump(server, tmp_path)
    sender = Sender(pipeline.kafka, "poison")
    await sender.send([Message(topic, b"no decision", partition=0) for topic in (DECISIONS, ALERTS)])
    await sender.stop()
    before = await books(pipeline)
    assert await pipeline.audit() == []
    await pipeline.stop()
    restore(server, dumped)
    recovered = pipeline.json("recover", "--kafka", pipeline.kafka)
    assert [each.split(" offset ")[0] for each in recovered["unreadable"]] == [
        f"{DECISIONS} partition 0",
        f"{ALERTS} partition 0",
    ]
    await cut(pipeline.kafka)
    pipeline.launch("rating")
    await pipeline.ended("rating")
    assert "was emptied, cut or made anew" in pipeline.log("rating")
    said = pipeline.command("recover", "--kafka", pipeline.kafka, status=1)
    assert "the topic has no decision 1" in said
    said = pipeline.command("contract", "apply", str(CONTRACT), status=3)
    assert "the recovery of the database was not ended" in said
    pipeline.command("recover", "--republish", "--kafka", pipeline.kafka)
    numbers = {row["number"] for row in await pipeline.fetch("select number from decisions.decision")}
    assert (await published(pipeline.kafka)).decisions.keys() == numbers
    await pipeline.start()
    await pipeline.through()
    await same_books(pipeline, before)


async def cut(kafka: str) -> None:
    """Delete all that is in the topic of decisions."""
    place = TopicPartition(DECISIONS, 0)
    async with Offsets(kafka) as offsets:
        (end,) = (await offsets.end([place])).values()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_records({place: RecordsToDelete(before_offset=end)})
    await admin.close()


async def test_nothing_is_recovered_under_running_services(pipeline: Pipeline):
    assert all(map(pipeline.alive, SERVICES))
    answer = pipeline.command("recover", "--kafka", pipeline.kafka, status=1)
    assert "stop ingest, rating and invoicing" in answer
