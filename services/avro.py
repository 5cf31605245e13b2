"""Avro single-object encoding: two marker bytes, the schema's CRC-64 fingerprint, the body.

A message says by itself which schema wrote it, so no registry is needed (Avro 1.12 specification, "Single-object
encoding"). Readers know today's schemas by fingerprint and the ones before them from `schemas/history/`.
"""

import io
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

MARKER = b"\xc3\x01"
HEADER_SIZE = 10


class UnreadableError(ValueError):
    """The bytes are not one whole message of a schema that this reader knows."""


class Codec:
    """Encodes and decodes one message type; reads every schema of that type it has ever had."""

    def __init__(self, name: str) -> None:
        folder = files("schemas")
        self.name = name
        self._schema = parse_schema(json.loads((folder / f"{name}.avsc").read_text("utf-8")))
        self._header = MARKER + _fingerprint(self._schema)
        self._writers = {self._header: self._schema}
        history = folder / "history"
        for path in history.iterdir() if history.is_dir() else ():
            if path.name.startswith(f"{name}."):
                schema = parse_schema(json.loads(path.read_text("utf-8")))
                self._writers[MARKER + _fingerprint(schema)] = schema

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Return the message's bytes; raises ValueError or TypeError when the record does not fit the schema."""
        buffer = io.BytesIO()
        buffer.write(self._header)
        fastavro.schemaless_writer(buffer, self._schema, record)
        return buffer.getvalue()

    def knows(self, message: bytes) -> bool:
        """Tell whether the message was written with a schema known here."""
        return bytes(message[:HEADER_SIZE]) in self._writers

    def decode(self, message: bytes | None) -> dict[str, Any]:
        """Return the record; raises UnreadableError for anything but one whole message of a known schema.

        Kafka gives None for a message without a value.
        """
        if message is None:
            raise UnreadableError(f"no {self.name}: the message has no value")
        writer = self._writers.get(bytes(message[:HEADER_SIZE]))
        if writer is None:
            raise UnreadableError(
                f"no {self.name} schema has the fingerprint {message[2:HEADER_SIZE].hex() or 'of nothing'}"
            )
        body = io.BytesIO(message)
        body.seek(HEADER_SIZE)
        try:
            record = fastavro.schemaless_reader(body, writer, None if writer is self._schema else self._schema)
        except (
            EOFError,
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            OverflowError,
            MemoryError,
            RecursionError,
        ) as error:
            raise UnreadableError(f"not a whole {self.name}: {type(error).__name__} {error}") from error
        if body.tell() != len(message):
            raise UnreadableError(f"{len(message) - body.tell()} bytes too many after the {self.name}")
        assert isinstance(record, dict)
        return record


@cache
def codec(name: str) -> Codec:
    """Return the codec of `schemas/<name>.avsc`."""
    return Codec(name)


def _fingerprint(schema: Any) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
