"""A short chaos: every kind of fault that this machine allows, and mutated messages."""

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from services.chaos.fuzz import mutated
from services.chaos.proxy import Mode, Proxy
from services.kafka import Message, Sender, Topic, ensure_topics
from services.stack.kafka import KafkaBroker
from services.stack.process import free_ports

FAULTS, FUZZED = 13, 30_000


@pytest.mark.alone
def test_nothing_is_lost_doubled_or_off_whatever_breaks(tmp_path: Path) -> None:
    written = tmp_path / "chaos.json"
    command = ["chaos", "--faults", str(FAULTS), "--seed", "4", "--load", "1500", "--fuzz", str(FUZZED)]
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *command, "--json", str(written), "--folder", str(tmp_path / "stack")],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(written.read_text())
    assert (found["lost"], found["doubled"], found["amount_difference"], found["breaches"]) == (0, 0, 0, [])
    assert found["alerts"] > 0
    assert (found["alerts_off"], found["failure"], found["restarted"]) == (0, None, [])
    assert found["conflicts"] > 0
    assert found["slowest_recovery_seconds"] <= 30
    assert found["faults"] == FAULTS
    assert found["events"] > 10_000
    assert (found["fuzzed"], found["fuzz"]["asked_for"]) == (FUZZED, FUZZED)
    assert found["fuzz"]["grown"] == sum(found["fuzz"]["became"].values())
    assert all(each["breaches"] == [] for each in found["happened"])
    kinds = {each["what"].split()[0] for each in found["happened"]}
    assert len(kinds) > 5, kinds


def test_what_is_lost_doubled_or_stops_a_run_is_told(tmp_path: Path) -> None:
    """The record leaves out an event that was sent, and names one that was not; and then the fuzzing fails."""
    written = tmp_path / "chaos.json"
    program = """
import sys
from services import cli
from services.chaos import load, run
from services.chaos.errors import ChaosError
add, close = load.Record.add, load.Record.close
first = []
def forgetful(record, messages):
    if not first:
        first.append(messages[0])
    add(record, [message for message in messages if message != first[0]])
def inventive(record):
    add(record, [first[0].replace(b'"id":"', b'"id":"never-sent-', 1)])
    close(record)
async def fuzz(*_):
    raise ChaosError("the gateway answers 500")
load.Record.add, load.Record.close, run.fuzz = forgetful, inventive, fuzz
cli.main()
"""
    words = ["chaos", "--faults", "1", "--seed", "4", "--load", "500", "--fuzz", "10", "--json", str(written)]
    done = subprocess.run(
        [sys.executable, "-c", program, *words, "--folder", str(tmp_path / "stack")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "after the faults: the gateway answers 500" in " ".join(done.stderr.split())
    found = json.loads(written.read_text())
    assert found["failure"] == "after the faults: the gateway answers 500"
    assert (found["lost"], found["doubled"]) == (1, 1)


def test_the_same_seed_breaks_the_same_way() -> None:
    message = b'{"specversion":"1.0","id":"1","source":"/providers/alpha"}'
    made = [[mutated(message, random.Random(seed)) for _ in range(1)] for seed in range(200)]
    assert made == [[mutated(message, random.Random(seed))] for seed in range(200)]
    assert sum(each == [message] for each in made) < 20


def test_a_services_clock_can_be_set_and_its_durations_do_not_move(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("-3600\n")
    program = """
import sys, threading, time
from pathlib import Path
from services.chaos.clock import follow
began = time.time(), time.monotonic()
threading.Thread(target=follow, args=(Path(sys.argv[1]),), daemon=True).start()
while time.time() > began[0] - 3000:
    time.sleep(0.01)
Path(sys.argv[1]).write_text("+0\\n")
while time.time() < began[0]:
    time.sleep(0.01)
print(time.monotonic() - began[1] < 60)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(clock)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.STALL, Mode.SLOW])
async def test_a_proxy_cuts_stalls_and_slows_and_then_passes_again(mode: Mode) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1_000):
            writer.write(data)
        writer.close()

    port, target = free_ports(2)
    server = await asyncio.start_server(echo, "127.0.0.1", target)
    proxy = Proxy(port, target)
    await proxy.start()
    try:
        assert await asyncio.wait_for(said(port), 1) == b"hello"
        proxy.set(mode)
        if mode is Mode.SLOW:
            began = asyncio.get_running_loop().time()
            assert await said(port) == b"hello"
            assert asyncio.get_running_loop().time() - began > 0.1
        else:
            with pytest.raises((TimeoutError, ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(said(port), 0.5)
        proxy.set(Mode.PASS)
        assert await asyncio.wait_for(said(port), 1) == b"hello"
    finally:
        await proxy.stop()
        server.close()


async def said(port: int) -> bytes:
    """Return what the echo behind a port answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"hello")
        return await reader.readexactly(5)
    finally:
        writer.close()


async def test_callers_that_share_a_sender_all_get_through_when_the_broker_dies(tmp_path: Path) -> None:
    broker = KafkaBroker(tmp_path / "kafka", *free_ports(2))
    await asyncio.to_thread(broker.start)
    sender = Sender(broker.bootstrap_servers, "test")
    try:
        await ensure_topics(broker.bootstrap_servers, [Topic("shared", 1)])
        await sender.send([Message("shared", b"first")])
        await asyncio.to_thread(broker.kill)
        sending = [asyncio.create_task(sender.send([Message("shared", b"%d" % number)])) for number in range(20)]
        await asyncio.sleep(2)
        assert not any(each.done() for each in sending)
        await asyncio.to_thread(broker.start)
        await asyncio.wait_for(asyncio.gather(*sending), 60)
    finally:
        await sender.stop()
        await asyncio.to_thread(broker.stop)
