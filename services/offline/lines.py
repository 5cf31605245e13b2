"""JSON lines: one CloudEvent a line, read by the very code that reads them from a topic."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from services.ingest.events import EVENT_SIZE_MAX, UsageEvent, read
from services.offline.source import Source
from services.reasons import Refusal

BATCH_SIZE = 20_000


class Unread(NamedTuple):
    """A line that is no usage event, and why."""

    payload: bytes
    refusal: Refusal
    line: int


class Line(NamedTuple):
    """What stands on a line, counted from 1."""

    number: int
    event: UsageEvent | Unread


def batches(source: Source) -> Iterator[list[Line]]:
    """Read a file's lines in batches; blank lines are passed over."""
    batch: list[Line] = []
    try:
        with source.open() as file:
            for number, line in _lines(file):
                read_as = read(line)
                batch.append(Line(number, Unread(line, read_as, number) if isinstance(read_as, Refusal) else read_as))
                if len(batch) == BATCH_SIZE:
                    yield batch
                    batch = []
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise source.error(f"can't be read: {error}") from error
    yield batch


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield lines that are not blank with their numbers; of one that is too large, just enough to show that it is."""
    number = 0
    limit = EVENT_SIZE_MAX + 2
    while line := file.readline(limit):
        number += 1
        part = line
        while len(part) == limit and not part.endswith(b"\n"):
            part = file.readline(limit)
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line.rstrip(b"\r\n")
        if len(line) > EVENT_SIZE_MAX or (line and not line.isspace()):
            yield number, line
