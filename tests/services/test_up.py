"""`plafond up` and `down`: what runs stays where it is, what died is started again, and nothing is left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from services.stack.state import StateFile


def plafond(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *words], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_a_dead_service_is_started_again_and_the_others_stay(tmp_path: Path):
    tmp_path.chmod(0o755)
    folder = tmp_path / "stack"
    try:
        first = json.loads(plafond("up", "--folder", str(folder), "--json"))
        processes = StateFile(folder / "state.json").read().processes
        os.kill(processes["rating"].pid, signal.SIGKILL)
        again = json.loads(plafond("up", "--folder", str(folder), "--json"))
        assert first["keys"]
        assert again["keys"] == {}, "who has a key goes on with it"
        assert (again["gateway"], again["probes"]) == (first["gateway"], first["probes"])
        for url in again["probes"].values():
            assert httpx.get(f"{url}/readyz", trust_env=False, timeout=5).status_code == 200
        assert StateFile(folder / "state.json").read().processes["ingest"] == processes["ingest"]
    finally:
        stopped = plafond("down", "--folder", str(folder), "--delete")
    assert set(stopped.removeprefix("stopped ").strip().split(", ")) == {
        "kafka",
        "postgres",
        "ingest",
        "rating",
        "invoicing",
        "delivery",
    }
    assert not folder.exists()
