"""The core does no I/O: importing it brings in no event loop, no client and no database."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACT = [
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__")
    for path in sorted((ROOT / "services" / "contract").rglob("*.py"))
]
DECISIONS = [
    "services.ingest.decide", "services.ingest.short", "services.rating.corrections", "services.rating.meter",
    "services.invoicing.settle", "services.invoicing.ceilings", "services.invoicing.statement", "services.documents.make",
    "services.reconciliation.electronic", "services.reconciliation.table", "services.reconciliation.match",
    "services.reconciliation.books", "services.reconciliation.missing", "services.reconciliation.usage",
    "services.closing.anomalies", "services.closing.model", "services.closing.stages",
]  # fmt: skip
FORBIDDEN = ["asyncio", "asyncpg", "aiokafka", "faust", "duckdb", "fastapi", "httpx", "socket", "structlog"]
_PROGRAM = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted(set(sys.argv[2:]) & set(sys.modules)))
"""


@pytest.mark.parametrize("module", CONTRACT + DECISIONS)
def test_importing_the_core_brings_no_io(module: str):
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, module, *FORBIDDEN], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
