"""A printed invoice says what the document says, in the reader's language, and takes no text for markup."""

import io
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pypdf
import pytest
from facturx import get_xml_from_pdf

from services.contract.model import Contract
from services.contract.parties import Language
from services.documents.cii import cii
from services.documents.model import Document, Preceding
from services.documents.pdf import LARGEST, LINES_MAX, as_pdf
from services.documents.units import unit_name
from tests.documents import line, made, renamed, small
from tests.pdfa import against_pdfa

D = Decimal
EVERY_SCRIPT = ("Ελληνικά Български 漢字 한국어 العربية עברית हिन्दी ไทย 🏛️ \u200f\u00ad " * 12)[:500]
MONTH = [line("1234567.5", "12345.678", pool="mail"), line("-3", "-0.18", month="2016-02")]


def pages(document: Document) -> list[str]:
    read = pypdf.PdfReader(io.BytesIO(as_pdf(document))).pages
    return [" ".join(page.extract_text().split()) for page in read]


def reading(language: Language) -> Contract:
    contract = small()
    parliament = contract.institutions["EP"]
    assert parliament.buyer is not None
    changed = replace(parliament, buyer=replace(parliament.buyer, language=language))
    return replace(contract, institutions={**contract.institutions, "EP": changed})


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            Language.ENGLISH,
            ["Invoice", "To be paid", "by 11 May 2016", "14,938.06 EUR", "1,234,567.5", "fixed weights 0.5"],
        ),
        (
            Language.FRENCH,
            ["Facture", "À payer", "11 mai 2016", "14 938,06 EUR", "1 234 567,5", "pondération fixe 0,5"],
        ),
        (
            Language.GERMAN,
            ["Rechnung", "Zu zahlen", "bis 11. Mai 2016", "14.938,06 EUR", "1.234.567,5", "feste Gewichte 0,5"],
        ),
    ],
)
def test_it_is_written_in_the_readers_language(language: Language, said: list[str]):
    summary, lines = pages(made(MONTH, reading(language)))
    for each in said[:4]:
        assert each in summary
    for each in said[4:]:
        assert each in lines


def test_the_summary_adds_up_by_supplier_and_by_department():
    summary, _ = pages(
        made(
            [
                line("1", "10", institution="EC", department="DIGIT"),
                line("1", "20", institution="EC", department="AGRI", award="1/ALPHA"),
                line("1", "5", institution="EC"),
            ],
            institution="EC",
        )
    )
    assert "Lot 1 · Alpha 20.00 Lot 2 · Beta consortium 15.00 Total 35.00" in summary
    assert "AGRI · Agriculture 20.00 DIGIT · Informatics 10.00 no department 5.00 Total 35.00" in summary
    assert "Exempt from VAT" in summary


def test_the_summary_compares_with_the_month_before_and_with_limits():
    early = Preceding("SMALL-2016-000001", date(2016, 3, 11), D("12.30"))
    summary, _ = pages(made([line("1", "100")], reading(Language.ENGLISH), m2016_02=early))
    assert "February 2016, to compare 12.30" in summary
    assert "Invoiced up to March 2016, without VAT of your budget of 200.00 112.30 · 56.2 %" in summary
    assert "by all, of the contract's ceiling of 1,000.00 212.30 · 21.2 %" in summary


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (Language.ENGLISH, "By month, without VAT 1.2M 0 -5 12,346 Dec Jan Feb Mar"),
        (Language.FRENCH, "Par mois, hors TVA 1,2 M 0 -5 12 346 déc. janv. févr. mars"),
        (Language.GERMAN, "Nach Monaten, ohne USt. 1,2 Mio. 0 -5 12.346 Dez Jan Feb Mär"),
    ],
)
def test_the_summary_has_a_chart_of_the_months(language: Language, said: str):
    day = date(2016, 1, 11)
    earlier = {"m2015_12": Preceding("A-1", day, D("1200000")), "m2016_02": Preceding("A-2", day, D("-5.00"))}
    summary, _ = pages(made(MONTH, reading(language), **earlier))
    assert said in summary


def test_a_price_in_yen_is_printed_to_its_last_digit():
    document = made([line("1001", "308.6108025", digits=0)], replace(reading(Language.ENGLISH), currency="JPY"))
    assert "1,001 hour 0.3083025 309" in pages(document)[1]
    document = made([line("1001", "308.6108025")], reading(Language.ENGLISH))
    assert "1,001 hour 0.308303 308.61" in pages(document)[1]


