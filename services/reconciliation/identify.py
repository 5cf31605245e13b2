"""Whose invoice it is, and what its lines are: award, item, month, and who used.

Law: nothing is guessed. What is not named plainly is left open, with what it is most like; what was taken by something
weaker than a code is noted on the line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction

from services.contract.problems import one_of, show
from services.reconciliation.mapping import Names
from services.reconciliation.model import (
    Claim,
    ClaimKey,
    Expectation,
    InvoiceError,
    SupplierDocument,
    SupplierLine,
    Whose,
)
from services.reconciliation.quantities import factor, is_count, is_piece
from services.reconciliation.seller import award_of, contradictions, is_unknown
from services.reconciliation.written import bare

NO_NAMES = Names()


@dataclass(frozen=True, slots=True)
class Identified:
    """A document's lines as claims, whom the document as a whole is for, and what is odd about it.

    `problems` say that its seller is not the awards' supplier.
    """

    document: SupplierDocument
    awards: frozenset[str]
    claims: tuple[Claim, ...]
    whose: Whose | None
    notes: tuple[str, ...]
    problems: tuple[str, ...] = ()


def identify(
    expectation: Expectation, document: SupplierDocument, names: Names = NO_NAMES, award: str | None = None
) -> Identified:
    """Tell what each line of a document is; raises InvoiceError where its award can't be told."""
    own = {line.award for line in document.lines if not line.is_whole}
    per_line = {text: found for text in own if (found := _named_award(expectation, text)) is not None}
    given = _given_award(expectation, award)
    whole = "" if own and per_line.keys() == own else given or award_of(expectation, document)
    whose, notes = _whose_of(expectation, names, document.buyers)
    notes += _about_month(expectation, document)
    claims = tuple(
        _claim(expectation, names, document, line, per_line.get(line.award, whole), whose) for line in document.lines
    )
    awards = frozenset(claim.key.award for claim in claims if not claim.is_whole)
    claims = tuple(_at_home(claim, awards) for claim in claims)
    problems, more = _about_seller(expectation, document, awards or {whole}, given)
    return Identified(document, awards, claims, whose, (*notes, *more), tuple(problems))


def _about_seller(
    expectation: Expectation, document: SupplierDocument, awards: Iterable[str], given: str
) -> tuple[list[str], list[str]]:
    """Return what contradicts that the awards are the seller's, and what is to be said of one that nobody knows."""
    problems, notes = [], []
    for award in sorted(awards):
        if found := contradictions(expectation, document, award):
            problems += found
        elif is_unknown(expectation, document, award):
            supplier = expectation.awards[award].supplier
            who = ", ".join(document.sellers)
            said = f"{document.number}: the seller is {who}; {award} is {supplier}'s, who is not known by that"
            if award == given:
                notes.append(f"{said}, and is taken for it, as --award says")
            else:
                problems.append(f"{document.file}: {said}: --award {award} takes it for it all the same")
    return problems, notes


def _at_home(claim: Claim, awards: frozenset[str]) -> Claim:
    """Put a discount on the whole document under its first award, where its lines have several."""
    if claim.key.award or not awards:
        return claim
    return Claim(claim.key._replace(award=min(awards)), claim.whose, claim.net, None, claim.document, claim.place,
                 claim.notes, claim.is_whole)  # fmt: skip


def _named_award(expectation: Expectation, text: str) -> str | None:
    return next((code for code in expectation.awards if code.casefold() == text.casefold()), None)


def _given_award(expectation: Expectation, wanted: str | None) -> str:
    code = "" if wanted is None else _named_award(expectation, wanted)
    if code is None:
        raise InvoiceError(f"--award: found {show(wanted)}; wanted {one_of(expectation.awards, 'awards', wanted)}")
    return code


def _claim(
    expectation: Expectation,
    names: Names,
    document: SupplierDocument,
    line: SupplierLine,
    award: str,
    whose: Whose | None,
) -> Claim:
    code, notes = _item_of(expectation, names, line)
    month = line.month or document.month or expectation.month
    name = "" if code else line.name or " ".join(line.codes)
    if line.is_whole and not code:
        return Claim(
            ClaimKey(award, "", name, month), whose, line.net, None, document.number, line.place, is_whole=True
        )
    quantity, more = _in_own_unit(expectation, names, line, code)
    own, others = _whose_of(expectation, names, line.whose)
    if line.whose and own is None and not others:
        others = [f"nobody is known as {' or '.join(map(show, line.whose))}"]
    key = ClaimKey(award, code, name, month)
    return Claim(key, own or whose, line.net, quantity, document.number, line.place, (*notes, *more, *others))


