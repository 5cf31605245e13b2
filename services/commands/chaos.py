"""plafond chaos: break what can break, under load, and see that nothing is lost."""

import random
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError

from services import logs
from services.chaos.run import RECOVERY_SECONDS_MAX, Happened, Outcome, run_chaos
from services.commands.stack import empty
from services.contract.money import plain
from services.output import console, errors, fail, require_writable, write_json
from services.stack.process import StackError


def chaos_command(
    faults: Annotated[int, typer.Option(min=1, help="How many faults.")] = 13,
    seed: Annotated[int | None, typer.Option(help="Chooses the faults; the same seed breaks the same things.")] = None,
    fuzz: Annotated[int, typer.Option(min=0, help="Mutated messages to send after the faults.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the verdict to this file as well.", metavar="FILE")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the servers keep their data; emptied at the start.")] = Path(
        ".stack/chaos"
    ),
) -> None:
    """Kill, pause, cut off and fill up the parts of a stack of its own while providers push; nothing is left running.

    After each fault usage must flow again within 30 s and the audit must be clean. In the end every acknowledged event
    must count once and every amount be as `plafond bill` makes it of the same usage. Full disks need root (they are
    small tmpfs mounts); what this machine does not allow is left out, and said.
    Exit status 1: something was lost, doubled, off or slow.

    Examples: `plafond chaos`, `plafond chaos --faults 200 --seed 7 --fuzz 1000000 --json chaos.json`
    """
    chosen = random.randrange(1_000_000) if seed is None else seed  # noqa: S311 not a secret
    if json_file is not None:
        require_writable(json_file)
    empty(folder)
    errors.print(f"seed {chosen}", highlight=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "chaos.log").open("w") as log:
            logs.configure("chaos", log)  # what the providers meet is expected here
            outcome = run_chaos(folder, faults, chosen, fuzz, _report)
    except (StackError, OSError, KafkaError) as error:
        fail(str(error) or repr(error), 3)
    if json_file is not None:
        write_json(json_file, _json(outcome, chosen))
    _print(outcome)
    if outcome.failure:
        fail(f"{outcome.failure} (seed {chosen}; logs are in {folder}/logs)", 1)
    if not outcome.good:
        raise typer.Exit(1)


def _report(each: Happened) -> None:
    audit = "audit clean" if not each.breaches else f"audit broken: {each.breaches[0]}"
    slow = each.recovery > RECOVERY_SECONDS_MAX
    what = f"{each.number:>4}  {each.what:<52} {each.seconds:>4.1f} s"
    effect = "" if each.took_effect else "  did not take effect"
    console.print(
        f"{what}  flows again after {each.recovery:>4.1f} s  {audit}{effect}",
        style="red" if slow or each.breaches or effect else None, markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _json(outcome: Outcome, seed: int) -> dict[str, Any]:
    found = outcome.verdict
    return {
        "seed": seed,
        "failure": outcome.failure or None,
        "faults": sum(each.took_effect for each in outcome.happened),
        "events": found and found.events,
        "lost": found and found.lost,
        "doubled": found and found.doubled,
        # a number for who checks it, which is 0 or is wrong; its digits are in what is printed
        "amount_difference": found and float(found.amount_difference),
        "conflicts": found and found.conflicts,
        "alerts": found and found.alerts,
        "alerts_off": found and found.alerts_off,
        "slowest_recovery_seconds": round(outcome.slowest, 3),
        "fuzzed": outcome.fuzzed,
        "poisoned_and_parked": outcome.poison,
        "restarted": outcome.restarts,
        "left_out": outcome.left_out,
        "breaches": list(outcome.breaches),
        "happened": [
            {"what": each.what, "seconds": round(each.seconds, 3), "recovery_seconds": round(each.recovery, 3),
             "took_effect": each.took_effect, "breaches": list(each.breaches)}
            for each in outcome.happened
        ],
    }  # fmt: skip


def _print(outcome: Outcome) -> None:
    found = outcome.verdict
    for each in outcome.left_out:
        console.print(f"left out, not possible on this machine: {each}", highlight=False, soft_wrap=True)
    for breach in outcome.breaches:
        console.print(f"broken: {breach}", style="red", markup=False, soft_wrap=True)
    if outcome.restarts:
        console.print(f"ended by themselves and were started again: {', '.join(outcome.restarts)}", highlight=False)
    if found is None:
        return
    console.print(
        f"{len(outcome.happened)} faults, {outcome.fuzzed:,} mutated messages, {found.events:,} acknowledged events "
        f"({found.conflicts:,} with two contents): {found.lost} lost, {found.doubled} doubled, amounts off by "
        f"{plain(found.amount_difference)}; {found.alerts} alerts, {found.alerts_off} missing or too many; "
        f"slowest recovery {outcome.slowest:.1f} s",
        style="bold green" if outcome.good else "bold red", highlight=False, soft_wrap=True,
    )  # fmt: skip