@pytest.mark.parametrize(
    ("language", "units"),
    [(Language.ENGLISH, ["hour", "GiB"]), (Language.FRENCH, ["heure", "Gio"]), (Language.GERMAN, ["Stunde", "GiB"])],
)
def test_units_are_printed_in_the_readers_language(language: Language, units: list[str]):
    _, lines = pages(made([line("7", "1"), line("7", "1", item="traffic")], reading(language)))
    for each in units:
        assert f" 7 {each} " in lines


@pytest.mark.parametrize(
    ("unit", "french", "german"),
    [
        ("day", "jour", "Tag"), ("GiB-month", "Gio-mois", "GiB-Monat"), ("vCPU-hour", "vCPU-heure", "vCPU-Stunde"),
        ("million requests", "million de requêtes", "Million Anfragen"), ("request", "requête", "Anfrage"),
        ("hour-licence", "hour-licence", "hour-licence"), ("EUR", "EUR", "EUR"), ("", "", ""),
    ],
)  # fmt: skip
def test_units_that_we_have_no_word_for_are_as_the_contract_has_them(unit: str, french: str, german: str):
    assert [unit_name(unit, each) for each in Language] == [unit, french, german]


def test_what_is_not_paid_in_parts_is_rounded():
    document = made([line("3", "1001", digits=0)], replace(reading(Language.ENGLISH), currency="JPY"))
    assert "Net 1,001 VAT 21 % 210.21 Rounding -0.21" in pages(document)[0]


def test_less_than_nothing_is_credited():
    summary, _ = pages(made([line("-100", "-6")], reading(Language.ENGLISH)))
    assert "Credit note" in summary
    assert "To be credited 7.26 EUR" in summary
    assert "BE71096123456769" not in summary, "nothing is to be paid"


def test_names_are_never_markup():
    name = '#panic("x") $ * _ ` \\ <a> @b // [c] = d "e" ' + "x" * 440
    assert name[:40] in " ".join(pages(made(MONTH, renamed(small(), name))))


def test_every_script_is_printed_without_an_error():
    assert "Ελληνικά Български" in " ".join(pages(made(MONTH, renamed(small(), EVERY_SCRIPT))))


def test_it_is_pdf_a_3_with_the_e_invoice_in_it(tmp_path: Path):
    documents = [
        made(MONTH),
        made([line("-100", "-6")]),
        made(MONTH, renamed(small(), EVERY_SCRIPT)),
        *(made(MONTH, reading(language)) for language in Language),
    ]
    files = [tmp_path / f"{number}.pdf" for number in range(len(documents))]
    for file, document in zip(files, documents, strict=True):
        file.write_bytes(as_pdf(document))
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(files[0].read_bytes().replace(b"pdfaid:part>3<", b"pdfaid:part>4<"))
    *found, of_broken = against_pdfa([*files, broken])
    assert found == [[]] * len(documents)
    assert of_broken, "what is wrong would be found"
    for file, document in zip(files, documents, strict=True):
        name, xml = get_xml_from_pdf(file.read_bytes(), check_xsd=True, check_schematron=False)
        assert (name, xml) == ("factur-x.xml", cii(document))
        metadata = pypdf.PdfReader(file).root_object["/Metadata"].get_object().get_data()
        assert b"<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in metadata


def test_more_lines_than_anybody_reads_are_elsewhere():
    large = [line("1", "70.05"), line("-1", "-30.05")]
    _, lines = pages(made([*[line("1", "0.01")] * LINES_MAX, *large], reading(Language.ENGLISH)))
    assert lines.startswith(f"Lines The {LARGEST} largest of {LINES_MAX + 2} lines; all are in the workbook")
    assert f"{LINES_MAX + 1} Virtual machine" in lines
    assert f"{LINES_MAX + 2} Virtual machine" in lines, "what is given back is large too"
    assert "all other lines 4.52 Total 45.00" in lines


def test_amounts_of_15_digits():
    summary, _ = pages(made([line("1", "987654321098765.43")], reading(Language.ENGLISH)))
    assert "1,195,061,728,529,506.17 EUR" in summary


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (Language.ENGLISH, "PRO FORMA – not an invoice"), (Language.FRENCH, "PRO FORMA – ceci n'est pas une facture"),
        (Language.GERMAN, "PRO FORMA – keine Rechnung"),
    ],
)  # fmt: skip
def test_what_was_not_issued_says_so_and_has_no_e_invoice_in_it(language: Language, said: str):
    document = made([line("1", "2.5")])
    document = replace(document, number="", due=None, buyer=replace(document.buyer, language=language))
    printed = pages(document)
    assert said in printed[0].replace("’", "'")
    assert all("PRO FORMA" in page for page in printed)
    assert b"factur-x" not in as_pdf(document)
    assert document.seller.iban not in printed[0]
