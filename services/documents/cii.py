"""A document as UN/CEFACT Cross Industry Invoice: what Factur-X and ZUGFeRD embed in a PDF, by EN 16931.

Law: it says what the UBL says, in the same numbers; the same document gives the same bytes, and these pass the official
rules of the profile EN 16931. Numbers in comments (BT-…, BG-…) are the standard's.
"""

import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import chain

from services.contract.money import ONE, plain
from services.contract.parties import Party, Tax, TaxCategory
from services.documents.en16931 import CREDIT_TRANSFER, EXEMPTION_CODES, attributes, type_code
from services.documents.markup import Element, given, group, text
from services.documents.model import Document, DocumentKind, DocumentLine
from services.documents.texts import exemption, note, payment_terms, rounding

GUIDELINE = "urn:cen.eu:en16931:2017"
_DATA = "urn:un:unece:uncefact:data:standard:"
_PREFIXES = "".join(
    f' xmlns:{prefix}="{_DATA}{name}:100"'
    for prefix, name in (
        ("rsm", "CrossIndustryInvoice"),
        ("ram", "ReusableAggregateBusinessInformationEntity"),
        ("udt", "UnqualifiedDataType"),
        ("qdt", "QualifiedDataType"),
    )
)
_DAY = "102"
"""The form of a day, YYYYMMDD (UNTDID 2379)."""


def cii(document: Document) -> bytes:
    """Write a document as XML."""
    out = io.BytesIO()
    out.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<rsm:CrossIndustryInvoice{_PREFIXES}>\n'.encode())
    for element in _head(document):
        out.write(f"{element}\n".encode())
    out.write(b"<rsm:SupplyChainTradeTransaction>\n")
    lines = (_line(document, each) for each in document.lines)
    for element in chain(
        lines, (_agreement(document), group("ram:ApplicableHeaderTradeDelivery"), _settlement(document))
    ):
        out.write(f"{element}\n".encode())
    out.write(b"</rsm:SupplyChainTradeTransaction>\n</rsm:CrossIndustryInvoice>\n")
    return out.getvalue()


def _head(document: Document) -> Iterator[Element]:
    guideline = group("ram:GuidelineSpecifiedDocumentContextParameter", text("ram:ID", GUIDELINE))  # BT-24
    yield group("rsm:ExchangedDocumentContext", guideline)
    yield group(
        "rsm:ExchangedDocument",
        text("ram:ID", document.number),  # BT-1
        text("ram:TypeCode", type_code(document)),  # BT-3
        group("ram:IssueDateTime", _day(document.issued)),  # BT-2
        group("ram:IncludedNote", text("ram:Content", note(document))),  # BT-22
    )


def _line(document: Document, line: DocumentLine) -> Element:
    quoted = line.quote
    base = [] if quoted.base == ONE else [text("ram:BasisQuantity", plain(quoted.base), "unitCode", line.unit_code)]
    price = (text("ram:ChargeAmount", plain(quoted.price)), *base)
    listed = [] if quoted.listed is None else [_listed(quoted.listed, quoted.discount, base)]  # BT-148, BT-147
    account = [_account(line.accounting_cost)] if line.accounting_cost else []  # BT-133
    sums = group("ram:SpecifiedTradeSettlementLineMonetarySummation", text("ram:LineTotalAmount", f"{line.net:z.2f}"))
    return group(
        "ram:IncludedSupplyChainTradeLineItem",
        group("ram:AssociatedDocumentLineDocument", text("ram:LineID", str(line.number))),
        group(
            "ram:SpecifiedTradeProduct",
            text("ram:SellerAssignedID", line.item),  # BT-155
            text("ram:Name", line.name),
            *(group("ram:ApplicableProductCharacteristic", text("ram:Description", name), text("ram:Value", value))
              for name, value in attributes(line)),
        ),
        group("ram:SpecifiedLineTradeAgreement", *listed, group("ram:NetPriceProductTradePrice", *price)),
        group("ram:SpecifiedLineTradeDelivery",
              text("ram:BilledQuantity", plain(quoted.quantity), "unitCode", line.unit_code)),
        group(
            "ram:SpecifiedLineTradeSettlement",
            _line_tax(document.tax),
            *_rounding(document, line),
            sums,
            *account,
        ),
    )  # fmt: skip


def _listed(listed: Decimal, discount: Decimal, base: list[Element]) -> Element:
    return group(
        "ram:GrossPriceProductTradePrice",
        text("ram:ChargeAmount", plain(listed)),
        *base,
        group(
            "ram:AppliedTradeAllowanceCharge",
            group("ram:ChargeIndicator", text("udt:Indicator", "false")),
            text("ram:ActualAmount", plain(discount)),
        ),
    )


def _rounding(document: Document, line: DocumentLine) -> list[Element]:
    """Write what the line is rounded by, as an allowance or a charge (BG-27, BG-28)."""
    if not line.rounding:
        return []
    parts = (
        group("ram:ChargeIndicator", text("udt:Indicator", "true" if line.rounding > 0 else "false")),
        text("ram:ActualAmount", f"{abs(line.rounding):.2f}"),
        text("ram:Reason", rounding(document)),
    )
    return [group("ram:SpecifiedTradeAllowanceCharge", *parts)]


def _line_tax(tax: Tax) -> Element:
    return group(
        "ram:ApplicableTradeTax",
        text("ram:TypeCode", "VAT"),
        text("ram:CategoryCode", tax.category.value),
        *_percent(tax),
    )


