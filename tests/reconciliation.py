"""Suppliers' invoices made up for tests: of the small contract, as lines, as UBL, as CII and as CSV."""

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from xml.sax.saxutils import escape

from services.contract.model import Contract
from services.contract.money import total
from services.documents.suppliers import supplier_csvs
from services.invoicing.statement import Line, Statement
from services.reconciliation.books import of_books
from services.reconciliation.identify import Identified, identify
from services.reconciliation.mapping import Names
from services.reconciliation.match import EXACTLY, reconcile
from services.reconciliation.model import (
    Category,
    Claim,
    Expectation,
    Reconciliation,
    SupplierDocument,
    SupplierLine,
    Tolerance,
)
from tests.documents import MARCH, line, small

D = Decimal
BOOKS = [
    line("150", "8.505", institution="EP"),
    line("60", "3.6", institution="EDA"),
    line("33.333333333333333333", "3.003333333333333", item="traffic", institution="EP"),
    line("10", "1", item="disk", institution="EC", department="DIGIT"),
    line("-3", "-0.18", month="2016-02"),
    line("10", "0.5", award="2/ALPHA"),
]


def statements(lines: Sequence[Line] = BOOKS) -> list[Statement]:
    institutions = sorted({each.key.institution for each in lines})
    return [
        Statement(code, MARCH, tuple(each for each in lines if each.key.institution == code)) for code in institutions
    ]


def books(lines: Sequence[Line] = BOOKS) -> Expectation:
    return _books(tuple(lines))


@cache
def _contract() -> Contract:
    return small()


@cache
def _books(lines: tuple[Line, ...]) -> Expectation:
    return of_books(_contract(), MARCH, statements(lines))


def exported(award: str = "2/BETA", lines: Sequence[Line] = BOOKS) -> bytes:
    return supplier_csvs(_contract(), MARCH, statements(lines))[award]


def charged(item: str, quantity: str, net: str, place: str = "1", **more: object) -> SupplierLine:
    return SupplierLine(f"line {place}", "", D(net), (item,), D(quantity), **more)  # type: ignore[arg-type]


def invoice(*lines: SupplierLine, number: str = "B-1", **more: object) -> SupplierDocument:
    given = {"sellers": ("Beta consortium",), "currency": "EUR", "is_credit": False} | more
    return SupplierDocument("invoice.xml", number, lines=lines, **given)  # type: ignore[arg-type]


def identified(
    *documents: SupplierDocument, expectation: Expectation | None = None, names: Names | None = None
) -> list[Identified]:
    return [identify(expectation or books(), each, names or Names()) for each in documents]


def reconciled(
    *documents: SupplierDocument,
    expectation: Expectation | None = None,
    earlier: Sequence[Claim] = (),
    tolerance: Tolerance = EXACTLY,
    names: Names | None = None,
) -> Reconciliation:
    expectation = expectation or books()
    found = reconcile(expectation, identified(*documents, expectation=expectation, names=names), earlier, tolerance)
    assert found.invoiced - found.expected == total(found.parts.values())
    for row in found.rows:
        assert total(row.parts.values()) == row.difference, row
    return found


def categories(found: Reconciliation) -> dict[str, Category]:
    """Return what each item's row comes to; those of other months with them."""
    return {row.key.item + (f" {row.key.month}" if row.key.month != MARCH else "") + row.institution: row.category
            for row in found.rows}  # fmt: skip


ALL = (
    charged("vm", "210", "12.11", "1"),
    charged("traffic", "33.333333333333333333", "3.00", "2"),
    charged("disk", "10", "1.00", "3"),
    charged("vm", "-3", "-0.18", "4", month="2016-02"),
)
"""The lines of an invoice that agrees with the books."""


