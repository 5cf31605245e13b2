"""The benchmark runs and writes what it promises. What it measures is not tested: machines are noisy."""

import json
import subprocess
import sys
from pathlib import Path

from services.bench.usage import machines, readings
from services.contract.load import load
from services.contract.model import Contract
from services.ingest.events import UsageEvent, read_json
from services.stack.demo import CONTRACT

FIGURES = (
    "pipeline_events_per_second", "limit_events_per_second", "naive_events_per_second", "cpu_seconds_per_million",
    "freshness_p99_seconds", "gateway_batch_events_per_second", "bill_events_per_second",
    "pipeline_from_start_events_per_second", "freshness_events_per_second", "freshness_wanted_events_per_second",
)  # fmt: skip
PROCESSES = {"kafka", "postgres", "ingest", "rating", "invoicing"}
# After each flow the books are also compared with one event more than was sent, which must be missed.
PROGRAM = """
import sys
from services import cli
from services.bench import booked
require = booked.require
async def twice(url, contract, sent):
    await require(url, contract, sent)
    try:
        await require(url, contract, sent + booked.Sent(1))
    except booked.NotBookedError as error:
        print("missed:", error, file=sys.stderr)
booked.require = twice
cli.main()
"""


def test_a_small_benchmark(tmp_path: Path) -> None:
    written = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "bench", "--events", "20000", "--stored", "3000", "--seconds", "2", "--json", str(written),
         "--folder", str(tmp_path / "stack")],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(written.read_text())
    assert all(found[name] > 0 for name in FIGURES), found
    assert found["pipeline_from_start_events_per_second"] < found["pipeline_events_per_second"]
    for memory in ("memory_mib", "memory_mib_first_million", "memory_mib_last_million"):
        assert set(found[memory]) == PROCESSES
        assert all(mib > 10 for mib in found[memory].values())
    missed = [line for line in done.stderr.splitlines() if line.startswith("missed:")]
    assert len(missed) == 5, done.stderr
    assert "20,001 events sent, 20,000 rated" in missed[0]
    assert found["gateway_refused"] == 0
    assert not (tmp_path / "stack" / "state.json").exists()


def test_a_month_is_priced_again(tmp_path: Path) -> None:
    written = tmp_path / "repricing.json"
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "bench", "--repricing", "20000", "--json", str(written),
         "--folder", str(tmp_path / "stack")],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(written.read_text())
    assert (found["events"], found["charges"] > 5_000) == (20_000, True)
    assert found["from_meters"] > 0
    assert found["from_events"] > 0


def test_the_usage_is_distinct_well_formed_and_as_much_as_asked_for() -> None:
    contract = load(CONTRACT.read_text("utf-8"))
    assert isinstance(contract, Contract)
    for count in (1, 199, 200, 201, 5_003):
        chunks = list(readings(machines(contract, count), count, 100))
        events = [read_json(message) for _, chunk in chunks for message in chunk]
        assert len(events) == count
        assert all(isinstance(each, UsageEvent) for each in events)
        assert len({(each.source, each.id) for each in events if isinstance(each, UsageEvent)}) == count
        assert all(provider in str(read_json(chunk[0])) for provider, chunk in chunks)
