"""Reading who is named on invoices: [coordinator], and the `party` of suppliers and institutions.

Law: a party is read with every mistake noted; what is left out is left empty, since usage is metered and priced
without it.
"""

from collections.abc import Callable
from decimal import Decimal

from services.contract.identifiers import (
    ADDRESS_SCHEMES,
    IBAN_FORM,
    REGISTER_SCHEMES,
    VAT_FORM,
    is_email,
    is_iban,
    is_identifier,
    is_vat_id,
)
from services.contract.money import HUNDRED, ZERO
from services.contract.parties import (
    Address,
    Buyer,
    Coordinator,
    Identifier,
    Language,
    Party,
    Tax,
    TaxCategory,
)
from services.contract.problems import show
from services.contract.reading import Section

PAYMENT_DAYS_MAX = 365
DEFAULT_PAYMENT_DAYS = 30
PERCENT_DIGITS = 2
REFERENCE_LENGTH = 200


def read_coordinator(document: Section) -> Coordinator | None:
    """Read who charges the institutions; None where the file names nobody."""
    section = document.child("coordinator", required=False)
    if section is None:
        return None
    party = _party(section)
    days = section.integer("payment_days", 0, PAYMENT_DAYS_MAX, default=DEFAULT_PAYMENT_DAYS)
    iban = _checked(section, "iban", is_iban, IBAN_FORM)
    section.done()
    return Coordinator(party, days or 0, iban)


def read_party(owner: Section) -> Party | None:
    """Read the `party` of a supplier; None where it has none."""
    section = owner.child("party", required=False)
    if section is None:
        return None
    party = _party(section)
    section.done()
    return party


def read_buyer(owner: Section, accounting_costs: dict[str, str]) -> Buyer | None:
    """Read the `party` of an institution, whose departments have accounting costs of their own; None without one."""
    section = owner.child("party", required=False)
    if section is None:
        for department in accounting_costs:
            owner.problem(
                f"departments[{department}].accounting_cost", "an accounting cost", "the institution's `party` as well"
            )
        return None
    buyer = Buyer(
        _party(section),
        _text(section, "buyer_reference"),
        _text(section, "order_reference"),
        _text(section, "accounting_cost"),
        Language(section.choice("language", list(Language), default=Language.ENGLISH) or Language.ENGLISH),
        _tax(section),
        accounting_costs,
    )
    section.done()
    return buyer


def _party(section: Section) -> Party:
    return Party(
        section.text("legal_name", at_most=500) or "",
        _address(section),
        _checked(section, "vat_id", is_vat_id, VAT_FORM),
        _identifier(section, "registered", REGISTER_SCHEMES, "schemes of ISO 6523"),
        _identifier(section, "endpoint", ADDRESS_SCHEMES, "schemes of electronic addresses (EAS)"),
        tuple(_emails(section)),
    )


def _text(section: Section, key: str) -> str:
    return section.text(key, required=False, at_most=REFERENCE_LENGTH) or ""


def _checked(section: Section, key: str, is_right: Callable[[str], bool], form: str) -> str:
    value = section.value(key, form, required=False)
    if value is None:
        return ""
    if not isinstance(value, str) or not is_right(value):
        section.problem(key, show(value), form)
        return ""
    return value


def _address(owner: Section) -> Address | None:
    section = owner.child("address", required=False)
    if section is None:
        return None
    address = Address(
        section.text("street") or "",
        section.text("city", at_most=200) or "",
        section.country("country") or "",
        _text(section, "postal_code"),
        section.text("extra", required=False) or "",
    )
    section.done()
    return address


def _identifier(owner: Section, key: str, schemes: frozenset[str], what: str) -> Identifier | None:
    section = owner.child(key, required=False)
    if section is None:
        return None
    scheme = section.reference("scheme", schemes, what)
    identifier = section.text("id", at_most=50)
    section.done()
    if scheme is None or identifier is None:
        return None
    if not is_identifier(scheme, identifier):
        section.problem("id", show(identifier), f"an identifier as scheme {scheme} has them, its check digits right")
        return None
    return Identifier(scheme, identifier)


def _emails(section: Section) -> list[str]:
    emails = section.texts("emails", required=False)
    for index, each in enumerate(emails):
        if not is_email(each):
            section.problem(f"emails[{index}]", show(each), 'one e-mail address, like "invoices@example.eu"')
    return emails


def _tax(owner: Section) -> Tax | None:
    section = owner.child("tax", required=False)
    if section is None:
        return None
    category = section.choice("category", list(TaxCategory))
    percent = _percent(section, category)
    tax = Tax(
        TaxCategory(category or TaxCategory.EXEMPT),
        percent,
        _text(section, "certificate"),
        section.day("valid_from", required=False),
        section.day("valid_until", required=False),
        section.text("reason", required=False) or "",
    )
    section.done()
    if tax.valid_from and tax.valid_until and tax.valid_until < tax.valid_from:
        section.problem("valid_until", str(tax.valid_until), f"{tax.valid_from} or later: it is valid from then")
    return tax if category else None


def _percent(section: Section, category: str | None) -> Decimal:
    """Read the rate, which only the category S has, and always."""
    is_rated = category == TaxCategory.STANDARD
    percent = section.number("percent", PERCENT_DIGITS, ZERO, HUNDRED, required=is_rated)
    if category and not is_rated and "percent" in section.table:
        section.problem("percent", show(section.table["percent"]), f"nothing: category {category} has no rate")
    if is_rated and percent == 0:
        section.problem("percent", "0", "a rate above 0")
    return percent or ZERO
