"""When a chaos run is good, what it exits with, and what counts as a fault."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.chaos import run
from services.chaos.faults.fault import Fault
from services.chaos.faults.kinds import KINDS
from services.chaos.outcome import Happened, Outcome
from services.chaos.tally import Tally
from services.chaos.verdict import Verdict
from services.cli import app
from services.commands import chaos as command

FAULT = Happened(1, "KillService", "kill -9 of rating", 0.0, 4.0, (), took_effect=True)
CLEAN = Verdict(1_000, 3, 0, 0, Decimal(0), 8, 0, 0)
TALLY = Tally(100, 90, 6, 7, {400: 4}, 97, {"rated": 40, "repeat": 7, "conflict": 1, "rejected": 49})
GOOD = Outcome([FAULT], [], [], [], 0, TALLY, CLEAN, ())


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (GOOD, 0),
        (replace(GOOD, verdict=replace(CLEAN, alerts_published_again=2)), 0),
        (replace(GOOD, not_due=["a month is closed under load"]), 0),
        (replace(GOOD, verdict=replace(CLEAN, lost=1)), 1),
        (replace(GOOD, verdict=replace(CLEAN, doubled=1)), 1),
        (replace(GOOD, verdict=replace(CLEAN, amount_difference=Decimal("0.01"))), 1),
        (replace(GOOD, verdict=replace(CLEAN, alerts_off=1)), 1),
        (replace(GOOD, breaches=("charges = usage: ...",)), 1),
        (replace(GOOD, restarts=["rating"]), 1),
        (replace(GOOD, happened=[replace(FAULT, recovery=30.1)]), 1),
        (replace(GOOD, happened=[replace(FAULT, breaches=("postings = charges: ...",))]), 1),
        (replace(GOOD, happened=[FAULT, replace(FAULT, kind="DiskFull", took_effect=False)]), 1),
        (replace(GOOD, verdict=None, failure="fault 2 (kill -9 of kafka): nothing is posted"), 1),
    ],
)
def test_whatever_is_off_ends_with_status_1(
    outcome: Outcome, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "run_chaos", lambda *_: outcome)
    written = tmp_path / "chaos.json"
    done = CliRunner().invoke(app, ["chaos", "--folder", str(tmp_path / "stack"), "--json", str(written)])
    assert done.exit_code == status, done.output
    found = json.loads(written.read_text())
    assert found["faults"] == 1
    assert found["slowest_recovery_seconds"] == outcome.slowest
    assert {"events", "lost", "doubled", "amount_difference"} < found.keys()
    if outcome.verdict:
        assert (found["events"], found["lost"], found["doubled"], found["amount_difference"]) == (
            1_000, outcome.verdict.lost, outcome.verdict.doubled, float(outcome.verdict.amount_difference),
        )  # fmt: skip
        assert found["fuzz"]["refused"] == {"400": 4}


@pytest.mark.parametrize(
    ("off", "what"),
    [
        ({"into_kafka": 89, "grown": 96, "became": {"rated": 96}}, "100 mutated messages to be sent, 99 were"),
        ({"grown": 96, "became": {"rated": 96}}, "97 mutated messages acknowledged, the raw topics grew by 96"),
        ({"grown": 98, "became": {"rated": 98}}, "97 mutated messages acknowledged, the raw topics grew by 98"),
        ({"became": {"rated": 40, "rejected": 56}}, "97 mutated messages in the raw topics, 96 rated"),
    ],
)
def test_no_mutated_message_is_lost_from_the_count(off: dict[str, Any], what: str) -> None:
    assert TALLY.differences() == ()
    (found,) = replace(TALLY, **off).differences()
    assert what in found


class Scripted(Fault):
    """A fault that may be due and have an effect, as it is told."""

    def __init__(self, what: str, *, due: bool = True) -> None:
        self.what, self._due = what, due

    def prepare(self, choose: random.Random) -> None:
        raise NotImplementedError

    async def is_due(self) -> bool:
        return self._due

    async def begin(self) -> None:
        raise NotImplementedError

    async def takes_effect(self) -> bool:
        raise NotImplementedError


class Sufferer:
    """Stands for the chaos: a fault takes effect unless its name says that it does not."""

    async def suffer(self, number: int, fault: Fault) -> Happened:
        return replace(FAULT, number=number, what=fault.what, took_effect="idle" not in fault.what)

    @staticmethod
    def raise_from(_work: list[asyncio.Task[Any]]) -> None:
        return


async def suffered(faults: Iterator[Fault], wanted: int) -> tuple[list[Happened], list[str], str]:
    return await run._suffer(Sufferer(), faults, wanted, [], lambda _: None)  # type: ignore[arg-type]


async def test_faults_without_effect_and_those_not_due_don_t_count() -> None:
    faults = iter([Scripted("one"), Scripted("close", due=False), Scripted("idle"), Scripted("two"), Scripted("three")])
    happened, not_due, failure = await suffered(faults, 2)
    tried = [(each.what, each.took_effect) for each in happened]
    assert tried == [("one", True), ("idle", False), ("idle", False), ("two", True)]
    assert (not_due, failure) == (["close"], "")


async def test_a_run_whose_faults_have_no_effect_ends() -> None:
    happened, _, failure = await suffered((Scripted("idle") for _ in range(1_000)), 1)
    assert len(happened) == 2 + len(KINDS)
    assert "most faults have no effect" in failure
