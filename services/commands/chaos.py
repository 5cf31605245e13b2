"""plafond chaos: break what can break, under load, and see that nothing is lost."""

import random
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError

from services import logs
from services.chaos.outcome import RECOVERY_SECONDS_MAX, Happened, Outcome, Plan
from services.chaos.run import run_chaos
from services.chaos.tally import Tally
from services.commands.stack import empty
from services.contract.money import plain
from services.output import console, errors, fail, write_json
from services.stack.process import StackError


def chaos_command(
    faults: Annotated[int, typer.Option(min=1, help="How many faults.")] = 13,
    seed: Annotated[int | None, typer.Option(help="Chooses the faults; the same seed breaks the same things.")] = None,
    fuzz: Annotated[int, typer.Option(min=0, help="Mutated messages to send after the faults.")] = 0,
    load: Annotated[int, typer.Option(min=100, help="Events a second that the providers offer.")] = 4_000,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the verdict to this file as well.", metavar="FILE")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the servers keep their data; emptied at the start.")] = Path(
        ".stack/chaos"
    ),
) -> None:
    """Kill, pause, cut off and fill up the parts of a stack of its own while providers push; nothing is left running.

    After each fault usage must flow again within 30 s and the audit must be clean. In the end every acknowledged event
    must count once and every amount be as `plafond bill` makes it of the same usage. A fault counts only when it is
    seen to do its harm; another takes the place of one that did none. Full disks need root (they are small tmpfs
    mounts); what this machine does not allow is left out, and said.
    Exit status 1: something was lost, doubled, off or slow, or a kind of fault never did any harm.

    Examples: `plafond chaos`, `plafond chaos --faults 200 --seed 7 --fuzz 1000000 --json chaos.json`
    """
    chosen = random.randrange(1_000_000) if seed is None else seed  # noqa: S311 not a secret
    if json_file is not None:
        write_json(json_file, {"seed": chosen, "failure": "it was not ended"})
    empty(folder)
    errors.print(f"seed {chosen}", highlight=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "chaos.log").open("w") as log:
            logs.configure("chaos", log)  # what the providers meet is expected here
            outcome = run_chaos(folder, Plan(faults, chosen, load, fuzz), _report)
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
    effect = "" if each.took_effect else "  had no effect, and does not count"
    console.print(
        f"{what}  flows again after {each.recovery:>4.1f} s  {audit}{effect}",
        style="red" if slow or each.breaches or effect else None, markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _json(outcome: Outcome, seed: int) -> dict[str, Any]:
    found = outcome.verdict
    return {
        "seed": seed,
        "failure": outcome.failure or None,
        "faults": outcome.faults,
        "events": found and found.events,
        "lost": found and found.lost,
        "doubled": found and found.doubled,
        # a number for who checks it, which is 0 or is wrong; its digits are in what is printed
        "amount_difference": found and float(found.amount_difference),
        "conflicts": found and found.conflicts,
        "alerts": found and found.alerts,
        "alerts_off": found and found.alerts_off,
        "alerts_published_again": found and found.alerts_published_again,
        "slowest_recovery_seconds": round(outcome.slowest, 3),
        "fuzzed": outcome.fuzzed.sent if outcome.fuzzed else 0,
        "fuzz": outcome.fuzzed and asdict(outcome.fuzzed),
        "poisoned_and_parked": outcome.poison,
        "restarted": outcome.restarts,
        "left_out": outcome.left_out,
        "not_due": outcome.not_due,
        "without_effect": outcome.without_effect,
        "breaches": list(outcome.breaches),
        "happened": [
            {"kind": each.kind, "what": each.what, "seconds": round(each.seconds, 3),
             "recovery_seconds": round(each.recovery, 3), "took_effect": each.took_effect,
             "breaches": list(each.breaches)}
            for each in outcome.happened
        ],
    }  # fmt: skip


def _print(outcome: Outcome) -> None:
    found = outcome.verdict
    for each in outcome.left_out:
        console.print(f"left out, not possible on this machine: {each}", highlight=False, soft_wrap=True)
    for each in outcome.not_due:
        console.print(
            f"nothing to break at that moment, another took its place: {each}", highlight=False, soft_wrap=True
        )
    for kind in outcome.without_effect:
        console.print(f"never had an effect: {kind}", style="red", highlight=False, soft_wrap=True)
    for breach in outcome.breaches:
        console.print(f"broken: {breach}", style="red", markup=False, soft_wrap=True)
    if outcome.restarts:
        console.print(f"ended by themselves and were started again: {', '.join(outcome.restarts)}", highlight=False)
    if found is None:
        return
    if outcome.fuzzed:
        _print_tally(outcome.fuzzed)
    console.print(
        f"{outcome.faults} faults, {found.events:,} acknowledged events ({found.conflicts:,} with two contents): "
        f"{found.lost} lost, {found.doubled} doubled, amounts off by {plain(found.amount_difference)}; "
        f"{found.alerts} alerts, {found.alerts_off} missing or too many, {found.alerts_published_again} published "
        f"again under the same id; slowest recovery {outcome.slowest:.1f} s",
        style="bold green" if outcome.good else "bold red", highlight=False, soft_wrap=True,
    )  # fmt: skip


def _print_tally(tally: Tally) -> None:
    refused = ", ".join(f"{count:,} with {status}" for status, count in sorted(tally.refused.items())) or "none"
    became = ", ".join(f"{count:,} {what}" for what, count in sorted(tally.became.items())) or "nothing"
    console.print(
        f"{tally.sent:,} mutated messages: {tally.into_kafka:,} into Kafka, {tally.in_taken:,} over HTTP in requests "
        f"that were taken, with {tally.taken:,} events; refused over HTTP: {refused}. The raw topics grew by "
        f"{tally.grown:,}: {became}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
