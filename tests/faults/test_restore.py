"""A database set back to an older point and a replay of the topics end in the same ledger."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.kafka import ACCEPTED, INGEST_GROUP, RATING_GROUP, is_raw
from services.offsets import Offsets
from services.postgres import connect
from services.recovery.rewind import rewind
from services.stack.postgres import USER, PostgresServer
from services.stack.postgres_files import find_installation, home, server_account
from services.stack.process import free_ports
from tests.pipeline import SERVICES, Pipeline, event

DATABASE = "plafond"


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


def usage(first: int, count: int) -> list[bytes]:
    """Events of several payers and items, some of which are refused."""
    subjects, items = ("EP", "EC/AGRI", "EDA"), ("vm", "storage", "nothing")
    return [
        event("alpha", number, subject=subjects[number % 3], item=items[number % 7 % 3], quantity=str(number % 11 + 1))
        for number in range(first, first + count)
    ]


def _place(server: PostgresServer) -> Path:
    return home(server.folder, server_account())


def _own(folder: Path) -> None:
    """Give a folder to the account that the server runs under."""
    if account := server_account():
        subprocess.run(["chown", "-R", f"{account.user}:{account.group}", folder], check=True)


async def books(pipeline: Pipeline) -> dict[str, Any]:
    """Return what must be the same again."""
    return {
        "statements": await pipeline.statements("2016-03"),
        "spent": await pipeline.spent(),
        "refused": await pipeline.fetch("select provider, event_id, reason from ingest.rejection order by 2"),
    }


def restore(server: PostgresServer, dump: str) -> None:
    """Put a dump in the place of the database."""
    program(server, "dropdb", DATABASE)
    program(server, "createdb", DATABASE)
    program(server, "pg_restore", f"--dbname={DATABASE}", "--exit-on-error", dump)


async def test_a_dump_made_while_services_were_behind_ends_in_the_same_ledger(
    pipeline: Pipeline, server: PostgresServer, tmp_path: Path
):
    await pipeline.push("alpha", usage(0, 700))
    await pipeline.through()
    await pipeline.stop("invoicing")
    await pipeline.push("alpha", usage(700, 200))
    await pipeline.read_by(INGEST_GROUP, is_raw)
    await pipeline.read_by(RATING_GROUP, ACCEPTED.__eq__)
    await pipeline.stop("rating")
    await pipeline.push("alpha", usage(900, 200))
    await pipeline.read_by(INGEST_GROUP, is_raw)
    dump = str(tmp_path / "backup")
    program(server, "pg_dump", "--format=custom", f"--file={dump}", DATABASE)
    await pipeline.start("rating", "invoicing")
    await pipeline.push("alpha", usage(500, 900))
    await pipeline.through()
    before = await books(pipeline)
    assert before["statements"]
    assert before["refused"]
    await pipeline.stop()
    restore(server, dump)
    assert await books(pipeline) != before
    connection = await connect(pipeline.url)
    rewound = await rewind(connection, pipeline.kafka, everything=False, margin=1)
    await connection.close()
    async with Offsets(pipeline.kafka) as offsets:
        begin = await offsets.begin(list(rewound.first))
    assert any(offset > begin[place] for place, offset in rewound.first.items() if place.topic == ACCEPTED)
    assert rewound.charges
    await pipeline.start()
    await pipeline.through()
    assert await books(pipeline) == before
    assert await pipeline.audit() == []


async def test_a_recovery_to_a_point_in_time_ends_in_the_same_ledger(
    pipeline: Pipeline, server: PostgresServer, tmp_path: Path
):
    base = tmp_path / "base"
    program(server, "pg_basebackup", f"--pgdata={base}", "--checkpoint=fast")
    await pipeline.push("alpha", usage(2000, 300))
    await pipeline.through()
    await pipeline.fetch("select pg_create_restore_point('noon')")
    await pipeline.push("alpha", usage(2300, 300))
    await pipeline.through()
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
    assert await books(pipeline) != before
    pipeline.command("topics", "rewind", "--kafka", pipeline.kafka)
    await pipeline.start()
    await pipeline.through()
    assert await books(pipeline) == before
    assert await pipeline.audit() == []


async def test_a_version_that_the_restored_database_lacks_is_applied_and_what_was_parked_sent_again(
    pipeline: Pipeline, server: PostgresServer, contract: str, tmp_path: Path
):
    dump = str(tmp_path / "backup")
    program(server, "pg_dump", "--format=custom", f"--file={dump}", DATABASE)
    file = tmp_path / "contract.toml"
    file.write_text(contract.replace("grace_days = ", "grace_days = 1"), "utf-8")
    pipeline.command("contract", "apply", str(file))
    await asyncio.sleep(2)  # services look for a new version every second
    await pipeline.push("alpha", usage(3000, 100))
    await pipeline.through()
    before = await books(pipeline)
    await pipeline.stop()
    restore(server, dump)
    pipeline.command("topics", "rewind", "--everything", "--kafka", pipeline.kafka)
    await pipeline.start()
    await pipeline.through()
    waiting = pipeline.json("parked", "list")
    assert waiting
    assert all("version" in each["error"] for each in waiting)
    pipeline.command("contract", "apply", str(file))
    assert pipeline.json("parked", "replay", "--kafka", pipeline.kafka)["sent_again"] == len(waiting)
    await pipeline.through()
    assert await books(pipeline) == before
    assert await pipeline.audit() == []
    assert pipeline.json("parked", "list") == []
    assert {each["resolution"] for each in pipeline.json("parked", "list", "--all")} == {"sent again"}


async def test_topics_are_not_rewound_under_running_services(pipeline: Pipeline):
    assert all(map(pipeline.alive, SERVICES))
    answer = pipeline.command("topics", "rewind", "--kafka", pipeline.kafka, status=1)
    assert "stop ingest, rating and invoicing" in answer
