"""E-invoices pass the official rules without an error, whatever is on them, and are the same bytes each time."""

import random
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from lxml import etree

from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import round_half_up
from services.contract.parties import Language, Tax, TaxCategory
from services.documents.cii import cii
from services.documents.en16931 import attributes
from services.documents.model import Document, Preceding
from services.documents.ubl import ubl
from services.invoicing.statement import Line
from tests.conftest import SMALL
from tests.core.test_contract_load import SAMPLE, loaded
from tests.core.test_credits import correcting
from tests.documents import line, made, renamed, small
from tests.rules import Finding, Rules, rules

D = Decimal
THE_SCHEMA_WANTS_IT = "PEPPOL-EN16931-R008"
"""A warning of empty elements: ApplicableHeaderTradeDelivery must be there, and services are delivered nowhere."""
ADDED_UP_IN_FLOATS = {"BR-CO-10", "BR-CO-14", "BR-DEC-13"}
"""Sums and decimals of amounts, which Factur-X's rules reckon with some 15 digits."""
SCRIPTS = "Ελληνικά Български Gaeilge Íslenska 漢字 かな 한국어 العربية עברית हिन्दी ไทย ქართული Հայերեն 🏛️ <&>\"'—"
SOME = [line("150", "8.50"), line("1500", "125", item="traffic")]


@pytest.fixture(scope="session")
def official() -> Rules:
    return rules()


def against(official: Rules, document: Document) -> list[Finding]:
    passed_over = {THE_SCHEMA_WANTS_IT} | (ADDED_UP_IN_FLOATS if abs(document.totals.net) > 10**12 else set())
    of_cii = [each for each in official.findings(cii(document)) if each.rule not in passed_over]
    return [*official.findings(ubl(document)), *of_cii]


def value(xml: bytes, path: str) -> list[str]:
    found = etree.fromstring(xml).xpath(path, namespaces=_NAMES)
    return [each if isinstance(each, str) else each.text for each in found]


_NAMES = {
    name: f"urn:oasis:names:specification:ubl:schema:xsd:Common{what}Components-2"
    for name, what in (("cac", "Aggregate"), ("cbc", "Basic"))
}


def taxed(
    tax: Tax, contract: Contract | None = None, vat_id: str = "", language: Language = Language.ENGLISH
) -> Contract:
    """Return a contract whose Parliament is taxed in a way."""
    contract = contract or small()
    parliament = contract.institutions["EP"]
    assert parliament.buyer is not None
    buyer = replace(parliament.buyer, tax=tax, language=language, party=replace(parliament.buyer.party, vat_id=vat_id))
    return replace(contract, institutions={**contract.institutions, "EP": replace(parliament, buyer=buyer)})


EXEMPT = Tax(TaxCategory.EXEMPT, D(0), "15.10", date(2016, 1, 1), date(2016, 12, 31))
HARD = {
    "a usual one": [line("150", "8.50"), line("1500", "125", item="traffic"), line("1", "0.3", pool="mail")],
    "adjustments of earlier months": [line("150", "8.50"), line("-3", "-0.18", month="2016-02")],
    "prices that were put right": [line("0", "12.345"), line("5", "-2.05"), line("100", "6")],
    "nothing in all": [line("10", "1"), line("-10", "-1")],
    "free units": [line("100", "0")],
    "shares with all their digits": [line("33.333333333333333333333333333", "2.123456789012345678901234567")] * 3,
    "amounts of 15 digits": [line("999999999999999.123456789", "987654321098765.43"), line("1e-15", "123456789012345.67")],
    "less than nothing": [line("-150", "-8.50"), line("10", "0.60")],
    "less than nothing in 15 digits": [line("-999999999999999", "-987654321098765.43")],
    "one piece at less than nothing": [line("0", "-5"), line("0", "0.004")],
}  # fmt: skip
TAXES = {
    "exempt": taxed(EXEMPT),
    "exempt, in French": taxed(EXEMPT, language=Language.FRENCH),
    "exempt, in German": taxed(replace(EXEMPT, reason="Befreit <nach> Artikel 42"), language=Language.GERMAN),
    "at a rate": taxed(Tax(TaxCategory.STANDARD, D("21"))),
    "by reverse charge": taxed(Tax(TaxCategory.REVERSE_CHARGE, D(0)), vat_id="LU99990022"),
    "outside the scope": taxed(Tax(TaxCategory.OUTSIDE, D(0)), vat_id="LU99990022"),
}


@pytest.mark.parametrize("name", HARD)
def test_whatever_is_on_it_it_passes_the_rules(official: Rules, name: str):
    document = made(HARD[name], m2016_02=Preceding("SMALL-2016-000001", date(2016, 3, 11), D("12.30")))
    assert against(official, document) == []


@pytest.mark.parametrize("name", TAXES)
def test_however_it_is_taxed_it_passes_the_rules(official: Rules, name: str):
    for lines in (SOME, [line("-1", "-7")]):
        assert against(official, made(lines, TAXES[name])) == []