def cii(lines: Sequence[tuple[str, str, str, str, str]], kind: str = "380") -> bytes:
    """Write an invoice of Beta as CII: lines of code, name, quantity, unit and net amount."""
    net = total(D(each[4]) for each in lines)
    items = "".join(
        f"""<ram:IncludedSupplyChainTradeLineItem>
<ram:AssociatedDocumentLineDocument><ram:LineID>{number}</ram:LineID></ram:AssociatedDocumentLineDocument>
<ram:SpecifiedTradeProduct><ram:SellerAssignedID>{escape(code)}</ram:SellerAssignedID><ram:Name>{escape(name)}</ram:Name></ram:SpecifiedTradeProduct>
<ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice><ram:ChargeAmount>{amount}</ram:ChargeAmount><ram:BasisQuantity unitCode="{unit}">{quantity}</ram:BasisQuantity></ram:NetPriceProductTradePrice></ram:SpecifiedLineTradeAgreement>
<ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="{unit}">{quantity}</ram:BilledQuantity></ram:SpecifiedLineTradeDelivery>
<ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax><ram:TypeCode>VAT</ram:TypeCode><ram:CategoryCode>S</ram:CategoryCode><ram:RateApplicablePercent>20</ram:RateApplicablePercent></ram:ApplicableTradeTax>
<ram:BillingSpecifiedPeriod><ram:StartDateTime><udt:DateTimeString format="102">20160301</udt:DateTimeString></ram:StartDateTime><ram:EndDateTime><udt:DateTimeString format="102">20160331</udt:DateTimeString></ram:EndDateTime></ram:BillingSpecifiedPeriod>
<ram:SpecifiedTradeSettlementLineMonetarySummation><ram:LineTotalAmount>{amount}</ram:LineTotalAmount></ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>
</ram:IncludedSupplyChainTradeLineItem>"""
        for number, (code, name, quantity, unit, amount) in enumerate(lines, start=1)
    )
    tax, gross = (net * D("0.2")).quantize(D("0.01")), (net * D("1.2")).quantize(D("0.01"))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100" xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100" xmlns:udt="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100">
<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>urn:cen.eu:en16931:2017</ram:ID></ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>
<rsm:ExchangedDocument><ram:ID>B-2016-17</ram:ID><ram:TypeCode>{kind}</ram:TypeCode><ram:IssueDateTime><udt:DateTimeString format="102">20160405</udt:DateTimeString></ram:IssueDateTime></rsm:ExchangedDocument>
<rsm:SupplyChainTradeTransaction>{items}
<ram:ApplicableHeaderTradeAgreement>
<ram:SellerTradeParty><ram:Name>Beta consortium</ram:Name><ram:PostalTradeAddress><ram:CountryID>FR</ram:CountryID></ram:PostalTradeAddress><ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">FR40303265045</ram:ID></ram:SpecifiedTaxRegistration></ram:SellerTradeParty>
<ram:BuyerTradeParty><ram:Name>Coordinating body</ram:Name><ram:PostalTradeAddress><ram:CountryID>BE</ram:CountryID></ram:PostalTradeAddress></ram:BuyerTradeParty>
<ram:ContractReferencedDocument><ram:IssuerAssignedID>SMALL/2</ram:IssuerAssignedID></ram:ContractReferencedDocument>
</ram:ApplicableHeaderTradeAgreement>
<ram:ApplicableHeaderTradeDelivery/>
<ram:ApplicableHeaderTradeSettlement><ram:InvoiceCurrencyCode>EUR</ram:InvoiceCurrencyCode>
<ram:ApplicableTradeTax><ram:CalculatedAmount>{tax}</ram:CalculatedAmount><ram:TypeCode>VAT</ram:TypeCode><ram:BasisAmount>{net}</ram:BasisAmount><ram:CategoryCode>S</ram:CategoryCode><ram:RateApplicablePercent>20</ram:RateApplicablePercent></ram:ApplicableTradeTax>
<ram:SpecifiedTradeSettlementHeaderMonetarySummation><ram:LineTotalAmount>{net}</ram:LineTotalAmount><ram:TaxBasisTotalAmount>{net}</ram:TaxBasisTotalAmount><ram:TaxTotalAmount currencyID="EUR">{tax}</ram:TaxTotalAmount><ram:GrandTotalAmount>{gross}</ram:GrandTotalAmount><ram:DuePayableAmount>{gross}</ram:DuePayableAmount></ram:SpecifiedTradeSettlementHeaderMonetarySummation>
</ram:ApplicableHeaderTradeSettlement>
</rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>""".encode()
