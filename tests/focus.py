"""The validators of FOCUS, as `make setup` fetched them where there is a Python that they run with."""

import re
import subprocess
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1] / ".cache" / "focus-validator-2.2.1"
KNOWN_DEFECTS = {
    "InvoiceId-C-004-C", "InvoiceId-C-005-C", "CapacityReservationStatus-C-004-C", "CommitmentDiscountStatus-C-004-C",
    "EffectiveCost-C-005-C", "ConsumedQuantity-C-006-C",
}  # fmt: skip
"""Rules of the model 1.2.0.1 whose condition is missing or turned round (FOCUS_Spec, issues 2393, 2394 and 2673)."""


def against_1_2(file: Path) -> list[str]:
    """Return what the FinOps Foundation's validator says against a file of cost and usage in FOCUS 1.2."""
    (packages,) = _program("focus-validator").parents[1].glob("lib/python3*/site-packages")
    words = [
        "--data-file",
        str(file),
        "--validate-version",
        "1.2",
        "--block-download",
        "--applicability-criteria",
        "ALL",
    ]
    done = _run("focus-validator", *words, folder=packages)  # it opens a file of its own relative to where it runs
    assert re.search(r"Total: \d+ \| Pass: \d{3}", done.stdout), done.stdout[-2000:] + done.stderr[-2000:]
    failed = re.findall(r"^❌ (\S+): FAIL\s+\((.*)\)$", done.stdout, re.MULTILINE)
    return [f"{rule}: {text}" for rule, text in failed if "failed child" not in text and rule not in KNOWN_DEFECTS]


def against_1_4(folder: Path) -> list[str]:
    """Return what is said against each data set of FOCUS 1.4 in a folder, and against all together."""
    runs = [
        _run("focus-toolkit", "validate", "--dataset", each.stem, str(each)) for each in sorted(folder.glob("*.csv"))
    ]
    runs.append(_run("focus-toolkit", "validate-bundle", "--directory", str(folder)))
    return [each.stdout + each.stderr for each in runs if each.returncode or "OK" not in each.stdout]


def _program(name: str) -> Path:
    program = HOME / "bin" / name
    if not program.exists():
        pytest.skip("the validators of FOCUS want Python 3.12 or newer: install it and run `make setup`")
    return program


def _run(name: str, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [_program(name), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
