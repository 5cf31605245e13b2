import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiokafka
import asyncpg
import pytest
import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.commands.stack import empty
from services.stack.kafka import KafkaBroker
from services.stack.local import LocalStack
from services.stack.postgres import PostgresServer
from services.stack.process import Identity, Process, StackError, free_ports, port_is_free, wait_until
from services.stack.state import Record
from tests.servers import broker, database

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    """if True:
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("started", flush=True)
        time.sleep(600)
    """,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def kafka(folder: Path) -> Iterator[KafkaBroker]:
    broker = KafkaBroker(folder / "kafka", *free_ports(2))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder / "postgres", *free_ports(1))
    server.start()
    server.create_database("plafond")
    yield server
    server.destroy()


@contextlib.asynccontextmanager
async def admin(servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def send(servers: str, value: bytes) -> None:
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait("numbers", value)


async def received(servers: str, count: int) -> list[bytes | None]:
    settings = {"bootstrap_servers": servers, "group_id": "test", "auto_offset_reset": "earliest"}
    async with aiokafka.AIOKafkaConsumer("numbers", enable_auto_commit=False, **settings) as consumer:
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]


async def test_kafka_keeps_what_it_acknowledged(kafka: KafkaBroker) -> None:
    servers = kafka.bootstrap_servers
    async with admin(servers) as client:
        await client.create_topics([NewTopic("numbers", 1, 1)])
    await send(servers, b"one")
    assert await received(servers, 1) == [b"one"]
    kafka.stop()
    kafka.start()
    await send(servers, b"two")
    assert await received(servers, 2) == [b"one", b"two"]
    kafka.kill()
    kafka.start()
    await send(servers, b"three")
    assert await received(servers, 3) == [b"one", b"two", b"three"]


async def numbers(server: PostgresServer, new: int) -> list[int]:
    connection = await asyncpg.connect(server.url("plafond"))
    try:
        await connection.execute("create table if not exists number (n int)")
        await connection.execute("insert into number values ($1)", new)
        return [row["n"] for row in await connection.fetch("select n from number order by n")]
    finally:
        await connection.close()


async def test_postgres_keeps_what_was_committed(postgres: PostgresServer) -> None:
    assert await numbers(postgres, 1) == [1]
    postgres.stop()
    postgres.start()
    assert await numbers(postgres, 2) == [1, 2]
    postgres.kill()
    postgres.start()
    postgres.create_database("plafond")
    assert await numbers(postgres, 3) == [1, 2, 3]


async def test_postgres_wants_the_password(postgres: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url("plafond"), password="another")


async def test_the_tests_own_servers_answer() -> None:
    with broker() as servers, database() as url:
        async with admin(servers) as client:
            await client.create_topics([NewTopic("numbers", 1, 1)])
        await send(servers, b"one")
        assert await received(servers, 1) == [b"one"]
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("select current_database()") == "plafond"
        await connection.close()


def test_a_taken_port_is_named(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=f"Kafka can't start: port {port} is taken"):
            KafkaBroker(folder / "other", port, *free_ports(1)).start()
        with pytest.raises(StackError, match=f"PostgreSQL can't start: port {port} is taken"):
            PostgresServer(folder / "other", port).start()


def test_a_process_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    process = Process.start([sys.executable, "-c", "raise SystemExit('no such tariff')"], tmp_path / "log")
    with pytest.raises(StackError, match=r"(?s)a start: the process ended.*no such tariff"):
        wait_until(lambda: False, 10, "a start", process)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no-such-program could not be started"):
        Process.start(["no-such-program"], tmp_path / "log")


def test_stopping_ends_the_stubborn_and_their_children(tmp_path: Path) -> None:
    process = Process.start(STUBBORN, tmp_path / "log")
    wait_until(lambda: "started" in process.output(), 10, "a start", process)
    family = process.identity.family()
    assert len(family) == 2
    process.stop(0.2)
    assert not any(member.alive for member in family)


