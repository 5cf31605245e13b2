"""Who sells: which award a document is for by its seller, and what of the seller contradicts its award.

Law: an award that is named elsewhere (a column, an option, a reference) is still its supplier's: whatever names another
seller is a problem, and so is a seller that nobody knows, unless whoever reconciles has named the award.
"""

import re

from services.contract.problems import one_of
from services.reconciliation.model import Expectation, InvoiceError, KnownAward, SupplierDocument
from services.reconciliation.written import bare


def award_of(expectation: Expectation, document: SupplierDocument) -> str:
    """Return the award of a document, by its supplier and its references."""
    awards = expectation.awards
    sellers = {bare(each) for each in document.sellers}
    mine = {each.code: each for each in awards.values() if sellers & _known_by(each)}
    if not mine:
        who = ", ".join(document.sellers) or "nobody"
        raise InvoiceError(f"{document.file}: the seller is {who}; wanted a supplier of the contract, by VAT id or "
                           f"name, or --award with {one_of(awards, 'awards')}")  # fmt: skip
    named = [each for each in mine.values() if any(_names(expectation, each, text) for text in document.references)]
    found = sorted(each.code for each in (named or mine.values()))
    if len(found) > 1:
        references = ", ".join(document.references) or "none"
        raise InvoiceError(f"{document.file}: it may be for {' or '.join(found)}, and its contract and order "
                           f"references ({references}) name no lot; wanted --award with one of them")  # fmt: skip
    return found[0]


def _known_by(award: KnownAward) -> set[str]:
    return {bare(each) for each in award.names if each}


def _names(expectation: Expectation, award: KnownAward, reference: str) -> bool:
    """Tell whether a reference names an award: 2/CTA, LOT 2, CLOUD-I/2."""
    text, lot = reference.casefold(), re.escape(award.lot.casefold())
    contract = re.escape(expectation.contract.casefold())
    return award.code.casefold() in text or bool(
        re.search(rf"\blot\W*{lot}(?!\w)", text) or (contract and re.search(rf"{contract}\W+{lot}(?!\w)", text))
    )


def contradictions(expectation: Expectation, document: SupplierDocument, award: str) -> list[str]:
    """Return what says that an award's document is another seller's: a name or id of one, or another VAT id."""
    mine = expectation.awards[award]
    own = _known_by(mine)
    others = {
        name: each.supplier
        for each in expectation.awards.values()
        if each.supplier != mine.supplier
        for name in _known_by(each) - own
    }
    vat_ids = {bare(each) for each in document.vat_ids}
    is_another = bool(mine.vat_id) and bool(vat_ids) and bare(mine.vat_id) not in vat_ids
    found = []
    for each in dict.fromkeys(document.sellers):
        if supplier := others.get(bare(each)):
            found.append(f"the seller {each} is {supplier}, and {award} is {mine.supplier}'s")
        elif is_another and bare(each) in vat_ids:
            found.append(f"the seller's VAT id is {each}, and that of {mine.supplier}, whose {award} is, {mine.vat_id}")
    return [f"{document.file}: {document.number}: {each}" for each in found]


def is_unknown(expectation: Expectation, document: SupplierDocument, award: str) -> bool:
    """Tell whether a document names its seller, and nothing of that names an award's supplier."""
    sellers = {bare(each) for each in document.sellers}
    return bool(sellers) and not sellers & _known_by(expectation.awards[award])
