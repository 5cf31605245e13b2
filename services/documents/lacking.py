"""What an institution's invoice lacks: what the contract file does not say, and EN 16931 or the law wants.

Law: where nothing is lacking, the e-invoice passes the official rules. What these alone want is not lacking where the
currency has no e-invoices.
"""

from collections.abc import Iterator
from datetime import date

from services.contract.model import Contract
from services.contract.parties import Buyer, Coordinator, Party, Tax, TaxCategory
from services.contract.problems import Problem
from services.documents.model import has_e_invoices


def lacking(contract: Contract, institution: str, starts: date, ends: date) -> list[Problem]:
    """Return all that is lacking for an invoice of the days from `starts` to `ends`, both included, by its place."""
    found: list[Problem] = []
    is_electronic = has_e_invoices(contract.currency)
    seller, buyer = contract.coordinator, contract.institutions[institution].buyer
    place = f"institutions[{institution}].party"
    if seller is None:
        found.append(Problem("coordinator", "nothing", "a table [coordinator]: who issues the invoice"))
    if buyer is None:
        found.append(Problem(place, "nothing", "a table [institutions.party]: who is invoiced"))
        return found
    found += [] if seller is None else _seller(seller, buyer.tax, is_electronic=is_electronic)
    return [*found, *_buyer(buyer, place, is_electronic=is_electronic), *_tax(buyer, place, starts, ends)]


def _seller(seller: Coordinator, tax: Tax | None, *, is_electronic: bool) -> Iterator[Problem]:
    yield from _party(seller.party, "coordinator", is_electronic=is_electronic)
    if tax is not None and tax.category is not TaxCategory.OUTSIDE and not seller.party.vat_id:
        yield Problem("coordinator.vat_id", "nothing", f"a VAT id, which category {tax.category} needs of the seller")
    if tax is not None and tax.category is TaxCategory.OUTSIDE and seller.party.registered is None:
        wanted = f"a legal registration, since category {tax.category} leaves out the VAT id"
        yield Problem("coordinator.registered", "nothing", wanted)


def _buyer(buyer: Buyer, place: str, *, is_electronic: bool) -> Iterator[Problem]:
    yield from _party(buyer.party, place, is_electronic=is_electronic)
    if is_electronic and not buyer.buyer_reference and not buyer.order_reference:
        yield Problem(f"{place}.buyer_reference", "nothing", "a buyer reference, or an order reference")


def _party(party: Party, place: str, *, is_electronic: bool) -> Iterator[Problem]:
    if party.address is None:
        yield Problem(f"{place}.address", "nothing", "a postal address")
    if is_electronic and party.endpoint is None:
        yield Problem(f"{place}.endpoint", "nothing", "an electronic address, its scheme and id")


def _tax(buyer: Buyer, place: str, starts: date, ends: date) -> Iterator[Problem]:
    tax = buyer.tax
    if tax is None:
        yield Problem(f"{place}.tax", "nothing", "how it is taxed")
        return
    if tax.category is TaxCategory.REVERSE_CHARGE and not buyer.party.vat_id:
        yield Problem(f"{place}.vat_id", "nothing", "a VAT id, which a reverse charge needs of the buyer")
    if tax.category is not TaxCategory.EXEMPT:
        return
    if not tax.certificate:
        yield Problem(f"{place}.tax.certificate", "nothing", "the certificate that the exemption rests on")
    if tax.valid_from is None or tax.valid_from > starts:
        wanted = f"{starts} or earlier: the certificate is to cover the whole month"
        yield Problem(f"{place}.tax.valid_from", str(tax.valid_from or "nothing"), wanted)
    if tax.valid_until is not None and tax.valid_until < ends:
        wanted = f"{ends} or later: the certificate is to cover the whole month"
        yield Problem(f"{place}.tax.valid_until", str(tax.valid_until), wanted)