def test_another_process_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    bystander = Process.start(SLEEP, tmp_path / "log")
    recorded = Process(Identity(bystander.identity.pid, "another boot/1"), tmp_path / "log")
    assert not recorded.alive
    recorded.stop()
    recorded.kill()
    assert bystander.alive
    bystander.kill()
    assert not bystander.alive


def test_a_stale_state_file_is_harmless(tmp_path: Path) -> None:
    record = {"pid": os.getpid(), "started": "another boot/1", "log": "log"}
    (tmp_path / "state.json").write_text(json.dumps({"processes": {"kafka": record, "rating": record}}))
    stack = LocalStack(tmp_path)
    assert stack.running() == []
    assert stack.down() == []
    assert json.loads((tmp_path / "state.json").read_text())["processes"] == {}


def test_a_state_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(StackError, match=r"state\.json can't be read"):
        LocalStack(tmp_path)


@pytest.fixture
def stack(folder: Path) -> Iterator[LocalStack]:
    stack = LocalStack(folder / "whole")
    yield stack
    stack.down()
    stack.postgres.destroy()


def test_a_stack_is_started_once_and_taken_down_by_another_process(stack: LocalStack) -> None:
    port = free_ports(1)[0]
    web = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    stack.add("web", web, ready_url=f"http://127.0.0.1:{port}/")
    stack.add("idle", SLEEP)
    assert stack.up_servers() == ["kafka", "postgres"]
    assert stack.up_servers() == []
    stack.start_service("web", "idle")
    assert set(stack.running()) == {"kafka", "postgres", "web", "idle"}
    stack.kill_service("web")
    assert "web" not in stack.running()
    assert port_is_free(port)
    stack.start_service("web")
    records = recorded(stack.folder)

    another = LocalStack(stack.folder)
    assert another.environment() == stack.environment()
    with pytest.raises(StackError, match="runs already"), another:
        pytest.fail("entered")
    assert set(another.down()) == {"kafka", "postgres", "web", "idle"}
    assert another.running() == stack.running() == []
    assert not any(record.process().alive for record in records)
    assert all(port_is_free(number) for number in (stack.kafka.port, stack.postgres.port, port))


def recorded(folder: Path) -> list[Record]:
    processes = json.loads((folder / "state.json").read_text())["processes"]
    return [Record(**record) for record in processes.values()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    program = (
        "import signal, sys; from pathlib import Path; from services.stack.local import LocalStack\n"
        # A shell's background job has SIGINT ignored, and hands that down.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with LocalStack(Path(sys.argv[1])) as stack:\n"
        "    stack.kafka.port, stack.kafka.controller_port = map(int, sys.argv[2:])\n"
        "    stack.start_service('kafka')\n"
    )
    leader = subprocess.Popen([sys.executable, "-c", program, tmp_path, *map(str, free_ports(2))])
    stack = LocalStack(tmp_path)
    deadline = time.monotonic() + 20
    while not stack.running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stack.running() == ["kafka"]
    records = recorded(tmp_path)
    leader.send_signal(number)
    assert leader.wait(20) != 0
    assert stack.running() == []
    assert not any(record.process().alive for record in records)


def test_a_stack_that_a_command_works_with_is_neither_taken_down_nor_started(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "stack")
    with stack:
        for command in ("down", "demo"):
            answer = subprocess.run(
                [sys.executable, "-m", "services.cli", command, "--folder", str(stack.folder)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert answer.returncode == 3, answer.stdout
            assert "a command works with the stack" in " ".join(answer.stderr.split())
    stack.held().close()


def test_a_folder_with_files_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(typer.Exit) as ended:
        empty(tmp_path)
    assert ended.value.exit_code == 2
    assert "none that says it was a stack's" in capsys.readouterr().err.replace("\n", " ")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_what_a_stack_left_is_deleted(tmp_path: Path):
    (tmp_path / "up.lock").touch()
    (tmp_path / "chaos.log").touch()
    empty(tmp_path)
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "kafka").mkdir()
    empty(tmp_path)
    assert not tmp_path.exists()
