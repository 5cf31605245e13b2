"""veraPDF, as `make setup` fetched it: whether PDFs are PDF/A-3b."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

LIBS = Path(__file__).parents[1] / ".cache" / "verapdf-1.28.2" / "libs"
_SCRIPT = Path(__file__).parent / "data" / "pdfa.js"


def against_pdfa(files: Sequence[Path]) -> list[list[str]]:
    """Return what veraPDF says against each file."""
    if not LIBS.exists():
        pytest.fail(f"{LIBS} is not there: run `make setup`, which fetches it")
    java = str(Path(os.environ["JAVA_HOME"]) / "bin" / "java") if "JAVA_HOME" in os.environ else "java"
    command = [java, "-cp", f"{LIBS}/*", "org.mozilla.javascript.tools.shell.Main", str(_SCRIPT)]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=120, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(files), done.stdout + done.stderr
    assert all(each["compliant"] == (not each["findings"]) for each in found)
    return [each["findings"] for each in found]
