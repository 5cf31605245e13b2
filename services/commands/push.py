"""plafond push: usage files sent the way a provider sends them."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.ingest.events import UsageEvent
from services.ingest.push import Pushed, PushError, Report, avro_event, cloud_event, into_kafka, is_key, over_http
from services.offline.lines import Unread
from services.offline.readers import events, read_mapping
from services.offline.source import Format, UsageFileError
from services.output import JsonOption, console, counted, errors, fail, print_json
from services.reasons import TEXTS, Reason

REFUSED_SHOWN = 20


def push_command(
    files: Annotated[list[str], typer.Argument(help="Usage files; - is standard input.", metavar="FILE...")],
    provider: Annotated[str, typer.Option(help="Who pushes.")],
    url: Annotated[str, typer.Option(envvar="PLAFOND_GATEWAY", help="The gateway.")] = "http://localhost:8080",
    key: Annotated[str | None, typer.Option(envvar="PLAFOND_API_KEY", help="The provider's API key.")] = None,
    kafka: Annotated[str | None, typer.Option(help="Write into the provider's topic there instead.")] = None,
    avro: Annotated[bool, typer.Option("--avro", help="With --kafka: as Avro instead of JSON.")] = False,
    own: Annotated[bool, typer.Option("--own", help="Pass over events that name another provider.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Events a request.")] = 500,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Requests at the same time.")] = 4,
    form: Annotated[Format | None, typer.Option("--format", help="The files' form; else it is found out.")] = None,
    mapping: Annotated[
        Path | None, typer.Option("--map", help="For FOCUS and OpenDC files: what they don't say.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Push usage files over HTTP, or with --kafka straight into the provider's topic.

    Files may be CSV, Parquet, JSON lines of CloudEvents, FOCUS or an OpenDC trace, as for `plafond bill`. Exit status 1
    names what was refused; 3: the gateway or the broker can't be reached, or refuses the key.

    Examples:

    `plafond push march.csv --provider numergy --url https://usage.example.eu --key plf_...`

    `plafond push deploy/usage/bitbrains_small_trace.parquet --map deploy/usage/bitbrains.toml --provider gigas --own
    --kafka localhost:9092`
    """
    if kafka is None and key is None:
        fail("give the provider's API key with --key or PLAFOND_API_KEY, or a broker with --kafka", 2)
    key = (key or "").strip()
    if kafka is None and not is_key(key):
        fail("that is no API key: it has characters that none has", 2)
    try:
        read = events(files, form, read_mapping(mapping) if mapping else None)
        refused: list[dict[str, Any]] = []
        if own or kafka is None:
            read = _of(provider, read, refused, own=own, whole=kafka is None)
        messages = _messages(read, batch, as_avro=avro and kafka is not None)
        with _progress() as report:
            if kafka is not None:
                pushed = asyncio.run(into_kafka(kafka, provider, messages, report))
            else:
                pushed = asyncio.run(over_http(url, key, messages, report, clients=clients, notice=_notice))
    except UsageFileError as error:
        fail(str(error))
    except (PushError, KafkaError, OSError) as error:
        fail(str(error), 3)
    pushed.refused.extend(refused)
    _show(pushed, as_json=as_json)
    if pushed.refused:
        raise typer.Exit(1)


def _of(
    provider: str,
    read: Iterator[list[UsageEvent | Unread]],
    refused: list[dict[str, Any]],
    *,
    own: bool,
    whole: bool,
) -> Iterator[list[UsageEvent | Unread]]:
    """Leave out what names another provider, noting it unless only `own` events are wanted.

    With `whole`, what is no event is left out and noted, too; a topic takes it, and keeps it as a rejection.
    """
    for chunk in read:
        mine: list[UsageEvent | Unread] = []
        for each in chunk:
            if isinstance(each, Unread):
                if whole:
                    what = {"id": None, "line": each.line, "reason": each.refusal.reason.value}
                    refused.append({**what, "explanation": each.refusal.explanation})
                else:
                    mine.append(each)
            elif each.source == f"/providers/{provider}":
                mine.append(each)
            elif not own:
                found = f"{TEXTS[Reason.WRONG_PROVIDER]}: source {each.source!r} pushed as {provider!r}"
                refused.append({"id": each.id, "reason": Reason.WRONG_PROVIDER.value, "explanation": found})
        yield mine


def _notice(what: str) -> None:
    errors.print(what, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _messages(read: Iterator[list[UsageEvent | Unread]], size: int, *, as_avro: bool) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    write = avro_event if as_avro else cloud_event
    for chunk in read:
        for each in chunk:
            if isinstance(each, UsageEvent):
                batch.append(write(each))
            else:
                batch.append(each.payload)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


class _progress:  # noqa: N801 used as a function
    """Counts events on a terminal."""

    def __enter__(self) -> Report:
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.completed:,.0f} events"), TimeElapsedColumn(),
            console=errors, disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._bar.start()
        task = self._bar.add_task("push", total=None)
        return lambda count: self._bar.advance(task, count)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _name(refused: dict[str, Any]) -> str:
    return str(refused.get("id") or (f"line {refused['line']}" if "line" in refused else "no id"))


def _show(pushed: Pushed, *, as_json: bool) -> None:
    if as_json:
        print_json({"taken": pushed.taken, "refused": pushed.refused})
        return
    console.print(f"{counted(pushed.taken, 'event')} taken, {len(pushed.refused):,} refused", highlight=False)
    for each in pushed.refused[:REFUSED_SHOWN]:
        console.print(f"  {_name(each)}: {each['explanation']}", markup=False, highlight=False)
    if len(pushed.refused) > REFUSED_SHOWN:
        console.print(f"  and {len(pushed.refused) - REFUSED_SHOWN:,} more")
