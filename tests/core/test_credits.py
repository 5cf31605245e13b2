"""What credits move: the laws for any amounts, and what their documents come to."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import total
from services.documents.data import as_csv
from services.documents.en16931 import attributes
from services.documents.make import Correcting, Issued, document
from services.documents.model import Document, DocumentKind, Preceding
from services.invoicing.ceilings import CeilingKey, Level, relieved
from services.invoicing.credits import BorneBy, Credited, set_off
from services.invoicing.issued import turned
from services.invoicing.numbering import series_of
from services.invoicing.statement import Line, Statement
from tests.conftest import SMALL
from tests.documents import ISSUED, MARCH, line, made, small

D = Decimal
AMOUNTS = st.integers(-(10**6), 10**6).map(lambda cents: D(cents).scaleb(-2))
CREDITS = AMOUNTS.map(lambda amount: -abs(amount))


@given(AMOUNTS, CREDITS, CREDITS, AMOUNTS.map(abs), AMOUNTS.map(abs))
def test_what_is_paid_is_what_is_due_less_what_was_credited_and_never_below_nothing(
    due: Decimal, coordinator: Decimal, supplier: Decimal, before: Decimal, also_before: Decimal
):
    credited = [
        Credited(BorneBy.COORDINATOR, coordinator, before), Credited(BorneBy.SUPPLIER, supplier, also_before),
    ]  # fmt: skip
    moved = set_off(due, credited)
    now = {each.borne_by: each.set_off + moved.get(each.borne_by, D(0)) for each in credited}
    assert due + coordinator + supplier + total(now.values()) == max(min(D(0), due), due + coordinator + supplier)
    assert all(0 <= now[each.borne_by] <= -each.credited for each in credited), "no more than each one bore"
    after = [each._replace(set_off=now[each.borne_by]) for each in credited]
    assert set_off(due, after) == {}, "once"


@pytest.mark.parametrize(
    ("due", "credited", "before", "moved"),
    [
        ("100", "-100", "0", None),  # nothing is left to pay
        ("130", "-100", "0", None),  # what is used beside is paid
        ("80", "-100", "0", "20"),  # an adjustment of -20 gives nothing back
        ("90", "-100", "20", "-10"),  # of it, 10 are due again
        ("100", "-100", "20", "-20"),
        ("80", "0", "20", "-20"),  # the credit was taken back: 80 are to be paid in all
        ("-5", "-100", "0", "100"),  # less than nothing is due by itself
    ],
)
def test_set_off_by_hand(due: str, credited: str, before: str, moved: str | None):
    expected = {} if moved is None else {BorneBy.COORDINATOR: D(moved)}
    assert set_off(D(due), [Credited(BorneBy.COORDINATOR, D(credited), D(before))]) == expected


def test_a_supplier_relieves_ceilings_and_the_coordinator_only_the_budget():
    amounts = [(line("1", "2.50").key, D("-2.50"))]
    every = [(Level.AWARD, "2/BETA"), (Level.CONTRACT, "small"), (Level.INSTITUTION, "EP"), (Level.LOT, "2")]
    assert relieved(small(), amounts, supplier=True) == {CeilingKey(*each): D("-2.50") for each in every}
    assert relieved(small(), amounts, supplier=False) == {CeilingKey(Level.INSTITUTION, "EP"): D("-2.50")}


def correcting(lines: list[Line], left: Decimal, *, percent: str = "21") -> Document:
    """Return the document that takes lines back from what is left of an invoice of the Parliament's."""
    contract = small()
    parliament = contract.institutions["EP"]
    assert parliament.buyer is not None
    assert parliament.buyer.tax is not None
    buyer = replace(parliament.buyer, tax=replace(parliament.buyer.tax, percent=D(percent)))
    contract = replace(contract, institutions={**contract.institutions, "EP": replace(parliament, buyer=buyer)})
    why = Correcting((Preceding("SMALL-2016-000007", ISSUED, left),), "It stood still", left=left)
    statement = Statement("EP", MARCH, tuple(turned(each) for each in lines))
    found = document(contract, contract, Issued("SMALL-2016-000008", ISSUED, statement, {}, D(0), correcting=why))
    assert isinstance(found, Document)
    return found