def test_names_of_500_characters_in_every_script(official: Rules):
    name = (SCRIPTS * 10)[:500]
    document = made(SOME, renamed(small(), name))
    assert against(official, document) == []
    xml = ubl(document)
    assert value(xml, "//cac:AccountingCustomerParty//cbc:RegistrationName") == [name]
    assert value(xml, "//cac:Item/cbc:Name") == [name, name]


def test_random_months_pass_the_rules(official: Rules):
    chance = random.Random(16931)
    for _ in range(10):
        assert against(official, made([_random_line(chance) for _ in range(chance.randint(1, 30))])) == []


def discounted() -> Contract:
    """The small contract, whose machines under 2/BETA are charged at 92.5 per cent of the supplier's list."""
    tiers = 'tiers = [{ up_to = "100", price = "0.06" }'
    found = load(SMALL.replace(tiers, f'percent_of_list = "92.5"\n{tiers}'))
    assert isinstance(found, Contract)
    return found


def test_a_discount_on_the_list_stands_beside_the_price(official: Rules):
    document = made([line("100", "5.55"), line("10", "0.90", item="traffic")], discounted())
    assert against(official, document) == []
    xml = ubl(document)
    assert value(xml, "//cac:Price/cbc:PriceAmount") == ["0.0555", "0.09"]
    assert value(xml, "//cac:Price/cac:AllowanceCharge/cbc:Amount") == ["0.0045"]
    assert value(xml, "//cac:Price/cac:AllowanceCharge/cbc:BaseAmount") == ["0.06"]
    assert b"<ram:GrossPriceProductTradePrice><ram:ChargeAmount>0.06</ram:ChargeAmount>" in cii(document)


def test_random_discounts_pass_the_rules(official: Rules):
    chance = random.Random(148)
    for _ in range(5):
        assert against(official, made([_random_line(chance) for _ in range(20)], discounted())) == []


def _random_line(chance: random.Random) -> Line:
    quantity = D(chance.randint(-(10**6), 10**8)).scaleb(-chance.randint(0, 15))
    exact = quantity * D(chance.randint(0, 10**5)).scaleb(-6) + chance.choice([D(0), D(0), D("0.1"), D("-7.77")])
    return line(quantity, exact, item=chance.choice(["vm", "traffic"]), pool=chance.choice(["", "mail", "desk"]))


def test_a_currency_without_decimals(official: Rules):
    lines = [line("3", "1.2", digits=0), line("7", "1000.5", digits=0), line("0.1", "0.7", digits=0)]
    document = made(lines, replace(small(), currency="JPY"))
    totals = document.totals
    assert totals.net == 1 + 1001 + 1
    assert (totals.tax, totals.gross, totals.rounding, totals.payable) == (D("210.63"), D("1213.63"), D("0.37"), 1214)
    assert against(official, document) == []
    assert value(ubl(document), "//cbc:PayableRoundingAmount") == ["0.37"]
    assert b"<ram:RoundingAmount>0.37</ram:RoundingAmount>" in cii(document)
    credited = made([line("-3", "-1003", digits=0)], replace(small(), currency="JPY"))
    assert credited.totals.payable == 1214
    assert against(official, credited) == []


@pytest.mark.parametrize(("exact", "charged"), [("308.6108025", "0.39"), ("307.3083", "-0.31")])
def test_a_tariffs_own_price_stands_on_a_line_in_yen(official: Rules, exact: str, charged: str):
    """Peppol's rule R120 tolerates 0.02 in every currency, so what a line is rounded by is a charge or an allowance."""
    yen = taxed(Tax(TaxCategory.STANDARD, D("10")), replace(small(), currency="JPY"))
    quantity = "1001" if charged == "0.39" else "1"
    for sign in ("", "-"):
        document = made(
            [line(sign + quantity, sign + exact, digits=0), line("7", "1000.5", digits=0)][: 1 if sign else 2], yen
        )
        xml = ubl(document)
        assert value(xml, "(//cac:Price)[1]/cbc:PriceAmount") == ["0.3083025" if charged == "0.39" else exact]
        assert value(xml, "(//cac:Price)[1]/cbc:BaseQuantity") == []
        path = "//*[local-name()='InvoiceLine' or local-name()='CreditNoteLine']/cac:AllowanceCharge"
        assert value(xml, f"{path}/cbc:Amount") == [charged.removeprefix("-")]
        assert value(xml, f"{path}/cbc:ChargeIndicator") == ["false" if charged.startswith("-") else "true"]
        assert value(xml, f"{path}/cbc:AllowanceChargeReason") == ["Rounding"]
        assert b"<ram:SpecifiedTradeAllowanceCharge>" in cii(document)
        assert against(official, document) == []


def test_random_months_in_yen_pass_the_rules(official: Rules):
    chance = random.Random(392)
    for _ in range(5):
        lines = [
            replace(each, amount=round_half_up(each.exact, 0)) for each in (_random_line(chance) for _ in range(20))
        ]
        assert against(official, made(lines, replace(small(), currency="JPY"))) == []


