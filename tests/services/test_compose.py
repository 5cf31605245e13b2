"""`docker compose up` brings the whole system up, and what is pushed through its published ports is in the statement."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.stack.process import free_ports
from tests.conftest import SMALL
from tests.pipeline import event
from tests.servers import docker_answers

ROOT = Path(__file__).parents[2]
OURS = ("ingest", "rating", "invoicing", "delivery")
PORTS = ("GATEWAY", "DOCUMENTS", "KAFKA", "POSTGRES", "PROMETHEUS")
pytestmark = pytest.mark.skipif(not docker_answers(), reason="no Docker answers: the compose file is not tried")


class Composed:
    """A running project of one's own."""

    def __init__(self, folder: Path) -> None:
        (folder / "contract.toml").write_text(SMALL)
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": "plafond-test",
            "PLAFOND_CONTRACT": str(folder / "contract.toml"),
            **{f"PLAFOND_{name}_PORT": str(port) for name, port in self.ports.items()},
        }

    def docker(self, *words: str, status: int | None = 0) -> str:
        """Run docker and return what it printed."""
        done = subprocess.run(
            ["docker", *words],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert status is None or done.returncode == status, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def plafond(self, *words: str) -> Any:
        """Run a command inside, and return what it answered."""
        return json.loads(self.docker("compose", "exec", "-T", "invoicing", "plafond", *words, "--json"))


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    made = Composed(tmp_path_factory.mktemp("compose"))
    try:
        made.docker("compose", "down", "--volumes", "--remove-orphans", status=None)
        made.docker("compose", "up", "--build", "--detach", "--wait", "--wait-timeout", "300")
        yield made
    except AssertionError:
        print(made.docker("compose", "logs", "--tail", "40", status=None))
        raise
    finally:
        made.docker("compose", "down", "--volumes", "--remove-orphans", status=None)


def test_usage_through_the_published_ports_is_in_the_statement(composed: Composed, tmp_path: Path):
    usage = tmp_path / "usage.jsonl"
    usage.write_bytes(b"\n".join(event("alpha", number, quantity="10") for number in range(10)))
    key = composed.plafond("keys", "create", "alpha")["key"]
    gateway = f"http://127.0.0.1:{composed.ports['GATEWAY']}"
    push = [sys.executable, "-m", "services.cli", "push", str(usage), "--provider", "alpha"]
    subprocess.run([*push, "--url", gateway, "--key", key], check=True, capture_output=True, timeout=60)
    of_beta = tmp_path / "beta.jsonl"
    of_beta.write_bytes(b"\n".join(event("beta-north", number, quantity="10") for number in range(10)))
    beta = [sys.executable, "-m", "services.cli", "push", str(of_beta), "--provider", "beta-north"]
    subprocess.run(
        [*beta, "--kafka", f"127.0.0.1:{composed.ports['KAFKA']}"], check=True, capture_output=True, timeout=60
    )
    deadline = time.monotonic() + 60
    while (total := total_of(composed)) != "11.00" and time.monotonic() < deadline:
        time.sleep(1)
    assert total == "11.00", "100 hours at 0.05 and 100 at 0.06"
    assert composed.plafond("audit")["clean"] is True


def total_of(composed: Composed) -> str:
    statements = composed.plafond("statement", "2016-03")
    return next((each["total"] for each in statements if each["institution"] == "EP"), "")


def test_prometheus_reads_every_service_and_its_rules(composed: Composed):
    address = f"http://127.0.0.1:{composed.ports['PROMETHEUS']}/api/v1"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        targets = httpx.get(f"{address}/targets").json()["data"]["activeTargets"]
        health = {each["labels"]["job"]: each["health"] for each in targets}
        if set(health.values()) == {"up"}:
            break
        time.sleep(1)
    assert health == {f"plafond-{name}": "up" for name in OURS}
    groups = httpx.get(f"{address}/rules").json()["data"]["groups"]
    assert any(rule["type"] == "alerting" for group in groups for rule in group["rules"])


def test_the_image_runs_as_nobody_on_a_file_system_that_it_can_not_write(composed: Composed):
    for name in OURS:
        container = composed.docker("compose", "ps", "--quiet", name).strip()
        [found] = json.loads(composed.docker("inspect", container))
        assert found["Config"]["User"] == "10001:10001"
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert found["State"]["Health"]["Status"] == "healthy"
    composed.docker("compose", "exec", "-T", "rating", "sh", "-c", "touch /plafond/x", status=1)
    found = composed.docker("compose", "exec", "-T", "rating", "sh", "-c", "command -v gcc cc make || echo none")
    assert found.strip() == "none"