@given(st.lists(AMOUNTS, min_size=1, max_size=8), st.integers(0, 25))
def test_taken_back_in_parts_an_invoice_comes_to_what_it_was_with_its_vat(amounts: list[Decimal], percent: int):
    lines = [line("1", each) for each in amounts]
    left, parts = total(amounts), []
    for each in lines:
        found = correcting([each], left, percent=str(percent))
        sign = -1 if found.kind is DocumentKind.INVOICE else 1
        parts.append((sign * found.totals.net, sign * found.totals.tax))
        left -= each.amount
    whole = correcting(lines, total(amounts), percent=str(percent))
    sign = -1 if whole.kind is DocumentKind.INVOICE else 1
    assert total(net for net, _ in parts) == sign * whole.totals.net
    assert total(tax for _, tax in parts) == sign * whole.totals.tax


def test_a_credit_note_is_the_invoice_with_its_signs_turned():
    lines = [line("150", "8.50"), line("-1", "-0.09", item="traffic", month="2016-02")]
    note, invoice = correcting(lines, D("8.41")), made(lines)
    assert (note.kind, note.due, note.spent, note.last) == (DocumentKind.CREDIT_NOTE, None, (), None)
    assert note.lines == invoice.lines
    assert note.totals == invoice.totals
    assert [each.number for each in note.preceding] == ["SMALL-2016-000007"]
    assert correcting([line("1", "0")], D(0)).kind is DocumentKind.CREDIT_NOTE, "even over nothing"
    assert correcting([line("-1", "-5")], D(3)).kind is DocumentKind.INVOICE, (
        "to take back less than nothing is to charge"
    )


def _contract(text: str) -> Contract:
    found = load(SMALL + text)
    assert isinstance(found, Contract), found
    return found


def test_numbers_begin_with_the_series_that_the_contract_says():
    for text, invoice, note in [
        ("", "SMALL-2016", "SMALL-2016"),
        ('[invoices]\nseries = "INV"\n', "INV-2016", "INV-2016"),
        ('[invoices]\ncredit_series = "CN"\n', "SMALL-2016", "CN-2016"),
    ]:
        contract = _contract(text)
        assert series_of(contract, MARCH, is_credit_note=False) == invoice
        assert series_of(contract, MARCH, is_credit_note=True) == note
    problems = load(SMALL + '[invoices]\nseries = "a/b"\ncredit = "CN"\n')
    assert isinstance(problems, list)
    assert [(each.place, each.found) for each in problems] == [
        ("invoices.series", "'a/b'"), ("invoices.credit", "an unknown key"),
    ]  # fmt: skip


def test_what_replaces_an_invoice_names_it_and_what_took_it_back():
    before = tuple(Preceding(f"SMALL-2016-00000{each}", date(2016, 4, each), D(8)) for each in (7, 8))
    contract = small()
    statement = Statement("EP", MARCH, (line("150", "8.50"),))
    why = Correcting(before, "L'adresse", replaces=True)
    found = document(contract, contract, Issued("SMALL-2016-000009", ISSUED, statement, {}, D(0), correcting=why))
    assert isinstance(found, Document)
    assert (found.kind, found.preceding, found.replaces) == (DocumentKind.INVOICE, before, True)
    assert found.due == date(2016, 5, 11)


def test_a_line_says_what_of_it_was_credited_before():
    contract, mine = small(), line("-100", "0", month="2016-02")
    statement = Statement("EP", MARCH, (mine, line("10", "0.60")))
    issued = Issued("SMALL-2016-000009", ISSUED, statement, {}, D(0), set_off={mine.key: D("5.504")})
    found = document(contract, contract, issued)
    assert isinstance(found, Document)
    assert [each.set_off for each in found.lines] == [D("5.50"), D(0)]
    assert "5.50" in dict(attributes(found.lines[0])).values()
    assert as_csv(found).decode().splitlines()[0].split(",").index("set_off") > 0
