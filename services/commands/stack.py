"""plafond up, down, demo: the whole system on this machine, without Docker."""

import asyncio
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.commands.contract_file import contract_in
from services.commands.invoices import exported_data, show_left_out
from services.commands.month import show_ceilings, show_totals
from services.contract_store import ContractError
from services.documents.files import UnwritableError
from services.invoicing.documents import ceiling_row, due
from services.output import Column, JsonOption, console, counted, errors, fail, print_json, show
from services.reasons import TEXTS, Reason
from services.stack.demo import CONTRACT, MONTH, Outcome, run_demo
from services.stack.local import SERVERS, LocalStack
from services.stack.plafond import DELIVERY, SERVICES, addresses_in, prepare, servers
from services.stack.process import StackError, run

FolderOption = Annotated[Path, typer.Option(help="Where data, logs and state are kept.")]


def up_command(
    folder: FolderOption = Path(".stack"),
    contract: Annotated[
        Path | None, typer.Option(help="The contract to apply; without it the sample, where there is none yet.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start Kafka, PostgreSQL and the services as local processes, and leave them running.

    Called again, it starts what has ended. Keys are shown when they are made, and never again: `plafond keys create`
    makes another one.

    Examples: `plafond up`, `plafond up --contract my-contract.toml`
    """
    require_folder(folder)
    file = contract or CONTRACT
    contract_in(file)
    stack = LocalStack(folder)
    try:
        if {*SERVERS, *SERVICES, DELIVERY} <= set(stack.running()):
            errors.print(f"the stack in {folder} runs already", highlight=False)
            keys = {}
        else:
            plafond = servers(stack)
            keys = asyncio.run(prepare(plafond, file.read_text("utf-8"), only_if_none=contract is None))
            stack.start_service(*SERVICES, DELIVERY)
    except ContractError as error:
        fail("\n".join([f"{file}: can't be applied", *(f"  {each}" for each in error.problems)]))
    except (StackError, OSError) as error:
        fail(str(error), 3)
    addresses = addresses_in(folder)
    assert addresses is not None, "a stack that is up has its addresses"
    if as_json:
        print_json({"kafka": addresses.kafka, "database_url": addresses.database_url, "gateway": addresses.gateway,
                    "documents": addresses.documents, "probes": addresses.probes, "keys": keys})  # fmt: skip
        return
    console.print(
        f"gateway   {addresses.gateway}/v1/usage, its documentation at {addresses.gateway}/docs",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"documents {addresses.documents}/v1/documents, with an institution's key", highlight=False, soft_wrap=True
    )
    for name, url in addresses.probes.items():
        console.print(f"{name:<9} {url}/metrics", highlight=False)
    console.print(f"export PLAFOND_KAFKA={addresses.kafka}", highlight=False, soft_wrap=True)
    console.print(f"export PLAFOND_DATABASE_URL={addresses.database_url}", highlight=False, soft_wrap=True)
    for provider, key in keys.items():
        console.print(f"key of {provider:<22} {key}", highlight=False, soft_wrap=True)


def down_command(
    folder: FolderOption = Path(".stack"),
    delete: Annotated[bool, typer.Option("--delete", help="Delete the data as well.")] = False,
) -> None:
    """Stop what `plafond up` started; the data stay unless --delete is given.

    Example: `plafond down`
    """
    require_folder(folder)
    stack = LocalStack(folder)
    if not folder.exists():
        console.print(f"nothing runs in {folder}", highlight=False)
        return
    try:
        with stack.held():
            stopped = stack.down()
    except StackError as error:
        fail(str(error), 3)
    console.print(f"stopped {', '.join(stopped)}" if stopped else f"nothing runs in {folder}", highlight=False)
    if delete and folder.exists():
        _delete(stack, folder)


def demo_command(
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its data; emptied at the start.")] = Path(
        ".stack/demo"
    ),
    as_json: JsonOption = False,
) -> None:
    """Push a month of real usage through the whole system and show what comes out; nothing is left running.

    Example: `plafond demo`
    """
    began = time.monotonic()
    empty(folder)
    try:
        with stages() as stage:
            outcome = run_demo(folder, stage)
    except (StackError, UnwritableError, OSError) as error:
        fail(str(error), 3)
    seconds = time.monotonic() - began
    if as_json:
        _print_json(outcome, seconds)
    else:
        _print(outcome, seconds)
    if any(each.breaches for each in outcome.findings) or outcome.documents.left_out:
        raise typer.Exit(1)


class stages:  # noqa: N801 used as a function
    """Shows stages as progress bars on a terminal, and as a line each where there is none."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=errors, disable=not sys.stderr.isatty(),
        )  # fmt: skip

    def __enter__(self) -> Callable[[str, int | None], Callable[[int], None]]:
        self._progress.start()
        return self._begin

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _begin(self, what: str, steps: int | None) -> Callable[[int], None]:
        if self._progress.disable:
            errors.print(what, highlight=False)
        task = self._progress.add_task(what, total=1 if steps is None else max(steps, 1))
        if steps == 0:
            self._progress.update(task, completed=1)
        return lambda count: self._progress.advance(task, count)


def require_folder(folder: Path) -> None:
    """End the command with status 2 where there can't be a folder, since something else stands there or above."""
    try:
        other = [place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()]
    except OSError as error:
        fail(f"{folder}: {error.strerror}", 2)
    if other:
        fail(f"{folder}: {other[-1]} is no folder", 2)
    here = Path.cwd()
    if folder.resolve() in {here, *here.parents}:
        fail(f"{folder} holds what you work on: give the stack a folder of its own, which it may empty", 2)


def empty(folder: Path) -> None:
    """Delete what an earlier run left in a folder; ends the command while it still runs, or where there can be none."""
    require_folder(folder)
    try:
        stack = LocalStack(folder)
        if folder.exists():
            stack.held().close()
        running = stack.running()
    except StackError as error:
        fail(str(error), 3)
    if running:
        fail(f"a stack runs in {folder} already: `plafond down --folder {folder}` stops it", 3)
    if (folder / "state.json").exists():
        _delete(stack, folder)
    elif folder.exists() and any(each.suffix not in _ALONE and each.name != "logs" for each in folder.iterdir()):
        fail(f"{folder} holds files, and none that says it was a stack's: name another folder, or empty it yourself", 2)


_ALONE = {".lock", ".log"}
"""What a stack has in its folder before it says what it consists of."""


def _delete(stack: LocalStack, folder: Path) -> None:
    for place in (folder / name / where for name in SERVERS for where in ("", "elsewhere")):
        if place.resolve().is_mount():  # a small disk that a killed run of chaos left
            run(["umount", "-l", str(place.resolve())])
    stack.postgres.destroy()
    shutil.rmtree(folder)


def _print(outcome: Outcome, seconds: float) -> None:
    counts = outcome.counts
    rows: list[dict[str, Any]] = [
        {"what": "came in", "events": f"{counts['came_in']:,}"},
        {"what": "accepted", "events": f"{counts['accepted']:,}"},
        {"what": "  of these out of the order of time", "events": f"{counts['out_of_order']:,}"},
        {"what": "repeats, which cost nothing", "events": f"{counts['repeats']:,}"},
        {"what": "rejected", "events": f"{counts['rejected']:,}"},
    ]
    rows += _by_reason(outcome.rejected)
    refused = sum(outcome.refused_at_door.values())
    rows.append({"what": "refused by the gateway, never taken", "events": f"{refused:,}"})
    rows += _by_reason(outcome.refused_at_door)
    show(rows, [Column("what", "usage"), Column("events", "events", right=True)], title=f"\nUsage of {MONTH}")
    console.print()
    show_totals(outcome.contract, outcome.invoices, title=f"Invoices of {MONTH}", as_json=False)
    console.print()
    show_ceilings(outcome.contract, [each for each in outcome.standings if each.ceiling], as_json=False)
    _print_alerts(outcome)
    _print_documents(outcome)
    broken = [each for each in outcome.findings if each.breaches]
    console.print()
    for each in broken:
        console.print(f"broken: {each.identity}: {each.breaches[0]}", style="red", markup=False)
    verdict = f"{len(broken)} identities break" if broken else f"clean, all {len(outcome.findings)} identities hold"
    console.print(f"audit: {verdict}", style="bold red" if broken else "bold green", highlight=False)
    rate = counts["came_in"] / outcome.flow_seconds
    console.print(
        f"{counts['came_in']:,} events in {outcome.flow_seconds:.1f} s from the first push to the last posting: "
        f"{rate:,.0f} events/s; the whole demo {seconds:.0f} s",
        highlight=False,
        soft_wrap=True,
    )


def _by_reason(counts: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"what": f"  {reason}: {TEXTS[Reason(reason)]}", "events": f"{count:,}"} for reason, count in counts.items()
    ]


def _print_alerts(outcome: Outcome) -> None:
    first = min(outcome.contract.thresholds)
    said = f"{outcome.alerts} raised" if outcome.alerts else f"none, no ceiling is spent to {first} %"
    console.print(f"alerts: {said}", highlight=False)


def _print_documents(outcome: Outcome) -> None:
    made = counted(outcome.documents.files, "file")
    console.print(f"invoices: {made} in {outcome.folder.resolve()}", highlight=False, soft_wrap=True)
    show_left_out(outcome.documents)


def _print_json(outcome: Outcome, seconds: float) -> None:
    print_json(
        {
            "usage": {**outcome.counts, "refused_by_gateway": sum(outcome.refused_at_door.values())},
            "refused_by_gateway": outcome.refused_at_door,
            "rejected": outcome.rejected,
            "invoices": {each.number: due(outcome.contract, each.statement.total) for each in outcome.invoices},
            "totals": {e.statement.institution: due(outcome.contract, e.statement.total) for e in outcome.invoices},
            "ceilings": [ceiling_row(outcome.contract, each) for each in outcome.standings],
            "alerts": outcome.alerts,
            "documents": exported_data(outcome.documents, outcome.folder.resolve()),
            "audit": {each.identity: list(each.breaches) for each in outcome.findings},
            "flow_seconds": round(outcome.flow_seconds, 3),
            "seconds": round(seconds, 3),
        }
    )
