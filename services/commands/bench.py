"""plafond bench: how much the system takes, what it costs, and how that compares."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError

from services.bench.booked import NotBookedError
from services.bench.closing import Closing, run_closing
from services.bench.repricing import Repricing, run_repricing
from services.bench.run import Figures, machine, run_bench
from services.commands.stack import empty, stages
from services.output import Column, console, fail, require_writable, show, write_json
from services.stack.process import StackError

_COLUMNS = [
    Column("what", "what"), Column("measured", "measured", right=True), Column("target", "target", right=True),
    Column("met", "met"),
]  # fmt: skip
_PROCESSES = [
    Column("process", "process"), Column("cpu", "CPU s / million", right=True),
    Column("first", "MiB, first million", right=True), Column("last", "last million", right=True),
    Column("highest", "at most", right=True),
]  # fmt: skip


def bench_command(
    events: Annotated[int, typer.Option(min=1_000, help="Events for the pipeline and the limit.")] = 5_000_000,
    stored: Annotated[int, typer.Option(min=0, help="Events that are in the tables before.")] = 0,
    seconds: Annotated[float, typer.Option(min=1, help="How long each steady load lasts.")] = 20,
    repricing: Annotated[
        int, typer.Option(min=0, help="Instead: price a month of so many stored events again.", metavar="EVENTS")
    ] = 0,
    closing: Annotated[
        int, typer.Option(min=0, help="Instead: close and export a month of so many statement lines.", metavar="LINES")
    ] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.", metavar="FILE")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the servers keep their data; emptied at the start.")] = Path(
        ".stack/bench"
    ),
) -> None:
    """Measure the pipeline on servers of its own, beside the machine's limit, a plain Faust agent and plain SQL.

    All in one run on this machine, so that the ratios tell something where the machine is noisy. Takes about four
    minutes on two cores. After each flow everything that was sent must be in the books; exit status 1: it was not.

    Examples: `plafond bench`, `plafond bench --events 200000 --json bench.json`,
    `plafond bench --stored 50000000`, `plafond bench --repricing 30000000`,
    `plafond bench --closing 200000`
    """
    if json_file is not None:
        require_writable(json_file)
    empty(folder)
    figures: Figures | Repricing | Closing
    try:
        with stages() as stage:
            if repricing:
                figures = run_repricing(folder, repricing, stage)
            elif closing:
                figures = run_closing(folder, closing, stage)
            else:
                figures = run_bench(folder, events, stored, seconds, stage)
    except NotBookedError as error:
        fail(str(error), 1)
    except (StackError, OSError, KafkaError, RuntimeError, asyncio.IncompleteReadError) as error:
        fail(str(error) or repr(error), 3)
    empty(folder)
    if isinstance(figures, Repricing):
        _print_repricing(figures)
    elif isinstance(figures, Closing):
        _print_closing(figures)
    else:
        _print(figures)
    if json_file is not None:
        data = _json(figures, stored) if isinstance(figures, Figures) else asdict(figures)
        write_json(json_file, {"machine": machine(), **data})


def _print_repricing(figures: Repricing) -> None:
    console.print(machine(), highlight=False, soft_wrap=True)
    rows = [
        _row("from its meters, seconds", f"{figures.from_meters:.1f}", "< 10", figures.from_meters < 10),
        _row("from its events, seconds", f"{figures.from_events:.1f}", "< 300", figures.from_events < 300),
    ]
    show(rows, _COLUMNS, title=f"\nA month of {figures.events:,} events and {figures.charges:,} charges, priced again")


def _print_closing(figures: Closing) -> None:
    console.print(machine(), highlight=False, soft_wrap=True)
    both = figures.close + figures.export
    rows = [
        _row("checklist and close, seconds", f"{figures.close:.1f}"),
        _row("all documents, seconds", f"{figures.export:.1f}"),
        _row("both, seconds", f"{both:.1f}", "< 60", both < 60),
        _row("all documents again, seconds", f"{figures.again:.1f}"),
    ]
    title = f"\nA month of {figures.lines:,} lines for {figures.institutions} institutions, {figures.files} files"
    show(rows, _COLUMNS, title=title)


def _json(figures: Figures, stored: int) -> dict[str, Any]:
    pipeline = figures.pipeline
    return {
        "events": figures.events,
        "stored": stored,
        "pipeline_events_per_second": pipeline.events_per_second,
        "pipeline_from_start_events_per_second": pipeline.events_per_second_from_start,
        "limit_events_per_second": figures.limit.events_per_second,
        "limit_read_seconds": figures.limit.read_seconds,
        "limit_copy_seconds": figures.limit.copy_seconds,
        "limit_with_two_copies_events_per_second": figures.limit.two_copies_events_per_second,
        "naive_events_per_second": figures.naive,
        "sql_events_per_second": figures.floor,
        "pipeline_to_limit": pipeline.events_per_second / figures.limit.events_per_second,
        "pipeline_to_naive": pipeline.events_per_second / figures.naive,
        "cpu_seconds_per_million": sum(pipeline.cpu_seconds_per_million.values()),
        "cpu_seconds_per_million_by_process": pipeline.cpu_seconds_per_million,
        "freshness_p50_seconds": figures.freshness.p50,
        "freshness_p99_seconds": figures.freshness.p99,
        "freshness_wanted_events_per_second": figures.freshness.wanted,
        "freshness_events_per_second": figures.freshness.load,
        "freshness_at_load": figures.freshness.is_at_load,
        "memory_mib": pipeline.memory_mib,
        "memory_mib_first_million": pipeline.memory_mib_first_million,
        "memory_mib_last_million": pipeline.memory_mib_last_million,
        "gateway_batch_events_per_second": figures.batches.events_per_second,
        "gateway_single_requests_per_second": figures.single.requests_per_second,
        "gateway_single_p50_seconds": figures.single.p50_seconds,
        "gateway_single_p99_seconds": figures.single.p99_seconds,
        "gateway_refused": figures.batches.refused + figures.single.refused,
        "bill_events_per_second": figures.bill,
    }


def _print(figures: Figures) -> None:
    pipeline, least, single, fresh = figures.pipeline, figures.limit, figures.single, figures.freshness
    rate = pipeline.events_per_second
    cpu = sum(pipeline.cpu_seconds_per_million.values())
    highest = max(pipeline.memory_mib[name] for name in ("ingest", "rating", "invoicing"))
    console.print(machine(), highlight=False, soft_wrap=True)
    rows = [
        _row("the pipeline, events/s", f"{rate:,.0f}", "40,000", rate >= 40_000),
        _row("the same, the services' start included", f"{pipeline.events_per_second_from_start:,.0f}"),
        _row("the limit: read and COPY, events/s", f"{least.events_per_second:,.0f}"),
        _row("the same with two COPY connections, events/s", f"{least.two_copies_events_per_second:,.0f}"),
        _row("a plain Faust agent, events/s", f"{figures.naive:,.0f}"),
        _row("plain SQL, nothing streamed, events/s", f"{figures.floor:,.0f}"),
        _row("pipeline / limit", f"{rate / least.events_per_second:.2f}", "0.6", rate / least.events_per_second >= 0.6),
        _row("pipeline / plain agent", f"{rate / figures.naive:.0f}", "35", rate / figures.naive >= 35),
        _row("CPU seconds a million events", f"{cpu:.1f}", "< 40", cpu < 40),
        _row("half load, events/s", f"{fresh.load:,.0f}", f"{fresh.wanted:,.0f}", fresh.is_at_load),
        _row("freshness at half load, p50", f"{fresh.p50:.2f} s"),
        _row("freshness at half load, p99", f"{fresh.p99:.2f} s", "< 1 s", fresh.p99 < 1 and fresh.is_at_load),
        _row("largest service", f"{highest:.0f} MiB", "< 300 MiB", highest < 300),
        _row("gateway, 8 clients with 500 each, events/s", f"{figures.batches.events_per_second:,.0f}", "25,000",
             figures.batches.events_per_second >= 25_000),
        _row("gateway, refused", f"{figures.batches.refused + single.refused:,}", "0",
             not figures.batches.refused + single.refused),
        _row("gateway, single events, requests/s", f"{single.requests_per_second:,.0f}", "1,000",
             single.requests_per_second >= 1_000),
        _row("gateway, single events, p99", f"{single.p99_seconds * 1000:.0f} ms", "< 50 ms",
             single.p99_seconds < 0.05),
        _row("plafond bill from Parquet, events/s", f"{figures.bill:,.0f}", "1,000,000", figures.bill >= 1_000_000),
    ]  # fmt: skip
    show(rows, _COLUMNS, title=f"\nBenchmark with {figures.events:,} events")
    memory = {
        "first": pipeline.memory_mib_first_million,
        "last": pipeline.memory_mib_last_million,
        "highest": pipeline.memory_mib,
    }
    costs = [
        {"process": name, "cpu": f"{seconds:.1f}"} | {when: f"{mib[name]:.0f}" for when, mib in memory.items()}
        for name, seconds in pipeline.cpu_seconds_per_million.items()
    ]
    show(costs, _PROCESSES, title="\nCost of the pipeline by process, from its start on")


def _row(what: str, measured: str, target: str = "", met: bool | None = None) -> dict[str, str]:
    return {"what": what, "measured": measured, "target": target, "met": "" if met is None else "yes" if met else "no"}
