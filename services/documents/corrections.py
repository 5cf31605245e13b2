"""Credit notes and invoices that were issued anew, as they stand in the books, ready to be made documents of.

Law: what is taken back of a document in parts comes to no more than it was, its VAT included.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.documents.make import Correcting, Issued
from services.documents.model import Preceding
from services.invoicing.issued import IssuedDocument


def corrections(contract: Contract, own: Mapping[str, Preceding], since: Sequence[IssuedDocument]) -> list[Issued]:
    """Return what was issued since a month's close, in its order, with what it corrects; `own` are its invoices."""
    numbered = dict(own) | {
        each.number: Preceding(each.number, each.issued_at.astimezone(contract.zone).date(), each.statement.total)
        for each in since
    }
    corrected = {each.number: each.corrects for each in since}
    left: dict[str, Decimal] = {number: each.total for number, each in numbered.items()}
    made = []
    for each in since:
        before = [corrected[each.anew], each.anew] if each.anew else [each.corrects]
        preceding = tuple(numbered[number] for number in before if number)
        of_it = left[each.corrects] if each.corrects else None
        correcting = Correcting(preceding, each.reason or "", each.anew is not None, of_it)
        if each.corrects:
            left[each.corrects] = add(left[each.corrects], each.statement.total)
        day = numbered[each.number].issued
        made.append(Issued(each.number, day, each.statement, {}, ZERO, correcting=correcting))
    return made
