"""The workbook in programs that others read it with: openpyxl, and LibreOffice, which computes its totals anew."""

import csv
import io
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from openpyxl import load_workbook
from openpyxl.workbook import Workbook

from services.contract.parties import Tax, TaxCategory
from services.documents.model import Document
from services.documents.rows import FIELDS, Sort
from services.documents.sheet import as_xlsx
from tests.core.test_ubl import taxed
from tests.documents import line, made, renamed, small

D = Decimal
NAMES = list(FIELDS)
CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
"""How LibreOffice writes every sheet as CSV, each number with all that was computed of it."""


def opened(document: Document, *, data_only: bool = False) -> Workbook:
    return load_workbook(io.BytesIO(as_xlsx(document)), data_only=data_only)


def test_each_column_is_of_its_type_below_a_frozen_header():
    sheet = opened(made([line("150", "8.505"), line("-3", "-0.18", month="2016-02")]))["Lines"]
    assert sheet.freeze_panes == "B2"
    assert [cell.value for cell in sheet[1]] == [name.replace("_", " ") for name in NAMES]
    types = {
        Sort.TEXT: str,
        Sort.INTEGER: int,
        Sort.NUMBER: (int, float),
        Sort.AMOUNT: (int, float),
        Sort.DATE: datetime,
    }
    for cells in sheet.iter_rows(2, 3):
        for field, cell in zip(FIELDS.values(), cells, strict=True):
            assert cell.value is None or isinstance(cell.value, types[field.sort]), cell.coordinate
    amount = sheet.cell(4, NAMES.index("amount") + 1)
    assert (amount.data_type, amount.value, amount.number_format) == ("f", "=SUM(U2:U3)", "#,##0.00")


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t=", "{="])
def test_a_name_that_looks_like_a_formula_is_text_wherever_it_stands(begins: str):
    name = f'{begins}HYPERLINK("http://example.org","x")'
    book = opened(made([line("1", "1")], renamed(small(), name)))
    live = [cell.value for sheet in book for row in sheet for cell in row if cell.data_type == "f"]
    assert live == ["=SUM(Lines!U2)", "=ROUND(B13*0.21,2)", "=SUM(B13:B14)", "=SUM(U2)"], "the totals"
    assert not any(cell.hyperlink for sheet in book for row in sheet for cell in row)
    assert book["Lines"].cell(2, NAMES.index("item_name") + 1).value == name


def test_a_spreadsheet_computes_what_the_books_say(tmp_path: Path):
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("no LibreOffice computes the workbooks' totals: install libreoffice-calc-nogui")
    standard = taxed(Tax(TaxCategory.STANDARD, D("21")))
    documents = {
        "cent": made([line("1", "9.50")], standard),  # 21 % end in half a cent
        "many": made([line("1", f"{number}.01") for number in range(-50, 400)], standard),
        "large": made([line("1", "99999999.50"), line("1", "0.01")], standard),
        "credit": made([line("-1", "-9.50"), line("1", "2.25")], standard),
        "yen": made([line("1", "150.5")], replace(standard, currency="JPY")),
    }
    for name, document in documents.items():
        (tmp_path / f"{name}.xlsx").write_bytes(without_values(as_xlsx(document)))
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    words = [office, "--headless", profile, "--convert-to", CSV, "--outdir", str(tmp_path)]
    subprocess.run([*words, *map(str, tmp_path.glob("*.xlsx"))], capture_output=True, timeout=120, check=True)
    for name, document in documents.items():
        totals = document.totals
        wanted = [totals.net, totals.tax, *([totals.rounding] if totals.rounding else []), totals.payable]
        assert computed(tmp_path / f"{name}-Summary.csv", 1)[-len(wanted) :] == wanted, name
        assert computed(tmp_path / f"{name}-Lines.csv", NAMES.index("amount"))[-1] == totals.net, name


def without_values(workbook: bytes) -> bytes:
    """Return a workbook without the values that stand beside its formulas, so that a reader has to compute them."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as before, zipfile.ZipFile(made, "w") as after:
        for name in before.namelist():
            text = before.read(name)
            if name.startswith("xl/worksheets/"):
                text, found = re.subn(rb"(<f>[^<]*</f>)<v>[^<]*</v>", rb"\1", text)
                assert found, name
            after.writestr(name, text)
    return made.getvalue()


def computed(file: Path, column: int) -> list[Decimal]:
    with file.open(encoding="utf-8", newline="") as text:
        found = [row[column].replace(",", "") for row in csv.reader(text) if len(row) > column]
    return [D(each) for each in found if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", each)]
