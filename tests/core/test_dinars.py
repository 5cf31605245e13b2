"""A currency of more than two decimals: no e-invoice, which allows two, and every other form with all of them."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pypdf
import pytest
from openpyxl import load_workbook

from services.commands.contract_data import summary, without_e_invoices
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import total
from services.contract.parties import Language, Tax, TaxCategory
from services.delivery.mail import mail
from services.documents.data import as_csv, as_json
from services.documents.files import FORMS, Names, Recorded, Result, Task, export_invoice, forms_in, lying_there
from services.documents.focus import focus_1_2
from services.documents.focus_1_4 import cost_and_usage, invoice_detail
from services.documents.lacking import lacking
from services.documents.model import Document
from services.documents.pdf import as_pdf
from services.documents.sheet import as_xlsx
from services.documents.words import money
from tests.conftest import SMALL
from tests.core.test_ubl import taxed
from tests.documents import issued, line, made, small
from tests.focus import against_1_2
from tests.pdfa import against_pdfa

D = Decimal
LINES = [line("1000", "317.8694", digits=3), line("3", "0.0005", digits=3), line("-1", "-2.5", digits=3)]
DINAR = replace(taxed(Tax(TaxCategory.STANDARD, D("5"))), currency="KWD")


def dinars() -> Document:
    return made(LINES, DINAR)


def test_amounts_and_vat_have_three_decimals():
    totals = dinars().totals
    assert (totals.net, totals.tax, totals.payable) == (D("315.370"), D("15.769"), D("331.139"))
    assert totals.rounding == 0
    assert [each["amount"] for each in csv.DictReader(io.StringIO(as_csv(dinars()).decode()))] == [
        "317.869", "0.001", "-2.500",
    ]  # fmt: skip
    assert msgspec.json.decode(as_json(dinars()))["totals"]["payable"] == "331.139"
    for rows in (focus_1_2(dinars()), cost_and_usage(dinars()), invoice_detail(dinars())):
        billed = [D(each["BilledCost"]) for each in csv.DictReader(io.StringIO(rows.decode()))]
        assert total(billed) == D("331.139")


def test_a_workbook_computes_and_shows_three_decimals():
    book = load_workbook(io.BytesIO(as_xlsx(dinars())))
    formulas = [cell for row in book["Summary"] for cell in row if cell.data_type == "f"]
    assert any(re.fullmatch(r"=ROUND\(B\d+\*0.05,3\)", str(cell.value)) for cell in formulas)
    assert {cell.number_format for cell in formulas} == {"#,##0.000"}
    large = made([line("1", "9999999999999.999", digits=3), line("1", "0.001", digits=3)], DINAR)
    cells = {cell.value for row in load_workbook(io.BytesIO(as_xlsx(large)))["Lines"] for cell in row}
    assert "9999999999999.999" in cells, "a spreadsheet holds 15 digits"


def test_a_pdf_has_no_e_invoice_in_it_and_is_pdf_a(tmp_path: Path):
    printed = as_pdf(dinars())
    text = " ".join(pypdf.PdfReader(io.BytesIO(printed)).pages[0].extract_text().split())
    assert "331.139 KWD" in text.replace(",", ".")
    assert b"factur-x" not in printed
    (tmp_path / "dinars.pdf").write_bytes(printed)
    assert against_pdfa([tmp_path / "dinars.pdf"]) == [[]]


def test_rows_are_valid_focus(tmp_path: Path):
    (tmp_path / "focus.csv").write_bytes(focus_1_2(dinars()))
    assert against_1_2(tmp_path / "focus.csv") == []


def exported(folder: Path) -> tuple[Task, Result]:
    task = Task(issued(LINES), (1,), {})
    return task, export_invoice(Names(DINAR, {1: DINAR}), task, folder)


def test_every_form_but_the_e_invoice_is_written_and_found_again(tmp_path: Path):
    assert forms_in("EUR") == list(FORMS)
    task, result = exported(tmp_path)
    assert result.problems == ()
    assert result.made.keys() == set(forms_in("KWD")) == FORMS.keys() - {"xml"}
    assert {each.name for each in (tmp_path / "EP").iterdir()} == {f"SMALL-2016-000007.{form}" for form in result.made}
    now = datetime(2016, 4, 12, tzinfo=UTC)
    recorded = {form: Recorded(digest, 1, now) for form, digest in result.made.items()}
    assert lying_there(replace(task, recorded=recorded), "KWD", tmp_path) == result
    assert lying_there(replace(task, recorded=recorded), "EUR", tmp_path) is None, "its e-invoice is missing"
    del recorded["json"]
    assert lying_there(replace(task, recorded=recorded), "KWD", tmp_path) is None


def test_an_email_has_the_pdf_alone_and_does_not_promise_an_e_invoice():
    document = msgspec.json.decode(as_json(dinars()))
    written = mail(
        document, {"pdf": b"%PDF"}, "a@ep.example", 1, sender="b@digit.example", bytes_max=100,
        now=datetime(2016, 4, 11, tzinfo=UTC),
    )  # fmt: skip
    assert list(written.files) == ["SMALL-2016-000007.pdf"]
    text = written.message.decode()
    assert "e-invoice" not in text
    assert "331.139" in text


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("331.1", "KWD", "KWD331.100"), ("331.139", "IQD", "IQD331.139"),
        ("-1149.3", "RSD", "-RSD1,149.30"), ("385", "JPY", "JP¥385"), ("1234.5", "EUR", "€1,234.50"),
    ],
)  # fmt: skip
def test_an_email_rounds_no_amount(amount: str, currency: str, written: str):
    assert money(D(amount), currency, Language.ENGLISH) == written


def test_what_only_an_e_invoice_wants_is_not_lacking():
    contract = small()
    buyer = contract.institutions["EP"].buyer
    assert buyer is not None
    bare = replace(buyer, buyer_reference="", order_reference="", party=replace(buyer.party, endpoint=None))
    contract = replace(contract, institutions={"EP": replace(contract.institutions["EP"], buyer=bare)})
    period = (date(2016, 3, 1), date(2016, 3, 31))
    assert len(lacking(contract, "EP", *period)) == 2
    assert lacking(replace(contract, currency="KWD"), "EP", *period) == []


@pytest.mark.parametrize(("currency", "ceiling", "is_taken"), [
    ("KWD", "1000.125", True), ("KWD", "1000.1255", False), ("CLF", "1000.1255", True), ("EUR", "1000.125", False),
    ("JPY", "1000.12", True),
])  # fmt: skip
def test_ceilings_and_budgets_have_the_currencys_decimals(currency: str, ceiling: str, is_taken: bool):
    text = SMALL.replace('currency = "EUR"', f'currency = "{currency}"', 1).replace('"1000"', f'"{ceiling}"')
    found = load(text.replace('budget = "200"', f'budget = "200.{ceiling.partition(".")[2]}"'))
    assert isinstance(found, Contract) is is_taken
    if isinstance(found, Contract):
        assert found.ceiling == D(ceiling)


def test_a_check_notes_that_there_are_no_e_invoices():
    assert summary(DINAR)["e_invoices"] is False
    assert without_e_invoices(DINAR).startswith("no e-invoices: amounts in KWD have 3 decimals, EN 16931 allows 2")
    assert (summary(small())["e_invoices"], without_e_invoices(small())) == (True, "")
