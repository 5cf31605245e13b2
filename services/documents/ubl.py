"""A document as UBL 2.1: an invoice or credit note by EN 16931 and Peppol BIS Billing 3.0.

Law: the same document gives the same bytes, and these pass the official rules. Numbers in comments (BT-…, BG-…) are
EN 16931's.
"""

import io
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain

from services.contract.money import ONE, plain
from services.contract.parties import Identifier, Party, Tax, TaxCategory
from services.documents.en16931 import CREDIT_TRANSFER, EXEMPTION_CODES, attributes, type_code
from services.documents.markup import Element, given, group, text
from services.documents.model import Document, DocumentKind, DocumentLine
from services.documents.texts import exemption, note, payment_terms, rounding

CUSTOMIZATION = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
PROFILE = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_PREFIXES = f' xmlns:cac="{_UBL}CommonAggregateComponents-2" xmlns:cbc="{_UBL}CommonBasicComponents-2"'


def ubl(document: Document) -> bytes:
    """Write a document as XML."""
    name = "Invoice" if document.kind is DocumentKind.INVOICE else "CreditNote"
    out = io.BytesIO()
    out.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{_UBL}{name}-2"{_PREFIXES}>\n'.encode())
    for element in chain(_head(document), _totals(document), (_line(document, each) for each in document.lines)):
        out.write(f"{element}\n".encode())
    out.write(f"</{name}>\n".encode())
    return out.getvalue()


def _head(document: Document) -> Iterator[Element]:
    is_invoice = document.kind is DocumentKind.INVOICE
    buyer = document.buyer
    yield _text("CustomizationID", CUSTOMIZATION)  # BT-24
    yield _text("ProfileID", PROFILE)  # BT-23
    yield _text("ID", document.number)  # BT-1
    yield _text("IssueDate", document.issued.isoformat())  # BT-2
    if document.due:
        yield _text("DueDate", document.due.isoformat())  # BT-9
    yield _text("InvoiceTypeCode" if is_invoice else "CreditNoteTypeCode", type_code(document))  # BT-3
    yield _text("Note", note(document))  # BT-22
    yield _text("DocumentCurrencyCode", document.currency)  # BT-5
    if buyer.accounting_cost:
        yield _text("AccountingCost", buyer.accounting_cost)  # BT-19
    if buyer.buyer_reference:
        yield _text("BuyerReference", buyer.buyer_reference)  # BT-10
    period = (
        _text("StartDate", document.period_starts.isoformat()),
        _text("EndDate", document.period_ends.isoformat()),
    )
    yield _group("InvoicePeriod", *period)  # BG-14
    if buyer.order_reference:
        yield _group("OrderReference", _text("ID", buyer.order_reference))  # BT-13
    for each in document.preceding:  # BG-3
        reference = (_text("ID", each.number), _text("IssueDate", each.issued.isoformat()))
        yield _group("BillingReference", _group("InvoiceDocumentReference", *reference))
    yield _group("ContractDocumentReference", _text("ID", document.contract))  # BT-12
    has_vat_id = document.tax.category is not TaxCategory.OUTSIDE
    yield _group("AccountingSupplierParty", _party(document.seller.party, has_vat_id=has_vat_id))  # BG-4
    yield _group("AccountingCustomerParty", _party(buyer.party, has_vat_id=has_vat_id))  # BG-7


def _party(party: Party, *, has_vat_id: bool) -> Element:
    assert party.address is not None, "nothing is lacking"
    assert party.endpoint is not None, "nothing is lacking"
    address = party.address
    parts = [_identifier("EndpointID", party.endpoint), _group("PartyName", _text("Name", party.legal_name))]
    parts.append(
        _group(
            "PostalAddress",
            _text("StreetName", address.street),
            *_given("AdditionalStreetName", address.extra),
            _text("CityName", address.city),
            *_given("PostalZone", address.postal_code),
            _group("Country", _text("IdentificationCode", address.country)),
        )
    )
    if has_vat_id and party.vat_id:
        parts.append(_group("PartyTaxScheme", _text("CompanyID", party.vat_id), _vat()))
    registered = [_identifier("CompanyID", party.registered)] if party.registered else []
    parts.append(_group("PartyLegalEntity", _text("RegistrationName", party.legal_name), *registered))
    if party.emails:
        parts.append(_group("Contact", _text("ElectronicMail", party.emails[0])))
    return _group("Party", *parts)