@pytest.mark.parametrize(
    ("language", "days", "due"),
    [
        (Language.ENGLISH, "(from 2016-01-01 to 2016-12-31)", "Payable by 2016-05-11"),
        (Language.FRENCH, "(du 1er janvier 2016 au 31 décembre 2016)", "Payable au plus tard le 11 mai 2016"),
        (Language.GERMAN, "(vom 1. Januar 2016 bis 31. Dezember 2016)", "Zahlbar bis 11. Mai 2016"),
    ],
)
def test_dates_in_a_text_are_in_its_language(language: Language, days: str, due: str):
    document = made(SOME, taxed(EXEMPT, language=language))
    xml = ubl(document)
    assert value(xml, "//cac:TaxSubtotal//cbc:TaxExemptionReason")[0].endswith(days)
    assert value(xml, "//cac:PaymentTerms/cbc:Note") == [due]
    assert days in cii(document).decode()


def test_both_syntaxes_say_the_same():
    document = made(HARD["a usual one"])
    of_ubl, of_cii = ubl(document).decode(), cii(document).decode()
    for each in document.lines:
        for text in (each.item, each.name, f">{each.net:z.2f}<", *(value for _, value in attributes(each))):
            assert text in of_ubl
            assert text in of_cii
    assert f">{document.totals.payable:z.2f}</ram:DuePayableAmount>" in of_cii


def test_an_error_would_be_found(official: Rules):
    xml = cii(made(SOME))
    broken = xml.replace(b">133.50</ram:TaxBasisTotalAmount>", b">133.51</ram:TaxBasisTotalAmount>")
    assert broken != xml
    assert {each.rule for each in official.findings(broken)} >= {"BR-CO-13"}
    xml = ubl(made(SOME))
    broken = xml.replace(b">133.50</cbc:TaxExclusiveAmount>", b">133.51</cbc:TaxExclusiveAmount>")
    assert broken != xml
    assert {each.rule for each in official.findings(broken) if each.flag == "fatal"} >= {"BR-CO-13", "BR-CO-15"}


def test_everybody_of_the_sample_gets_a_valid_invoice(official: Rules):
    contract = loaded(SAMPLE)
    for code in contract.institutions:
        lines = [line("150", "8.505", institution=code, award="2/CTA", item="vm.small")]
        assert against(official, made(lines, contract, institution=code)) == [], code


def test_the_same_document_is_the_same_bytes():
    document = made(HARD["a usual one"])
    assert ubl(document) == ubl(made(HARD["a usual one"]))
    assert ubl(document).startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<Invoice xmlns=')
    assert ubl(document).count(b"xmlns:") == 2, "declared once for all"


def test_accounts_find_what_they_book_by():
    xml = ubl(made([line("10", "0.6", institution="EC", department="DIGIT", pool="mail", month="2016-02")], institution="EC",
                   m2016_02=Preceding("SMALL-2016-000001", date(2016, 3, 11), D("12.30"))))  # fmt: skip
    assert value(xml, "/*/cac:OrderReference/cbc:ID") == ["SC-EC-2016"]
    assert value(xml, "/*/cac:ContractDocumentReference/cbc:ID") == ["small"]
    assert value(xml, "/*/cac:BillingReference//cbc:ID") == ["SMALL-2016-000001"]
    assert value(xml, "//cac:TaxSubtotal//cbc:TaxExemptionReasonCode") == ["VATEX-EU-151-1AA"]
    assert "15.10-EC-2016 (from 2016-01-01 to 2018-12-31)" in value(xml, "//cbc:TaxExemptionReason")[0]
    assert value(xml, "//cac:InvoiceLine/cbc:AccountingCost") == ["IT.DIGIT"]
    names, found = (value(xml, f"//cac:AdditionalItemProperty/cbc:{each}") for each in ("Name", "Value"))
    assert dict(zip(names, found, strict=True)) == {
        "What": "usage", "Award": "2/BETA", "Supplier": "Beta consortium", "Department": "DIGIT",
        "Department name": "Informatics", "Pool": "Mail gateway", "Allocation key": "weights 0.2",
        "Month of use": "2016-02", "Prices of": "2016-01-01", "Metered quantity": "10", "Unit": "hour",
    }  # fmt: skip
    assert value(xml, "//cbc:InvoicedQuantity/@unitCode") == ["HUR"]


def test_a_part_whose_vat_is_a_cent_off_passes_too(official: Rules):
    """Of 0.06 with VAT of 0.01, each half has 0.01 by itself: the first that is taken back has none, the second has it."""
    lines = [line("1", "0.03"), line("1", "0.03", item="traffic")]
    first, second = correcting(lines[:1], D("0.06")), correcting(lines[1:], D("0.03"))
    assert (first.totals.tax, second.totals.tax) == (0, D("0.01"))
    assert [against(official, each) for each in (first, second)] == [[], []]