def _agreement(document: Document) -> Element:
    buyer = document.buyer
    has_vat_id = document.tax.category is not TaxCategory.OUTSIDE
    order = [_reference("ram:BuyerOrderReferencedDocument", buyer.order_reference)] if buyer.order_reference else []
    return group(
        "ram:ApplicableHeaderTradeAgreement",
        *given("ram:BuyerReference", buyer.buyer_reference),  # BT-10
        _party("ram:SellerTradeParty", document.seller.party, has_vat_id=has_vat_id),  # BG-4
        _party("ram:BuyerTradeParty", buyer.party, has_vat_id=has_vat_id),  # BG-7
        *order,  # BT-13
        _reference("ram:ContractReferencedDocument", document.contract),  # BT-12
    )


def _party(name: str, party: Party, *, has_vat_id: bool) -> Element:
    assert party.address is not None, "nothing is lacking"
    assert party.endpoint is not None, "nothing is lacking"
    address, registered, parts = party.address, party.registered, [text("ram:Name", party.legal_name)]
    if registered:
        parts.append(
            group("ram:SpecifiedLegalOrganization", text("ram:ID", registered.id, "schemeID", registered.scheme))
        )
    if party.emails:
        mail = group("ram:EmailURIUniversalCommunication", text("ram:URIID", party.emails[0]))
        parts.append(group("ram:DefinedTradeContact", mail))
    parts.append(
        group(
            "ram:PostalTradeAddress",
            *given("ram:PostcodeCode", address.postal_code),
            text("ram:LineOne", address.street),
            *given("ram:LineTwo", address.extra),
            text("ram:CityName", address.city),
            text("ram:CountryID", address.country),
        )
    )
    endpoint = text("ram:URIID", party.endpoint.id, "schemeID", party.endpoint.scheme)
    parts.append(group("ram:URIUniversalCommunication", endpoint))
    if has_vat_id and party.vat_id:
        parts.append(group("ram:SpecifiedTaxRegistration", text("ram:ID", party.vat_id, "schemeID", "VA")))
    return group(name, *parts)


def _settlement(document: Document) -> Element:
    is_payable = document.kind is DocumentKind.INVOICE and bool(document.seller.iban)
    reference = [text("ram:PaymentReference", document.number)] if is_payable else []
    period = (
        group("ram:StartDateTime", _day(document.period_starts)),
        group("ram:EndDateTime", _day(document.period_ends)),
    )
    account = document.buyer.accounting_cost
    return group(
        "ram:ApplicableHeaderTradeSettlement",
        *reference,
        text("ram:InvoiceCurrencyCode", document.currency),  # BT-5
        *([_means(document.seller.iban)] if is_payable else []),  # BG-16
        _tax(document),  # BG-23
        group("ram:BillingSpecifiedPeriod", *period),  # BG-14
        *_terms(document),
        _sums(document),  # BG-22
        *(_preceding(each.number, each.issued) for each in document.preceding),  # BG-3
        *([_account(account)] if account else []),  # BT-19
    )


def _means(iban: str) -> Element:
    account = group("ram:PayeePartyCreditorFinancialAccount", text("ram:IBANID", iban))
    return group("ram:SpecifiedTradeSettlementPaymentMeans", text("ram:TypeCode", CREDIT_TRANSFER), account)


def _tax(document: Document) -> Element:
    tax, totals = document.tax, document.totals
    reason = exemption(tax, document.buyer.language)
    code = [text("ram:ExemptionReasonCode", EXEMPTION_CODES[tax.category])] if reason else []
    return group(
        "ram:ApplicableTradeTax",
        text("ram:CalculatedAmount", f"{totals.tax:z.2f}"),
        text("ram:TypeCode", "VAT"),
        *given("ram:ExemptionReason", reason),
        text("ram:BasisAmount", f"{totals.net:z.2f}"),
        text("ram:CategoryCode", tax.category.value),
        *code,
        *_percent(tax),
    )


def _terms(document: Document) -> list[Element]:
    if not document.due:
        return []
    parts = (text("ram:Description", payment_terms(document)), group("ram:DueDateDateTime", _day(document.due)))
    return [group("ram:SpecifiedTradePaymentTerms", *parts)]  # BT-20, BT-9


def _sums(document: Document) -> Element:
    totals = document.totals
    rounded = [text("ram:RoundingAmount", f"{totals.rounding:z.2f}")] if totals.rounding else []  # BT-114
    return group(
        "ram:SpecifiedTradeSettlementHeaderMonetarySummation",
        text("ram:LineTotalAmount", f"{totals.net:z.2f}"),
        text("ram:TaxBasisTotalAmount", f"{totals.net:z.2f}"),
        text("ram:TaxTotalAmount", f"{totals.tax:z.2f}", "currencyID", document.currency),
        *rounded,
        text("ram:GrandTotalAmount", f"{totals.gross:z.2f}"),
        text("ram:DuePayableAmount", f"{totals.payable:z.2f}"),
    )


def _preceding(number: str, issued: date) -> Element:
    day = group("ram:FormattedIssueDateTime", text("qdt:DateTimeString", _digits(issued), "format", _DAY))
    return group("ram:InvoiceReferencedDocument", text("ram:IssuerAssignedID", number), day)


def _percent(tax: Tax) -> list[Element]:
    return [] if tax.category is TaxCategory.OUTSIDE else [text("ram:RateApplicablePercent", plain(tax.percent))]


def _reference(name: str, number: str) -> Element:
    return group(name, text("ram:IssuerAssignedID", number))


def _account(cost: str) -> Element:
    return group("ram:ReceivableSpecifiedTradeAccountingAccount", text("ram:ID", cost))


def _day(day: date) -> Element:
    return text("udt:DateTimeString", _digits(day), "format", _DAY)


def _digits(day: date) -> str:
    return f"{day:%Y%m%d}"
