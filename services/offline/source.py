"""A usage file: where it lies, what it is called in messages, and which form it has."""

import gzip
import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import cramjam

STANDARD_INPUT = "-"
_PARQUET, _GZIP, _ZSTD = b"PAR1", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED = {".gz": _GZIP, ".zst": _ZSTD}


class UsageFileError(Exception):
    """A usage file or a mapping can't be read; the message names it and says what is wrong."""


class Format(StrEnum):
    """The forms that usage files come in."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    FOCUS = "focus"
    OPENDC = "opendc"


_SUFFIXES = {
    ".csv": Format.CSV, ".tsv": Format.CSV, ".parquet": Format.PARQUET,
    ".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".json": Format.JSONL,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A file on disk; `name` is what the caller called it ("-" is kept in a file while it is read)."""

    name: str
    path: Path

    def open(self) -> BinaryIO:
        """Open the unpacked bytes."""
        if self.path.suffix == ".gz":
            return gzip.open(self.path)  # type: ignore[return-value]
        if self.path.suffix == ".zst":
            # DuckDB unpacks columns by itself; JSON lines are unpacked as a whole, so they must fit in memory.
            try:
                return io.BytesIO(bytes(cramjam.zstd.decompress(self.path.read_bytes())))
            except cramjam.DecompressionError as error:
                raise OSError(str(error)) from error
        return self.path.open("rb")

    def error(self, message: str) -> UsageFileError:
        """Return the error that says what is wrong with this file."""
        return UsageFileError(f"{'standard input' if self.name == STANDARD_INPUT else self.name}: {message}")

    def guess(self) -> Format:
        """Tell the form by the suffix, and without one by the first bytes: Parquet, JSON lines, or else CSV."""
        plain = self.path.with_suffix("") if self.path.suffix in _PACKED else self.path
        if plain.suffix.lower() in _SUFFIXES:
            return _SUFFIXES[plain.suffix.lower()]
        with self.open() as file:
            head = file.read(512)
        if head.startswith(_PARQUET):
            return Format.PARQUET
        return Format.JSONL if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else Format.CSV


def sources(names: list[str], folder: Path) -> list[Source]:
    """Find the files; standard input is kept in a file in `folder`."""
    if names.count(STANDARD_INPUT) > 1:
        raise UsageFileError("standard input can be read only once: give - once")
    return [_spool(folder, lambda: sys.stdin.buffer) if name == STANDARD_INPUT else _find(name) for name in names]


def _find(name: str) -> Source:
    source = Source(name, Path(name).absolute())
    try:
        if source.path.is_dir():
            raise source.error("a directory; give its files")
        with source.path.open("rb"):
            pass
    except OSError as error:
        raise source.error(error.strerror or repr(error)) from error
    return source


def _spool(folder: Path, stream: Callable[[], BinaryIO]) -> Source:
    path = folder / "standard-input"
    with path.open("wb") as file:
        shutil.copyfileobj(stream(), file)
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        raise UsageFileError("standard input: empty")
    suffix = next((suffix for suffix, magic in _PACKED.items() if head.startswith(magic)), "")
    return Source(STANDARD_INPUT, path.rename(path.with_suffix(suffix)))
