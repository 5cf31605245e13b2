"""An invoice as a document: its laws for any lines, and what it lacks."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.money import multiply, quotient, round_half_up, total
from services.contract.parties import Identifier, Tax, TaxCategory
from services.documents.lacking import lacking
from services.documents.make import document
from services.documents.model import DocumentKind, Preceding
from services.documents.quote import Quote, quote
from tests.documents import issued, line, made, small

EP = "institutions[EP].party"
D = Decimal


@st.composite
def _numbers(draw: st.DrawFn, digits: int, decimals: int) -> Decimal:
    scale = draw(st.integers(0, decimals))
    return Decimal(draw(st.integers(-(10**digits), 10**digits))).scaleb(-scale)


AMOUNTS = _numbers(15, 27) | st.sampled_from([D(0), D("999999999999999.99"), D("-999999999999999.99"), D("0.005")])
QUANTITIES = _numbers(15, 15) | st.sampled_from([D(0), D("1e-27"), D("999999999999999.999999999999999")])


@given(st.lists(st.tuples(QUANTITIES, AMOUNTS), min_size=1, max_size=20))
def test_totals_add_up_and_every_line_is_its_quantity_at_its_price(lines: list[tuple[Decimal, Decimal]]):
    found = made([line(*each) for each in lines])
    sign = -1 if found.kind is DocumentKind.CREDIT_NOTE else 1
    assert found.totals.net == total(each.net for each in found.lines)
    assert found.totals.net == sign * total(round_half_up(exact, 2) for _, exact in lines)
    assert found.totals.net >= 0
    assert found.totals.tax == round_half_up(multiply(found.totals.net, D("0.21")), 2)
    assert found.totals.payable == found.totals.net + found.totals.tax
    for each in found.lines:
        assert each.quote.price >= 0
        assert each.quote.base > 0
        came_to = quotient(multiply(each.quote.quantity, each.quote.price), each.quote.base)
        assert abs(came_to - each.net) <= D("0.02")


@given(QUANTITIES, AMOUNTS, st.sampled_from([0, 2]))
def test_a_price_is_that_of_a_unit_in_any_currency(quantity: Decimal, exact: Decimal, digits: int):
    net = round_half_up(exact, digits)
    found = quote(quantity, exact, net)
    assert found.price >= 0
    priced = quotient(multiply(found.quantity, found.price), found.base)
    assert priced == exact or abs(priced - net) <= D("0.02")
    assert found.is_lump or found.quantity == quantity


@pytest.mark.parametrize(
    ("quantity", "exact", "expected"),
    [
        ("150", "2.97", Quote(D(150), D("0.0198"), D(1))),
        ("150", "8.50", Quote(D(150), D("0.056667"), D(1))),  # tiers: the average
        ("0", "12.34", Quote(D(1), D("12.34"), D(1), is_lump=True)),  # a price that was put right
        ("0", "-12.34", Quote(D(-1), D("12.34"), D(1), is_lump=True)),
        ("5", "-1.00", Quote(D(-1), D("1.00"), D(1), is_lump=True)),
        ("-5", "-1.00", Quote(D(-5), D("0.2"), D(1))),
        ("500", "0", Quote(D(500), D(0), D(1))),  # free units
    ],
)
def test_prices_by_hand(quantity: str, exact: str, expected: Quote):
    assert quote(D(quantity), D(exact), round_half_up(D(exact), 2)) == expected


def test_less_than_nothing_is_a_credit_note_with_all_signs_turned():
    found = made([line("-100", "-6"), line("10", "0.60")])
    assert found.kind is DocumentKind.CREDIT_NOTE
    assert [each.net for each in found.lines] == [D(6), D("-0.60")]
    assert [each.quote.quantity for each in found.lines] == [D(100), D(-10)]
    assert found.totals.payable == D("6.53")  # 5.40 and 21 %
    assert found.due is None


def test_a_line_says_whose_it_is_which_pool_and_which_month():
    early = Preceding("SMALL-2016-000001", date(2016, 3, 11), D("12.30"))
    found = made(
        [
            line("1", "0.06", institution="EC", department="DIGIT", pool="mail"),
            line("1", "0.06", institution="EC", department="DIGIT", pool="desk", month="2016-02"),
            line("1", "0.06", institution="EC", pool="backup"),
        ],
        institution="EC",
        m2016_02=early,
        m2016_01=Preceding("SMALL-2016-000000", date(2016, 2, 11), D("12.30")),
    )
    shares = [each.pool and (each.pool.code, each.pool.key, each.pool.weight) for each in found.lines]
    assert shares == [("mail", "weights", "0.2"), ("desk", "equal", "1/3"), ("backup", "proportional", "")]
    assert [each.month for each in found.lines] == ["", "2016-02", ""]
    assert [each.accounting_cost for each in found.lines] == ["IT.DIGIT", "IT.DIGIT", ""]
    assert found.preceding == (early,), "only what is adjusted"
    assert found.last == early, "the month before"
    assert [each.month for each in found.months] == ["2016-01", "2016-02", "2016-03"]
    assert [each.total for each in found.months] == [D("12.30"), D("12.30"), D("0.18")]
    assert (found.period_starts, found.period_ends, found.due) == (
        date(2016, 3, 1),
        date(2016, 3, 31),
        date(2016, 5, 11),
    )


def _lacks(**changes: object) -> list[tuple[str, str]]:
    """Return where something lacks and what was found there, with changes to the Parliament as it is invoiced."""
    contract = small()
    parliament = contract.institutions["EP"]
    assert parliament.buyer is not None
    for_party = {name: changes.pop(name) for name in ("address", "endpoint", "vat_id") if name in changes}
    buyer = replace(parliament.buyer, party=replace(parliament.buyer.party, **for_party), **changes)
    institutions = {**contract.institutions, "EP": replace(parliament, buyer=buyer)}
    found = lacking(replace(contract, institutions=institutions), "EP", date(2016, 3, 1), date(2016, 3, 31))
    return [(each.place, each.found) for each in found]


def _exempt(certificate: str = "15.10", since: date | None = date(2016, 1, 1), until: date | None = None) -> Tax:
    return Tax(TaxCategory.EXEMPT, D(0), certificate, since, until)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"address": None}, [(f"{EP}.address", "nothing")]),
        ({"endpoint": None, "tax": None}, [(f"{EP}.endpoint", "nothing"), (f"{EP}.tax", "nothing")]),
        ({"buyer_reference": ""}, [(f"{EP}.buyer_reference", "nothing")]),
        ({"buyer_reference": "", "order_reference": "SC-1"}, []),
        ({"tax": Tax(TaxCategory.REVERSE_CHARGE, D(0))}, [(f"{EP}.vat_id", "nothing")]),
        ({"tax": Tax(TaxCategory.REVERSE_CHARGE, D(0)), "vat_id": "LU99990022"}, []),
        ({"tax": _exempt()}, []),
        ({"tax": _exempt(certificate="")}, [(f"{EP}.tax.certificate", "nothing")]),
        ({"tax": _exempt(since=None)}, [(f"{EP}.tax.valid_from", "nothing")]),
        ({"tax": _exempt(since=date(2016, 3, 2))}, [(f"{EP}.tax.valid_from", "2016-03-02")]),
        ({"tax": _exempt(until=date(2016, 3, 30))}, [(f"{EP}.tax.valid_until", "2016-03-30")]),
        ({"tax": _exempt(until=date(2016, 3, 31))}, []),
    ],
)
def test_what_an_invoice_lacks_is_named_by_its_place(changes: dict[str, object], expected: list[tuple[str, str]]):
    assert _lacks(**changes) == expected


def test_what_the_seller_or_the_contract_lacks():
    contract = small()
    days = (date(2016, 3, 1), date(2016, 3, 31))
    places = [each.place for each in lacking(replace(contract, coordinator=None), "EDA", *days)]
    assert places == ["coordinator", "institutions[EDA].party"]
    assert contract.coordinator is not None
    party = replace(
        contract.coordinator.party, vat_id="", registered=None, address=None, endpoint=Identifier("0130", "X")
    )
    bare = replace(contract, coordinator=replace(contract.coordinator, party=party), currency="TND")
    assert [each.place for each in lacking(bare, "EP", *days)] == [
        "coordinator.address", "coordinator.vat_id",
    ]  # fmt: skip


def test_an_invoice_without_lines_is_none():
    contract = small()
    (problem,) = document(contract, contract, issued([]))
    found = "invoice SMALL-2016-000007: found 0 lines; wanted from 1 to 1000000, which is what a spreadsheet holds"
    assert str(problem) == found
