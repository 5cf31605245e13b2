"""Fixtures: real servers, one set for each test module."""

import fcntl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from tests.pipeline import Pipeline
from tests.servers import broker, database

SMALL = (Path(__file__).parent / "data" / "small.toml").read_text("utf-8")


@pytest.fixture(autouse=True)
def _logs_go_nowhere_else() -> Iterator[None]:
    """A command under test sends logs to its own standard error, which is gone when the next test logs something."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _alone_or_beside_others(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run two at a time; one that measures how long something takes is marked `alone` and waits for the other.

    Whoever wants to be alone keeps the door shut while it waits, so that nobody overtakes it.
    """
    shared = tmp_path_factory.getbasetemp().parent
    kind = fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH
    with (shared / "door.lock").open("w") as door, (shared / "room.lock").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, kind)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    """A broker's bootstrap servers."""
    with broker() as bootstrap_servers:
        yield bootstrap_servers


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of an empty database."""
    with database() as url:
        yield url


@pytest.fixture(scope="module")
def contract() -> str:
    """The contract that `pipeline` runs under; a module may have another."""
    return SMALL


@pytest_asyncio.fixture(scope="module")
async def pipeline(
    kafka: str, postgres: str, contract: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    """All services running under the contract."""
    running = Pipeline(tmp_path_factory.mktemp("services"), kafka, postgres)
    await running.prepare(contract)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