def _item_of(expectation: Expectation, names: Names, line: SupplierLine) -> tuple[str, list[str]]:
    """Return an item's code, empty where there is none like it, and what is to be said of that."""
    items = expectation.items
    for text in (*line.codes, line.name):
        if text and text in names.items:
            code = names.items[text]
            if code not in items:
                raise InvoiceError(
                    f"the mapping's items: {text}: found {show(code)}; wanted {one_of(items, 'items', code)}"
                )
            return code, []
    codes = {code.casefold(): code for code in items}
    for text in line.codes:
        if text.casefold() in codes:
            return codes[text.casefold()], []
    named = [item.code for item in items.values() if line.name and item.name.casefold() == line.name.casefold()]
    if len(named) == 1:
        said = f"no code of it is known ({', '.join(line.codes)}): " if line.codes else ""
        return named[0], [f"{said}taken for {named[0]} by its name"]
    return "", [] if line.is_whole else [_like(items, line)]


def _like(items: Mapping[str, object], line: SupplierLine) -> str:
    """Say what an unknown item is most like."""
    by_text = {getattr(item, "name", "").casefold(): code for code, item in items.items()}
    by_text |= {code.casefold(): code for code in items}
    meant = [text[:64].casefold() for text in (*line.codes, line.name) if text]
    alike = [by_text[near] for text in meant for near in get_close_matches(text, by_text, 2)]
    texts = " or ".join(show(text) for text in (*line.codes, line.name) if text)
    maybe = f"; most like {' or '.join(dict.fromkeys(alike))}" if alike else ""
    return f"no item is known as {texts}{maybe}: --map FILE may name it"


def _in_own_unit(
    expectation: Expectation, names: Names, line: SupplierLine, code: str
) -> tuple[Fraction | None, list[str]]:
    """Return a quantity in the item's own unit, None where it can't be compared, and what is to be said of that."""
    if line.quantity is None:
        return None, []
    quantity = Fraction(line.quantity)
    if not code:
        return quantity, []
    unit, wanted = names.units.get(line.unit, line.unit), expectation.items[code].unit
    size = factor(unit, wanted)
    if size is not None and not (is_piece(unit) and is_count(wanted) and size != 1 and abs(quantity) == 1):
        return quantity * size, [f"{unit} turned into {wanted}"] if size != 1 else []
    if is_piece(unit):
        if abs(quantity) == 1:
            return None, ["invoiced as a whole, so its quantity is not compared"]
        return quantity, [f"the unit says nothing, taken for {wanted}"] if unit else []
    return None, [f"{show(unit)} can't be turned into {wanted}, so the quantity is not compared"]


def _whose_of(expectation: Expectation, names: Names, texts: Iterable[str]) -> tuple[Whose | None, list[str]]:
    """Return who is named by texts: the department where one is, nobody where they disagree."""
    found: dict[Whose, str] = {}
    for text in texts:
        meant = names.institutions.get(text, text)
        whose = expectation.whose.get(bare(meant))
        if whose is not None:
            found[whose] = text
        elif meant != text:
            raise InvoiceError(
                f"the mapping's institutions: {text}: found {show(meant)}; wanted an institution or department"
            )
    institutions = {each.institution for each in found}
    if len(institutions) > 1:
        return None, [f"{' and '.join(map(show, found.values()))} are of different institutions, so none is taken"]
    departments = {each for each in found if each.department}
    if len(departments) == 1:
        return departments.pop(), []
    return (Whose(institutions.pop(), None) if institutions else None), []


def _about_month(expectation: Expectation, document: SupplierDocument) -> list[str]:
    if document.month and document.month != expectation.month:
        return [f"{document.number}: its period is {document.month}, compared with {expectation.month}"]
    return []


def known_as(names: Iterable[tuple[str, Whose]]) -> dict[str, Whose]:
    """Return who texts stand for; what stands for several is left out, as is what says nothing."""
    found: dict[str, Whose | None] = {}
    for text, whose in names:
        name = bare(text)
        found[name] = whose if found.get(name, whose) == whose else None
    return {text: whose for text, whose in found.items() if text and whose is not None}
