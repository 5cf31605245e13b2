"""Where UBL 2.1 and CII (UN/CEFACT D16B) have what EN 16931 calls BT-…: the two forms differ in nothing else here."""

from collections.abc import Mapping
from dataclasses import dataclass

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_CII = "urn:un:unece:uncefact:data:standard:"
NAMESPACES = {
    "cac": f"{_UBL}CommonAggregateComponents-2",
    "cbc": f"{_UBL}CommonBasicComponents-2",
    "ram": f"{_CII}ReusableAggregateBusinessInformationEntity:100",
    "rsm": f"{_CII}CrossIndustryInvoice:100",
    "udt": f"{_CII}UnqualifiedDataType:100",
}
Path = tuple[str, ...]
"""Alternatives: all that is found at any of them, in their order."""


@dataclass(frozen=True, slots=True)
class LinePaths:
    """Below a line."""

    number: Path
    name: Path
    codes: Path  # BT-155 seller's, BT-156 buyer's, BT-157 standard
    quantity: Path
    net: Path
    starts: Path
    ends: Path
    price: Path
    base: Path
    whose: Path  # BT-133, BT-132
    properties: Path
    property_name: Path
    property_value: Path
    allowances: Path


@dataclass(frozen=True, slots=True)
class Paths:
    """Below the document."""

    number: Path
    kind: Path
    issued: Path
    currency: Path
    starts: Path
    ends: Path
    sellers: Path
    tax_ids: Path  # BT-31, BT-32
    buyers: Path
    references: Path
    allowances: Path
    is_charge: Path
    allowance: Path
    reason: Path
    net: Path
    lines: Path
    line: LinePaths


_SELLER, _BUYER = (f"cac:Accounting{who}Party/cac:Party/" for who in ("Supplier", "Customer"))
_NAMES = ("cac:PartyTaxScheme/cbc:CompanyID", "cac:PartyLegalEntity/cbc:CompanyID",
          "cac:PartyLegalEntity/cbc:RegistrationName", "cac:PartyName/cbc:Name", "cbc:EndpointID")  # fmt: skip

_UBL_LINE = LinePaths(
    number=("cbc:ID",),
    name=("cac:Item/cbc:Name",),
    codes=(
        "cac:Item/cac:SellersItemIdentification/cbc:ID", "cac:Item/cac:BuyersItemIdentification/cbc:ID",
        "cac:Item/cac:StandardItemIdentification/cbc:ID",
    ),
    quantity=("cbc:InvoicedQuantity", "cbc:CreditedQuantity"),
    net=("cbc:LineExtensionAmount",),
    starts=("cac:InvoicePeriod/cbc:StartDate",),
    ends=("cac:InvoicePeriod/cbc:EndDate",),
    price=("cac:Price/cbc:PriceAmount",),
    base=("cac:Price/cbc:BaseQuantity",),
    whose=("cbc:AccountingCost", "cac:OrderLineReference/cbc:LineID"),
    properties=("cac:Item/cac:AdditionalItemProperty",),
    property_name=("cbc:Name",),
    property_value=("cbc:Value",),
    allowances=("cac:AllowanceCharge",),
)  # fmt: skip
UBL = Paths(
    number=("cbc:ID",),
    kind=("cbc:InvoiceTypeCode", "cbc:CreditNoteTypeCode"),
    issued=("cbc:IssueDate",),
    currency=("cbc:DocumentCurrencyCode",),
    starts=("cac:InvoicePeriod/cbc:StartDate",),
    ends=("cac:InvoicePeriod/cbc:EndDate",),
    sellers=tuple(_SELLER + name for name in _NAMES),
    tax_ids=(f"{_SELLER}cac:PartyTaxScheme/cbc:CompanyID",),
    buyers=(
        "cbc:BuyerReference",
        "cbc:AccountingCost",
        "cac:OrderReference/cbc:ID",
        *(_BUYER + name for name in _NAMES),
    ),
    references=("cac:ContractDocumentReference/cbc:ID", "cac:OrderReference/cbc:ID", "cac:ProjectReference/cbc:ID"),
    allowances=("cac:AllowanceCharge",),
    is_charge=("cbc:ChargeIndicator",),
    allowance=("cbc:Amount",),
    reason=("cbc:AllowanceChargeReason",),
    net=("cac:LegalMonetaryTotal/cbc:TaxExclusiveAmount",),
    lines=("cac:InvoiceLine", "cac:CreditNoteLine"),
    line=_UBL_LINE,
)

