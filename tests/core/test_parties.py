"""Who is named on invoices: what the contract file says of them, every mistake with its place."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import identifiers
from services.contract.load import load
from services.contract.model import Contract
from services.contract.parties import Address, Identifier, Language, Tax, TaxCategory
from services.contract.problems import Problem
from tests.conftest import SMALL
from tests.core.test_contract_load import SAMPLE, loaded, problems

EP = "institutions[EP].party"


def test_parties_are_read_as_they_stand():
    contract = loaded(SMALL)
    assert contract.coordinator is not None
    assert (contract.coordinator.payment_days, contract.coordinator.iban) == (30, "BE71096123456769")
    assert contract.suppliers["ALPHA"].party is not None
    assert contract.suppliers["ALPHA"].party.vat_id == "BE0999901140"
    buyer = contract.institutions["EP"].buyer
    assert buyer is not None
    assert buyer.party.address == Address("2, rue de l'Exemple", "Luxembourg", "LU", "2929", "Bâtiment A")
    assert buyer.party.endpoint == Identifier("0088", "9520000000028")
    assert buyer.party.emails == ("invoices@ep.example", "second@ep.example")
    assert (buyer.buyer_reference, buyer.accounting_cost, buyer.language) == ("EP-7", "IT.EP", Language.FRENCH)
    assert buyer.tax == Tax(TaxCategory.STANDARD, Decimal(21))
    commission = contract.institutions["EC"].buyer
    assert commission is not None
    assert commission.accounting_costs == {"DIGIT": "IT.DIGIT"}
    assert commission.tax is not None
    assert (commission.tax.valid_from, commission.tax.valid_until) == (date(2016, 1, 1), date(2018, 12, 31))


def test_nothing_of_it_is_needed():
    contract = loaded(SMALL)
    assert contract.institutions["EDA"].buyer is None
    assert contract.suppliers["BETA"].party is None


def test_the_sample_names_everybody_whole():
    contract = loaded(SAMPLE)
    assert contract.coordinator is not None
    assert all(each.party and each.party.address and each.party.vat_id for each in contract.suppliers.values())
    for each in contract.institutions.values():
        assert each.buyer, each.code
        assert each.buyer.party.address, each.code
        assert each.buyer.party.endpoint, each.code
        assert each.buyer.tax, each.code
    assert contract.institutions["EC"].buyer.accounting_costs.keys() == contract.institutions["EC"].departments.keys()


MISTAKES = {
    "VAT id whose digits do not agree": (
        'vat_id = "BE0999901140"', 'vat_id = "BE0999901141"', "suppliers[ALPHA].party.vat_id", "'BE0999901141'",
        identifiers.VAT_FORM,
    ),
    "VAT id with spaces": (
        'vat_id = "BE0999900150"', 'vat_id = "BE 0999 900 150"', "coordinator.vat_id", "'BE 0999 900 150'",
        identifiers.VAT_FORM,
    ),
    "VAT id that is none": ('vat_id = "BE0999900150"', "vat_id = 7", "coordinator.vat_id", "7", identifiers.VAT_FORM),
    "account number": (
        "BE71096123456769", "BE72096123456769", "coordinator.iban", "'BE72096123456769'", identifiers.IBAN_FORM,
    ),
    "payment days": (
        'iban = "BE7', 'payment_days = 366\niban = "BE7', "coordinator.payment_days", "366",
        "a whole number from 0 to 365",
    ),
    "unknown scheme": (
        'scheme = "0130"', 'scheme = "0131"', "institutions[EC].party.endpoint.scheme", "'0131'",
        "one of the 82 schemes of electronic addresses (EAS), maybe 0211 or 0191 or 0183",
    ),
    "GLN whose digits do not agree": (
        "9520000000028", "9520000000029", f"{EP}.endpoint.id", "'9520000000029'",
        "an identifier as scheme 0088 has them, its check digits right",
    ),
    "registration": (
        'registered = { scheme = "0208", id = "0999900150" }', 'registered = { scheme = "0208", id = "0999900151" }',
        "coordinator.registered.id", "'0999900151'", "an identifier as scheme 0208 has them, its check digits right",
    ),
    "e-mail": (
        "second@ep.example", "second at ep.example", f"{EP}.emails[1]", "'second at ep.example'",
        'one e-mail address, like "invoices@example.eu"',
    ),
    "no city": ('city = "Luxembourg", ', "", f"{EP}.address.city", "nothing", "a text of 1 to 200 printable characters"),
    "country": (
        'country = "LU"', 'country = "lu"', f"{EP}.address.country", "'lu'",
        'a country\'s two capital letters, like "BE"',
    ),
    "language": ('language = "fr"', 'language = "nl"', f"{EP}.language", "'nl'", "one of en, fr, de"),
    "tax category": ('category = "S"', 'category = "Z"', f"{EP}.tax.category", "'Z'", "one of E, S, AE, O"),
    "no rate": (
        'category = "S", percent = "21"', 'category = "S"', f"{EP}.tax.percent", "nothing",
        "a decimal from 0 to 100 with at most 2 decimals",
    ),
    "a rate of nothing": ('percent = "21"', 'percent = "0"', f"{EP}.tax.percent", "0", "a rate above 0"),
    "an exemption with a rate": (
        'category = "E"', 'category = "E", percent = "21"', "institutions[EC].party.tax.percent", "'21'",
        "nothing: category E has no rate",
    ),
    "certificate that ends before it begins": (
        "valid_until = 2018-12-31", "valid_until = 2015-12-31", "institutions[EC].party.tax.valid_until", "2015-12-31",
        "2016-01-01 or later: it is valid from then",
    ),
    "misspelt key": (
        'language = "fr"', 'langage = "fr"', f"{EP}.langage", "an unknown key",
        ("one of accounting_cost, address, buyer_reference, emails, endpoint, language, legal_name, order_reference, "
         "registered, tax, vat_id"),
    ),
    "department without the institution": (
        'name = "European Defence Agency"',
        'name = "European Defence Agency"\ndepartments = [{ code = "A", name = "A", accounting_cost = "1" }]',
        "institutions[EDA].departments[A].accounting_cost", "an accounting cost", "the institution's `party` as well",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_has_its_place_and_is_told_once(name: str):
    old, new, *expected = MISTAKES[name]
    assert old in SMALL
    assert problems(SMALL.replace(old, new, 1)) == [Problem(*expected)]


def test_an_identifier_is_checked_as_its_scheme_says():
    assert identifiers.is_vat_id("EL094259216"), "Greece writes EL"
    assert identifiers.is_vat_id("CHE107787577IVA")
    assert not identifiers.is_vat_id("US12345678"), "there are none that could be checked"
    assert identifiers.is_identifier("0211", "IT00743110157")
    assert not identifiers.is_identifier("0211", "00743110158")
    assert identifiers.is_identifier("0130", "anything:without-spaces")
    assert not identifiers.is_identifier("0130", "any thing")


@given(st.text(max_size=40))
def test_any_text_is_an_identifier_or_not(text: str):
    for scheme in ("0007", "0088", "0208", "0211", "9925", "0130"):
        assert identifiers.is_identifier(scheme, text) in {True, False}
    assert identifiers.is_email(text) in {True, False}
    found = load(SMALL.replace('"BE0999900150"', _toml(text), 1))
    assert isinstance(found, Contract) == identifiers.is_vat_id(text)


def _toml(text: str) -> str:
    return (
        '"' + "".join(f"\\U{ord(each):08x}" if not each.isalnum() or ord(each) > 126 else each for each in text) + '"'
    )
