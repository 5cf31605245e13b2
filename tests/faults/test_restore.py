"""A database restored to an older point and a replay of the topics end in the same ledger."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.stack.postgres import USER, PostgresServer
from services.stack.postgres_files import find_installation
from services.stack.process import free_ports
from tests.pipeline import SERVICES, Pipeline, event

DATABASE = "plafond"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of one's own, whose programs for backup are at hand."""
    made = PostgresServer(tmp_path_factory.mktemp("server") / "postgres", *free_ports(1))
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


async def test_a_restored_database_and_a_replay_end_in_the_same_ledger(
    pipeline: Pipeline, server: PostgresServer, tmp_path: Path
):
    await pipeline.push("alpha", usage(0, 700))
    await pipeline.through()
    dump = str(tmp_path / "backup")
    program(server, "pg_dump", "--format=custom", f"--file={dump}", DATABASE)
    await pipeline.push("alpha", usage(500, 900))
    await pipeline.through()
    statements, spent = await pipeline.statements("2016-03"), await pipeline.spent()
    refused = await pipeline.fetch("select provider, event_id, reason from ingest.rejection order by 2")
    assert statements
    assert refused
    await pipeline.stop()
    program(server, "dropdb", DATABASE)
    program(server, "createdb", DATABASE)
    program(server, "pg_restore", f"--dbname={DATABASE}", "--exit-on-error", dump)
    assert await pipeline.spent() != spent
    pipeline.command("topics", "rewind", "--since", "2016-01-01", "--kafka", pipeline.kafka)
    await pipeline.start()
    await pipeline.through()
    assert await pipeline.statements("2016-03") == statements
    assert await pipeline.spent() == spent
    assert await pipeline.fetch("select provider, event_id, reason from ingest.rejection order by 2") == refused
    assert await pipeline.audit() == []


async def test_topics_are_not_rewound_under_running_services(pipeline: Pipeline):
    assert all(map(pipeline.alive, SERVICES))
    answer = pipeline.command("topics", "rewind", "--kafka", pipeline.kafka, status=1)
    assert "stop ingest, rating and invoicing first" in answer
