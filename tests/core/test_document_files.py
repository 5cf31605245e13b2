"""A document as CSV, JSON and XLSX, and what suppliers are expected to invoice: the same numbers, the same bytes."""

import csv
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from lxml import etree

from services.contract.money import total
from services.documents import side_by_side
from services.documents.data import CSV_COLUMNS, as_csv, as_json
from services.documents.files import FORMS, Names, Recorded, Task, export_invoice
from services.documents.sheet import as_xlsx
from services.documents.suppliers import expected, supplier_csvs
from services.invoicing.statement import Conversion, Statement
from tests.documents import MARCH, issued, line, made, small

D = Decimal
MONTH = [
    line("150", "8.505", department="", pool="mail"),
    line("33.333333333333333333", "1.234567890123456789", item="traffic"),
    line("-3", "-0.18", month="2016-02"),
]
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def rows(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def test_csv_has_all_digits_and_adds_up():
    document = made(MONTH)
    found = rows(as_csv(document))
    assert tuple(found[0]) == CSV_COLUMNS
    assert [each["amount"] for each in found] == ["8.51", "1.23", "-0.18"]
    assert total(D(each["amount"]) for each in found) == document.totals.net
    assert [each["exact_amount"] for each in found] == ["8.505", "1.234567890123456789", "-0.18"]
    assert (found[0]["pool"], found[0]["allocation_key"], found[0]["share"]) == ("mail", "weights", "0.5")
    assert [each["month"] for each in found] == [MARCH, MARCH, "2016-02"]
    assert {each["number"] for each in found} == {document.number}


def test_json_says_all_that_the_invoice_says():
    found = json.loads(as_json(made(MONTH)))
    assert found["totals"] == {"net": "9.56", "tax": "2.01", "rounding": "0.00", "payable": "11.57"}
    assert found["buyer"]["legal_name"] == "European Parliament"
    assert found["seller"]["iban"] == "BE71096123456769"
    assert found["spent"] == [
        {"of": "budget", "limit": "200", "spent": "9.56"},
        {"of": "contract", "limit": "1000", "spent": "109.56"},
    ]
    assert found["tax"] == {"category": "S", "percent": "21", "reason": ""}
    assert [each["quantity"] for each in found["lines"]] == ["150", "33.333333333333333333", "-3"]
    assert [each["item"] for each in found["lines"]] == ["vm", "traffic", "vm"]


def cells(workbook: bytes, number: int) -> dict[str, tuple[str | None, str, str]]:
    """Return a sheet's cells: kind, formula and value."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as file:
        sheet = etree.fromstring(file.read(f"xl/worksheets/sheet{number}.xml"))
    return {
        cell.get("r"): (
            cell.get("t"),
            cell.findtext(f"{_MAIN}f", ""),
            cell.findtext(f"{_MAIN}v") or "".join(cell.itertext()),
        )
        for cell in sheet.iter(f"{_MAIN}c")
    }


def test_a_workbook_has_numbers_a_frozen_header_and_totals_as_formulas():
    workbook = as_xlsx(made(MONTH))
    lines, summary = cells(workbook, 2), cells(workbook, 1)
    assert [lines[f"U{at}"] for at in range(2, 5)] == [(None, "", "8.51"), (None, "", "1.23"), (None, "", "-0.18")]
    assert lines["U5"] == (None, "SUM(U2:U4)", "9.56")
    assert lines["U1"][2] == "amount"
    assert lines["N2"][0] is None, "a date"
    totals = [each for each in summary.values() if each[1]]
    assert [each[2] for each in totals] == ["9.56", "2.01", "11.57"]
    assert totals[0][1] == "SUM(Lines!U2:U4)"
    assert totals[1][1].startswith("ROUND(")
    with zipfile.ZipFile(io.BytesIO(workbook)) as file:
        pane = etree.fromstring(file.read("xl/worksheets/sheet2.xml")).find(f".//{_MAIN}pane")
    assert (pane.get("state"), pane.get("ySplit")) == ("frozen", "1")


def test_an_amount_that_no_spreadsheet_can_hold_is_text_as_are_its_totals():
    workbook = as_xlsx(made([line("1", "9999999999999.99"), line("1", "99999999999999.99")]))
    lines, summary = cells(workbook, 2), cells(workbook, 1)
    assert lines["U2"] == (None, "", "9999999999999.99")
    assert lines["U3"] == ("inlineStr", "", "99999999999999.99")
    assert lines["U4"] == ("inlineStr", "", "109999999999999.98")
    assert not any(formula for _, formula, _ in summary.values())


def test_what_looks_like_a_formula_is_text():
    contract = small()
    items = {code: replace(each, name="=1+1") for code, each in contract.items.items()}
    assert cells(as_xlsx(made(MONTH, replace(contract, items=items))), 2)["K2"] == ("inlineStr", "", "=1+1")


@pytest.mark.parametrize("form", FORMS)
def test_the_same_document_is_the_same_bytes(form: str, monkeypatch: pytest.MonkeyPatch):
    before = FORMS[form](made(MONTH))
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert FORMS[form](made(MONTH)) == before


def test_suppliers_are_expected_to_invoice_what_institutions_were_charged():
    contract = small()
    dollars = replace(
        line("10", "2.005", institution="EC", award="2/ALPHA"), conversion=Conversion("USD", D(2), D("4.01"), MARCH)
    )
    statements = [
        Statement("EP", MARCH, (line("150", "8.505"), line("1", "0.333333333333"))),
        Statement("EC", MARCH, (line("50", "2.504", institution="EC"), dollars)),
    ]
    found = {award: rows(text) for award, text in supplier_csvs(contract, MARCH, statements).items()}
    assert found.keys() == {"2/ALPHA", "2/BETA"}
    (beta,) = found["2/BETA"]
    assert (beta["quantity"], beta["exact_amount"], beta["amount"]) == ("201", "11.342333333333", "11.34")
    (alpha,) = found["2/ALPHA"]
    assert (alpha["supplier_name"], alpha["supplier_vat_id"]) == ("Alpha SA", "BE0999901140")
    assert (alpha["price_currency"], alpha["price_amount"], alpha["amount"]) == ("USD", "4.01", "2.01")
    assert total(each.exact for each in expected(statements).values()) == total(each.exact for each in statements)


def _task(recorded: dict[str, Recorded] | None = None, institution: str = "EP") -> tuple[Names, Task]:
    contract = small()
    nobody = replace(contract, coordinator=None)
    names = Names(contract, {1: nobody, 2: contract})
    lines = [line("1", "0.06", institution=institution)]
    return names, Task(issued(lines, institution), (1, 2), recorded or {})


def test_who_is_who_comes_from_the_first_version_that_lacks_nothing(tmp_path: Path):
    result = export_invoice(*_task(), tmp_path)
    assert (result.version, result.problems) == (2, ())
    assert sorted(path.name for path in (tmp_path / "EP").iterdir()) == sorted(
        f"SMALL-2016-000007.{form}" for form in FORMS
    )


def test_what_lacks_something_is_left_out_with_its_reason(tmp_path: Path):
    result = export_invoice(*_task(institution="EDA"), tmp_path)
    assert result.problems == (
        "institutions[EDA].party: found nothing; wanted a table [institutions.party]: who is invoiced",
    )
    assert not (tmp_path / "EDA").exists()


def test_other_bytes_than_were_exported_first_are_not_written(tmp_path: Path):
    first = Recorded(b"\0" * 32, 2, datetime(2016, 4, 12, tzinfo=UTC))
    (problem,) = export_invoice(*_task({"csv": first}), tmp_path).problems
    assert problem.startswith("SMALL-2016-000007.csv: found other bytes")
    assert "exported on 2016-04-12" in problem
    assert not (tmp_path / "EP").exists()


def test_a_large_month_is_exported_side_by_side_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names, task = _task()
    more = replace(task, issued=issued([line("1", "0.06", institution="EC")] * 2, "EC"))
    alone = list(side_by_side.export_side_by_side(names, [task, more], tmp_path / "alone"))
    monkeypatch.setattr(side_by_side, "SIDE_BY_SIDE_LINES", 3)
    together = list(side_by_side.export_side_by_side(names, [task, more], tmp_path / "together"))
    assert together == alone[::-1], "the largest first"
    assert _files(tmp_path / "together") == _files(tmp_path / "alone")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path):
    (tmp_path / "EP").write_text("a file")
    result = export_invoice(*_task(), tmp_path)
    assert result.is_unwritable
    [problem] = result.problems
    assert problem.endswith("EP/SMALL-2016-000007.xml: can't be written: File exists")


_EXPORTING = """
import sys, time
from pathlib import Path
from services.documents import side_by_side
from services.documents.files import Names, Task
from tests.documents import issued, line, small
if __name__ == "__main__":
    side_by_side.SIDE_BY_SIDE_LINES = 0
    task = Task(issued([line("1", "1")]), (1,), {})
    for _ in side_by_side.export_side_by_side(Names(small(), {1: small()}), [task, task], Path(sys.argv[1])):
        print("one is written", flush=True)
        time.sleep(60)
"""


def test_an_export_that_is_killed_leaves_no_process_behind(tmp_path: Path):
    script = tmp_path / "exporting.py"
    script.write_text(_EXPORTING, "utf-8")
    root = Path(__file__).parents[2]
    exporting = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    )
    assert exporting.stdout is not None
    assert exporting.stdout.readline() == "one is written\n"
    mine = [int(each) for each in Path(f"/proc/{exporting.pid}/task/{exporting.pid}/children").read_text().split()]
    exporting.kill()
    exporting.wait()
    assert len(mine) > 1, "the pool's processes, and the one that watches over what they share"
    until = time.monotonic() + 20
    while left := [each for each in mine if _runs(each)]:
        assert time.monotonic() < until, left
        time.sleep(0.1)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
