"""The streamed result equals `plafond bill` over the same usage, to the last decimal: the sample contract, real usage."""

import asyncio
import json
from pathlib import Path

import pytest

from services.ingest.push import avro_event, cloud_event, into_kafka
from services.offline.readers import events, read_mapping
from services.stack import demo_usage
from services.stack.demo import CONTRACT, MAPPING, MONTH, TRACE
from tests.pipeline import Pipeline

EVENTS_OF_A_PROVIDER = 2_500


@pytest.fixture(scope="module")
def contract() -> str:
    """The sample contract, under which this module's services run."""
    return CONTRACT.read_text("utf-8")


async def test_stream_and_files_come_to_the_same(pipeline: Pipeline, tmp_path: Path):
    usage = demo_usage.by_provider(events([str(TRACE)], mapping=read_mapping(MAPPING)))
    file = tmp_path / "usage.jsonl"
    pushes = []
    with file.open("wb") as lines:
        for number, (provider, mine) in enumerate(sorted(usage.items())):
            chosen = mine[:: max(1, len(mine) // EVENTS_OF_A_PROVIDER)]
            sent = [*demo_usage.as_pushed(chosen, number), *demo_usage.refused_by_contract(chosen)[:-1]]
            lines.writelines(cloud_event(each) + b"\n" for each in sent)
            write = avro_event if number % 2 else cloud_event
            pushes.append(into_kafka(pipeline.kafka, provider, [[write(each) for each in sent]], lambda _: None))
    await asyncio.gather(*pushes)
    await pipeline.through()
    billed = pipeline.json("bill", "--contract", str(CONTRACT), "--usage", str(file), "--out", str(tmp_path / "billed"))
    pipeline.command("statement", MONTH, "--out", str(tmp_path / "open"))
    pipeline.command("close", MONTH, "--override", "tested")
    pipeline.command("statement", MONTH, "--out", str(tmp_path / "closed"))
    expected = _statements(tmp_path / "billed" / MONTH)
    assert len(expected) > 15
    assert _statements(tmp_path / "open") == expected
    assert _statements(tmp_path / "closed") == expected
    assert pipeline.json("ceilings") == json.loads(json.dumps(billed["ceilings"]))
    summary = pipeline.json("rejections", "summary")
    rejected: dict[str, int] = {}
    for row in summary:
        rejected[row["reason"]] = rejected.get(row["reason"], 0) + row["events"]
    assert rejected == billed["rejected"]
    assert await pipeline.audit() == []


def _statements(folder: Path) -> dict[str, object]:
    found = {}
    for path in folder.glob("*.json"):
        statement = json.loads(path.read_text("utf-8"))
        for issued in ("number", "document"):
            statement.pop(issued, None)
        found[statement["institution"]] = statement
    return found
