"""Writing a bill to a folder: files are made aside and then put in place, and those of an earlier bill go.

Law: once `write` is through, the folder holds one bill, whole, whatever bill it held before.
"""

import csv
import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from services.contract.model import Contract
from services.contract.money import plain, total
from services.invoicing.documents import (
    CEILING_COLUMNS,
    ceiling_row,
    due,
    statement_csv,
    statement_json,
    table_csv,
)
from services.offline.bill import Bill, Rejection, Usage

REJECTION_COLUMNS = (
    "file", "line", "reason", "explanation", "id", "provider", "time", "subject", "lot", "item", "quantity", "region",
    "resource", "corrects",
)  # fmt: skip
_OUR_FILE = re.compile(r"(\d{4}-\d{2}/)?[\w.-]+\.(csv|json)", re.ASCII)

SUMMARY = "summary.json"


def write(folder: Path, contract: Contract, usage: Usage, bill: Bill) -> tuple[int, int]:
    """Write statements, rejections, ceilings and a summary; return how many files there are, and how many went.

    Old ones are those that the summary of an earlier bill in the folder names; no other file is touched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _written(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".plafond-") as aside:
        _write_statements(Path(aside), contract, bill)
        _write_rejections(Path(aside) / "rejections.csv", usage.rejections())
        ceilings = table_csv(CEILING_COLUMNS, (ceiling_row(contract, each) for each in bill.standings))
        _write_text(Path(aside) / "ceilings.csv", ceilings)
        made = {str(path.relative_to(aside)) for path in Path(aside).rglob("*") if path.is_file()} | {SUMMARY}
        _write_json(Path(aside) / SUMMARY, {**summary(contract, usage, bill), "written": sorted(made)})
        for name in sorted(made):
            (folder / name).parent.mkdir(exist_ok=True)
            (Path(aside) / name).replace(folder / name)
    gone = [path for name in earlier - made if (path := folder / name).is_file()]
    for path in gone:
        path.unlink()
        if path.parent != folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return len(made), len(gone)


def _written(folder: Path) -> set[str]:
    """Return the files that an earlier bill wrote into the folder, by its summary."""
    try:
        names = json.loads((folder / SUMMARY).read_text("utf-8"))["written"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # no bill, or not one of ours
        return set()
    return {name for name in names if isinstance(name, str) and _OUR_FILE.fullmatch(name)}


def summary(contract: Contract, usage: Usage, bill: Bill) -> dict[str, Any]:
    """Return the bill in brief, as plain data for JSON; amounts are text."""
    return {
        "contract": contract.code,
        "currency": contract.currency,
        "files": list(usage.files),
        "read": bill.read,
        "accepted": bill.accepted,
        "repeats": bill.repeats,
        "rejected": dict(bill.rejected),
        "below_zero": [{**key._asdict(), "quantity": plain(quantity)} for key, quantity in bill.below_zero()],
        "provisional_rates": [{**each._asdict(), "rate": plain(each.rate)} for each in bill.provisional],
        "statements": [
            {
                "month": month,
                "total": due(contract, total(each.total for each in made)),
                "exact_total": plain(total(each.exact for each in made)),
                "institutions": {each.institution: due(contract, each.total) for each in made},
            }
            for month, made in bill.statements.items()
        ],
        "ceilings": [ceiling_row(contract, each) for each in bill.standings],
    }


def _write_statements(folder: Path, contract: Contract, bill: Bill) -> None:
    for month, made in bill.statements.items():
        (folder / month).mkdir()
        lines = []
        for statement in made:
            text = statement_csv(contract, [statement])
            lines.append(text.partition("\r\n")[2])
            _write_text(folder / month / f"{statement.institution}.csv", text)
            _write_json(folder / month / f"{statement.institution}.json", statement_json(contract, statement))
        _write_text(folder / month / "statements.csv", statement_csv(contract, []) + "".join(lines))


def _write_rejections(path: Path, rejections: Iterable[Rejection]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(REJECTION_COLUMNS)
        for each in rejections:
            event = each.event
            writer.writerow(
                [each.file, each.line, each.refusal.reason, each.refusal.explanation, event.id, each.provider,
                 event.time, event.subject, event.lot, event.item, event.quantity, event.region, event.resource,
                 event.corrects]
            )  # fmt: skip


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _write_json(path: Path, data: dict[str, Any]) -> None:
    _write_text(path, msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