def _totals(document: Document) -> Iterator[Element]:
    if document.kind is DocumentKind.INVOICE and document.seller.iban:  # BG-16
        account = _group("PayeeFinancialAccount", _text("ID", document.seller.iban))
        means = (_text("PaymentMeansCode", CREDIT_TRANSFER), _text("PaymentID", document.number), account)
        yield _group("PaymentMeans", *means)
    if terms := payment_terms(document):
        yield _group("PaymentTerms", _text("Note", terms))  # BT-20
    totals = document.totals
    category = _category("TaxCategory", document.tax, reason=exemption(document.tax, document.buyer.language))
    of = (_amount(document, "TaxableAmount", totals.net), _amount(document, "TaxAmount", totals.tax), category)
    yield _group("TaxTotal", _amount(document, "TaxAmount", totals.tax), _group("TaxSubtotal", *of))  # BG-23
    rounded = [_amount(document, "PayableRoundingAmount", totals.rounding)] if totals.rounding else []  # BT-114
    yield _group(
        "LegalMonetaryTotal",  # BG-22
        _amount(document, "LineExtensionAmount", totals.net),
        _amount(document, "TaxExclusiveAmount", totals.net),
        _amount(document, "TaxInclusiveAmount", totals.gross),
        *rounded,
        _amount(document, "PayableAmount", totals.payable),
    )


def _line(document: Document, line: DocumentLine) -> Element:
    is_invoice = document.kind is DocumentKind.INVOICE
    quoted = line.quote
    name = "InvoicedQuantity" if is_invoice else "CreditedQuantity"
    quantity = _text(name, plain(quoted.quantity), "unitCode", line.unit_code)
    price = [_text("PriceAmount", plain(quoted.price), "currencyID", document.currency)]
    if quoted.base != ONE:
        price.append(_text("BaseQuantity", plain(quoted.base), "unitCode", line.unit_code))
    if quoted.listed is not None:
        price.append(_discount(document, quoted.discount, quoted.listed))
    return _group(
        "InvoiceLine" if is_invoice else "CreditNoteLine",
        _text("ID", str(line.number)),
        quantity,
        _amount(document, "LineExtensionAmount", line.net),
        *_given("AccountingCost", line.accounting_cost),  # BT-133
        *_rounding(document, line),
        _group(
            "Item",
            _text("Name", line.name),
            _group("SellersItemIdentification", _text("ID", line.item)),  # BT-155
            _category("ClassifiedTaxCategory", document.tax),
            *(_group("AdditionalItemProperty", _text("Name", name), _text("Value", value))
              for name, value in attributes(line)),
        ),
        _group("Price", *price),
    )  # fmt: skip


def _rounding(document: Document, line: DocumentLine) -> list[Element]:
    """Write what the line is rounded by, as an allowance or a charge (BG-27, BG-28): its net is the sum of both."""
    if not line.rounding:
        return []
    parts = (
        _text("ChargeIndicator", "true" if line.rounding > 0 else "false"),
        _text("AllowanceChargeReason", rounding(document)),
        _amount(document, "Amount", abs(line.rounding)),
    )
    return [_group("AllowanceCharge", *parts)]


def _discount(document: Document, discount: Decimal, listed: Decimal) -> Element:
    """Write what the price is below the supplier's list (BT-147), and the list's price (BT-148)."""
    return _group(
        "AllowanceCharge",
        _text("ChargeIndicator", "false"),
        _text("Amount", plain(discount), "currencyID", document.currency),
        _text("BaseAmount", plain(listed), "currencyID", document.currency),
    )


def _category(name: str, tax: Tax, reason: str = "") -> Element:
    parts = [_text("ID", tax.category.value)]
    if tax.category is not TaxCategory.OUTSIDE:
        parts.append(_text("Percent", plain(tax.percent)))
    if reason:
        parts += [_text("TaxExemptionReasonCode", EXEMPTION_CODES[tax.category]), _text("TaxExemptionReason", reason)]
    return _group(name, *parts, _vat())


def _vat() -> Element:
    return _group("TaxScheme", _text("ID", "VAT"))


def _amount(document: Document, name: str, amount: Decimal) -> Element:
    return _text(name, f"{amount:z.2f}", "currencyID", document.currency)


def _identifier(name: str, identifier: Identifier) -> Element:
    return _text(name, identifier.id, "schemeID", identifier.scheme)


def _given(name: str, value: str) -> list[Element]:
    return given(f"cbc:{name}", value)


def _text(name: str, value: str, attribute: str = "", its_value: str = "") -> Element:
    return text(f"cbc:{name}", value, attribute, its_value)


def _group(name: str, *parts: Element) -> Element:
    return group(f"cac:{name}", *parts)