_DEAL = "rsm:SupplyChainTradeTransaction/"
_AGREED, _SETTLED = f"{_DEAL}ram:ApplicableHeaderTradeAgreement/", f"{_DEAL}ram:ApplicableHeaderTradeSettlement/"
_PARTY = ("ram:SpecifiedTaxRegistration/ram:ID", "ram:SpecifiedLegalOrganization/ram:ID", "ram:Name",
          "ram:SpecifiedLegalOrganization/ram:TradingBusinessName", "ram:GlobalID", "ram:ID",
          "ram:URIUniversalCommunication/ram:URIID")  # fmt: skip
_LINE_SETTLED = "ram:SpecifiedLineTradeSettlement/"
_LINE_PRICE = "ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice/"
_CII_LINE = LinePaths(
    number=("ram:AssociatedDocumentLineDocument/ram:LineID",),
    name=("ram:SpecifiedTradeProduct/ram:Name",),
    codes=tuple(
        f"ram:SpecifiedTradeProduct/ram:{each}" for each in ("SellerAssignedID", "BuyerAssignedID", "GlobalID")
    ),
    quantity=("ram:SpecifiedLineTradeDelivery/ram:BilledQuantity",),
    net=(f"{_LINE_SETTLED}ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount",),
    starts=(f"{_LINE_SETTLED}ram:BillingSpecifiedPeriod/ram:StartDateTime/udt:DateTimeString",),
    ends=(f"{_LINE_SETTLED}ram:BillingSpecifiedPeriod/ram:EndDateTime/udt:DateTimeString",),
    price=(f"{_LINE_PRICE}ram:ChargeAmount",),
    base=(f"{_LINE_PRICE}ram:BasisQuantity",),
    whose=(
        f"{_LINE_SETTLED}ram:ReceivableSpecifiedTradeAccountingAccount/ram:ID",
        "ram:SpecifiedLineTradeAgreement/ram:BuyerOrderReferencedDocument/ram:LineID",
    ),
    properties=("ram:SpecifiedTradeProduct/ram:ApplicableProductCharacteristic",),
    property_name=("ram:Description",),
    property_value=("ram:Value",),
    allowances=(f"{_LINE_SETTLED}ram:SpecifiedTradeAllowanceCharge",),
)
CII = Paths(
    number=("rsm:ExchangedDocument/ram:ID",),
    kind=("rsm:ExchangedDocument/ram:TypeCode",),
    issued=("rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString",),
    currency=(f"{_SETTLED}ram:InvoiceCurrencyCode",),
    starts=(f"{_SETTLED}ram:BillingSpecifiedPeriod/ram:StartDateTime/udt:DateTimeString",),
    ends=(f"{_SETTLED}ram:BillingSpecifiedPeriod/ram:EndDateTime/udt:DateTimeString",),
    sellers=tuple(f"{_AGREED}ram:SellerTradeParty/{each}" for each in _PARTY),
    tax_ids=(f"{_AGREED}ram:SellerTradeParty/ram:SpecifiedTaxRegistration/ram:ID",),
    buyers=(
        f"{_AGREED}ram:BuyerReference", f"{_SETTLED}ram:ReceivableSpecifiedTradeAccountingAccount/ram:ID",
        f"{_AGREED}ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID",
        *(f"{_AGREED}ram:BuyerTradeParty/{each}" for each in _PARTY),
    ),
    references=tuple(
        f"{_AGREED}ram:{each}"
        for each in (
            "ContractReferencedDocument/ram:IssuerAssignedID", "BuyerOrderReferencedDocument/ram:IssuerAssignedID",
            "SpecifiedProcuringProject/ram:ID",
        )
    ),
    allowances=(f"{_SETTLED}ram:SpecifiedTradeAllowanceCharge",),
    is_charge=("ram:ChargeIndicator/udt:Indicator",),
    allowance=("ram:ActualAmount",),
    reason=("ram:Reason",),
    net=(f"{_SETTLED}ram:SpecifiedTradeSettlementHeaderMonetarySummation/ram:TaxBasisTotalAmount",),
    lines=(f"{_DEAL}ram:IncludedSupplyChainTradeLineItem",),
    line=_CII_LINE,
)  # fmt: skip

FORMS: Mapping[str, Paths] = {
    f"{{{_UBL}Invoice-2}}Invoice": UBL,
    f"{{{_UBL}CreditNote-2}}CreditNote": UBL,
    f"{{{NAMESPACES['rsm']}}}CrossIndustryInvoice": CII,
}
"""By the root element's name."""
