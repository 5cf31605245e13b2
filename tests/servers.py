"""Real servers for the tests: in containers where Docker answers, else as processes of this machine.

PLAFOND_TEST_SERVERS=docker|local|auto chooses; auto is the default.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from docker.errors import DockerException
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from services.stack.kafka import SETTINGS, KafkaBroker
from services.stack.postgres import PostgresServer
from services.stack.process import free_ports

KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_IMAGE = "postgres:17"
DATABASE = "plafond"
_SCRIPT = "/tmp/start.sh"  # noqa: S108  (in the container)


@contextmanager
def broker() -> Iterator[str]:
    """Run a Kafka broker of one's own, and give its bootstrap servers."""
    with _server(KAFKA_IMAGE, _kafka_in_docker, _kafka_here) as bootstrap_servers:
        yield bootstrap_servers


@contextmanager
def database() -> Iterator[str]:
    """Run a PostgreSQL server of one's own, and give the URL of an empty database in it."""
    with _server(POSTGRES_IMAGE, _postgres_in_docker, _postgres_here) as url:
        yield url


_Start = Callable[[], AbstractContextManager[str]]


@contextmanager
def _server(image: str, in_docker: _Start, here: _Start) -> Iterator[str]:
    mode = os.environ.get("PLAFOND_TEST_SERVERS", "auto")
    assert mode in {"docker", "local", "auto"}, f"PLAFOND_TEST_SERVERS={mode}: docker, local or auto"
    with ExitStack() as stack:
        address = None
        if mode == "docker" or (mode == "auto" and _docker_has(image)):
            try:
                address = stack.enter_context(in_docker())
            except (DockerException, OSError, RuntimeError):  # requests' errors and TimeoutError are OSErrors
                if mode == "docker":
                    raise
        yield address or stack.enter_context(here())


def docker_answers() -> bool:
    """Whether Docker answers quickly."""
    return _succeeds(2, "docker", "info")


def _docker_has(image: str) -> bool:
    """Whether Docker answers quickly, and has or gets the image."""
    if not docker_answers():
        return False
    return _succeeds(10, "docker", "image", "inspect", image) or _succeeds(300, "docker", "pull", image)


def _succeeds(seconds: float, *command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=seconds, check=False).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


@contextmanager
def _kafka_in_docker() -> Iterator[str]:
    """Run the public image, which must be told its address before it starts, while Docker tells it only afterwards.

    So the container waits for a script that says it.
    """
    own = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": "1@localhost:9094",
        "controller.listener.names": "CONTROLLER",
        "listeners": "PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
    }
    container = DockerContainer(KAFKA_IMAGE).with_exposed_ports(9092)
    container.with_command(["sh", "-c", f"until [ -f {_SCRIPT} ]; do sleep 0.1; done; . {_SCRIPT}"])
    for name, value in {**own, **SETTINGS}.items():
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    with container:
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(9092)}"
        advertised = f"PLAINTEXT://{address},BROKER://localhost:9093"
        script = f"export KAFKA_ADVERTISED_LISTENERS={advertised}\nexec /etc/kafka/docker/run\n"
        container.copy_into_container(script.encode(), _SCRIPT)
        LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(60).wait_until_ready(container)
        yield address


@contextmanager
def _postgres_in_docker() -> Iterator[str]:
    with PostgresContainer(POSTGRES_IMAGE, username="plafond", password="plafond", dbname=DATABASE) as container:
        yield container.get_connection_url(driver=None)


@contextmanager
def _kafka_here() -> Iterator[str]:
    with own_folder() as folder:
        server = KafkaBroker(folder, *free_ports(2))
        try:
            server.start()
            yield server.bootstrap_servers
        finally:
            server.stop()


@contextmanager
def _postgres_here() -> Iterator[str]:
    with own_folder() as folder:
        server = PostgresServer(folder / "postgres", *free_ports(1))
        try:
            server.start()
            server.create_database(DATABASE)
            yield server.url(DATABASE)
        finally:
            server.destroy()


@contextmanager
def own_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="plafond-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL, which does not run as root, passes through it
        yield folder
