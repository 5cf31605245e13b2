"""Messages: what is written is read again, by today's schema and from every earlier one; anything else is refused."""

import io
import json
from pathlib import Path

import fastavro
import pytest
from fastavro.utils import generate_one
from hypothesis import given
from hypothesis import strategies as st

from services.avro import MARKER, UnreadableError, _fingerprint, codec

SCHEMAS = Path(__file__).parents[2] / "schemas"
NAMES = sorted(path.stem for path in SCHEMAS.glob("*.avsc"))
HISTORY = sorted((SCHEMAS / "history").glob("*.avsc"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read(name: str):
    schema = json.loads((SCHEMAS / f"{name}.avsc").read_text())
    record = generate_one(schema)
    assert codec(name).decode(codec(name).encode(record)) == record


@pytest.mark.parametrize("path", HISTORY, ids=lambda path: path.stem)
def test_every_schema_there_ever_was_can_be_read(path: Path):
    name = path.name.split(".")[0]
    schema = fastavro.parse_schema(json.loads(path.read_text()))
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, generate_one(schema))
    assert codec(name).decode(MARKER + _fingerprint(schema) + body.getvalue())


@pytest.mark.parametrize("name", NAMES)
def test_todays_schema_is_in_the_history(name: str):
    today = _fingerprint(fastavro.parse_schema(json.loads((SCHEMAS / f"{name}.avsc").read_text())))
    known = {
        _fingerprint(fastavro.parse_schema(json.loads(path.read_text())))
        for path in HISTORY
        if path.name.startswith(f"{name}.")
    }
    assert today in known, f"add schemas/{name}.avsc to schemas/history/ as the next number"


@given(st.binary(max_size=200), st.sampled_from(NAMES), st.booleans())
def test_any_other_bytes_are_refused(noise: bytes, name: str, marked: bool):
    header = (
        codec(name).encode(generate_one(json.loads((SCHEMAS / f"{name}.avsc").read_text())))[:10] if marked else b""
    )
    try:
        codec(name).decode(header + noise)
    except UnreadableError as error:
        assert str(error)


def test_a_message_without_a_value_is_refused():
    with pytest.raises(UnreadableError, match="no alert: the message has no value"):
        codec("alert").decode(None)
