"""Who is named on an invoice, and how its VAT is treated.

Law: what stands here is well-formed (`read_parties`); whether it is enough for an invoice is for the invoice to say,
so a contract may leave out what it does not know yet.
"""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum


class Language(StrEnum):
    """What an institution reads."""

    ENGLISH = "en"
    FRENCH = "fr"
    GERMAN = "de"


class TaxCategory(StrEnum):
    """How VAT is treated (UN/CEFACT 5305): exempt, at a rate, by reverse charge, or outside its scope."""

    EXEMPT = "E"
    STANDARD = "S"
    REVERSE_CHARGE = "AE"
    OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Identifier:
    """An identifier in a scheme: of electronic addresses (EAS) or of legal registrations (ISO 6523)."""

    scheme: str
    id: str


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address; `country` is ISO 3166-1 alpha-2."""

    street: str
    city: str
    country: str
    postal_code: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """Who sells or buys; what is not known is empty or None."""

    legal_name: str
    address: Address | None = None
    vat_id: str = ""
    registered: Identifier | None = None
    endpoint: Identifier | None = None
    emails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tax:
    """How what an institution is charged is taxed; `percent` is 0 unless the category has a rate.

    `certificate` names what an exemption rests on, from `valid_from` to `valid_until`, both included; `reason` is the
    text that the invoice bears for it instead of our own.
    """

    category: TaxCategory
    percent: Decimal
    certificate: str = ""
    valid_from: date | None = None
    valid_until: date | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Buyer:
    """An institution as it is invoiced: who it is, and what its accounts want to find on an invoice."""

    party: Party
    buyer_reference: str = ""
    order_reference: str = ""
    accounting_cost: str = ""
    language: Language = Language.ENGLISH
    tax: Tax | None = None
    accounting_costs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coordinator:
    """Who buys from the suppliers and charges the institutions; they pay within `payment_days` to `iban`."""

    party: Party
    payment_days: int
    iban: str = ""
