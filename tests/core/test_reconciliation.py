"""What is invoiced beside what is expected: every cent of the difference has its reason, and nothing is guessed."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.contract.money import total
from services.reconciliation.identify import identify
from services.reconciliation.mapping import Names
from services.reconciliation.missing import lacking, missing
from services.reconciliation.model import (
    FINE,
    Category,
    Claim,
    Expectation,
    InvoiceError,
    SupplierDocument,
    SupplierLine,
    Tolerance,
)
from services.reconciliation.quantities import factor
from services.reconciliation.table import read_csv
from tests.documents import line
from tests.reconciliation import ALL, BOOKS, books, categories, charged, exported, identified, invoice, reconciled

D = Decimal
CENTS = st.integers(-99_999, 99_999).map(lambda cents: D(cents).scaleb(-2))
LINES = st.lists(
    st.builds(
        charged,
        st.sampled_from(["vm", "traffic", "disk", "unheard-of"]),
        st.decimals(-1000, 1000, places=3).map(str),
        CENTS.map(str),
        month=st.sampled_from(["2016-03", "2016-02", ""]),
        whose=st.sampled_from([(), ("EP",), ("EDA",), ("EC/DIGIT",)]),
    ),
    min_size=1,
    max_size=6,
).map(lambda lines: [replace(each, place=f"line {number}") for number, each in enumerate(lines)])


@given(LINES)
def test_the_parts_add_up_to_invoiced_less_expected(lines: list[SupplierLine]):
    found = reconciled(invoice(*lines))  # asserts it of each row and of the whole
    assert found.invoiced == total(each.net for each in lines)
    assert found.expected == D("15.93")


@given(LINES, st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_nothing(lines: list[SupplierLine], random):
    shuffled = list(lines)
    random.shuffle(shuffled)
    assert reconciled(invoice(*lines)).rows == reconciled(invoice(*shuffled)).rows


@given(LINES, st.data())
def test_splitting_a_line_changes_nothing(lines: list[SupplierLine], data):
    one = data.draw(st.integers(0, len(lines) - 1))
    part, quantity = data.draw(CENTS), data.draw(st.decimals(-1000, 1000, places=2))
    split = lines[one]
    halves = [
        replace(split, net=part, quantity=quantity),
        replace(split, net=split.net - part, quantity=split.quantity - quantity, place="line 99"),
    ]
    before, after = reconciled(invoice(*lines)), reconciled(invoice(*lines[:one], *halves, *lines[one + 1 :]))
    assume(Category.TWICE not in {row.category for row in (*before.rows, *after.rows)})
    amounts = [
        [(row.key, row.institution, row.invoiced, row.expected, row.invoiced_quantity) for row in sorted(found.rows, key=lambda row: (row.key, row.institution, row.department))]
        for found in (before, after)
    ]  # fmt: skip
    assert amounts[0] == amounts[1]
    if not {Category.ROUNDING} & (before.parts.keys() | after.parts.keys()):  # more lines may come to more rounding
        assert before.parts == after.parts


@given(st.lists(st.tuples(st.sampled_from(["vm", "traffic", "disk"]), st.decimals(-1000, 1000, places=5), st.decimals(-1000, 1000, places=9)), min_size=1, max_size=8))  # fmt: skip
def test_what_is_expected_invoiced_as_it_is_agrees(used: list[tuple[str, Decimal, Decimal]]):
    lines = [line(quantity, exact, item=item) for item, quantity, exact in used]
    assume(any(each.quantity or each.exact for each in lines))
    (document,) = read_csv(exported(lines=lines), "BETA.csv", Names())
    found = reconciled(document, expectation=books(lines))
    assert found.agrees
    assert {row.category for row in found.rows} <= {Category.AGREES}


def test_an_invoice_that_agrees():
    found = reconciled(invoice(*ALL))
    assert found.agrees
    assert (found.invoiced, found.expected, found.parts) == (D("15.93"), D("15.93"), {})
    assert set(categories(found).values()) == {Category.AGREES}


@pytest.mark.parametrize(
    ("changed", "category", "parts"),
    [
        (charged("vm", "210", "12.61"), Category.PRICE, {Category.PRICE: D("0.50")}),
        (charged("vm", "420", "24.21"), Category.QUANTITY, {Category.QUANTITY: D("12.11"), Category.ROUNDING: D("-0.01")}),
        (charged("vm", "420", "26.00"), Category.BOTH, {Category.QUANTITY: D("12.11"), Category.PRICE: D("1.78")}),
        (charged("vm", "210", "12.12"), Category.ROUNDING, {Category.ROUNDING: D("0.01")}),
        (charged("vm", "210", "12.13"), Category.PRICE, {Category.PRICE: D("0.02")}),
    ],
)  # fmt: skip
def test_prices_and_quantities_that_differ_are_told_apart(changed, category, parts):
    found = reconciled(invoice(changed, *ALL[1:]))
    assert categories(found)["vm"] is category
    assert found.parts == parts
    assert found.rows[0].key.item == "vm", "what needs attention comes first" if category not in FINE else ""


def test_what_only_one_side_has():
    found = reconciled(
        invoice(charged("vm", "210", "12.11"), charged("big", "1", "500"), charged("vm", "1", "7", month="2016-01"))
    )
    assert categories(found) == {
        "": Category.UNKNOWN_ITEM,
        "traffic": Category.NOT_INVOICED,
        "disk": Category.NOT_INVOICED,
        "vm 2016-02": Category.NOT_INVOICED,
        "vm 2016-01": Category.NOT_METERED,
        "vm": Category.AGREES,
    }
    assert found.parts == {
        Category.UNKNOWN_ITEM: D(500), Category.NOT_METERED: D(7), Category.NOT_INVOICED: D("-3.82"),
    }  # fmt: skip


def test_a_tolerance_of_amount_or_per_cent():
    dear = invoice(charged("vm", "210", "12.15"), *ALL[1:])
    assert not reconciled(dear).agrees
    for tolerance in (Tolerance(amount=D("0.04")), Tolerance(amount_percent=D("0.5"))):
        found = reconciled(dear, tolerance=tolerance)
        assert found.agrees
        assert found.parts == {Category.TOLERATED: D("0.04")}
    assert not reconciled(dear, tolerance=Tolerance(amount=D("0.03"))).agrees
    more = invoice(charged("vm", "211", "12.11"), *ALL[1:])
    assert not reconciled(more).agrees
    assert reconciled(more, tolerance=Tolerance(quantity=D(1))).agrees
    assert reconciled(more, tolerance=Tolerance(quantity_percent=D("0.5"))).agrees
    assert not reconciled(more, tolerance=Tolerance(quantity=D("0.9"))).agrees


def test_many_lines_of_one_item_are_one():
    lines = [charged("vm", "100", "6.00", "1"), charged("vm", "60", "3.60", "2"), charged("vm", "50", "2.51", "9")]
    assert reconciled(invoice(*lines, *ALL[1:])).agrees


def test_where_all_lines_say_who_used_they_are_compared_by_institution():
    lines = [charged("vm", "60", "3.60", "1", whose=("EP",)), charged("vm", "150", "8.51", "2", whose=("EDA",))]
    found = reconciled(invoice(*lines, *ALL[1:]))
    assert categories(found)["vmEP"] is Category.BOTH
    assert categories(found)["vmEDA"] is Category.QUANTITY
    assert found.invoiced == found.expected, "though nothing is missing in all"
    nameless = [lines[0], replace(lines[1], whose=())]
    assert reconciled(invoice(*nameless, *ALL[1:])).agrees, "compared for all, as one of them does not say it"


def test_an_invoice_for_one_institution_is_compared_with_its_own():
    found = reconciled(invoice(charged("vm", "150", "8.51"), charged("traffic", "33.333333333333333333", "3.00"),
                               ALL[3], buyers=("EP-7", "European Parliament")))  # fmt: skip
    assert found.agrees
    assert {row.institution for row in found.rows} == {"EP"}
    department = reconciled(invoice(charged("disk", "10", "1.00"), buyers=("IT.DIGIT",)))
    assert [(row.institution, row.department, row.category) for row in department.rows] == [
        ("EC", "DIGIT", Category.AGREES)
    ]


def test_the_same_line_twice_is_told():
    found = reconciled(invoice(*ALL, replace(ALL[0], place="line 9")))
    assert categories(found)["vm"] is Category.TWICE
    assert found.parts == {Category.TWICE: D("12.11")}
    assert found.rows[0].notes == ("the same as on B-1 line 1",)


def test_two_halves_that_look_alike_are_not_twice():
    halves = [charged("disk", "5", "0.50", "7"), charged("disk", "5", "0.50", "8")]
    assert reconciled(invoice(*ALL[:2], ALL[3], *halves)).agrees


def test_a_second_invoice_for_what_was_invoiced_is_told():
    (first,) = identified(invoice(*ALL))
    earlier = [replace(claim, is_earlier=True) for claim in first.claims]
    again = reconciled(invoice(charged("vm", "209", "12.00"), number="B-2"), earlier=earlier)
    assert categories(again)["vm"] is Category.TWICE
    assert again.parts == {Category.TWICE: D("12.00")}
    assert again.rows[0].notes == ("invoiced before on B-1",)
    rest = [claim for claim in earlier if claim.key.item != "vm" or claim.key.month != "2016-03"]
    assert reconciled(invoice(charged("vm", "210", "12.11"), number="B-2"), earlier=rest).agrees, "the part that lacked"


def test_a_second_invoice_at_a_wrong_price_is_told_too():
    (first,) = identified(invoice(charged("vm", "210", "15.00"), *ALL[1:]))
    earlier = [replace(claim, is_earlier=True) for claim in first.claims]
    again = reconciled(invoice(charged("vm", "210", "15.00"), number="B-2"), earlier=earlier)
    assert again.parts == {Category.TWICE: D("15.00"), Category.PRICE: D("2.89")}


def test_a_credit_note_takes_back_what_was_too_much():
    (first,) = identified(invoice(charged("vm", "310", "17.11"), *ALL[1:]))
    earlier = [replace(claim, is_earlier=True) for claim in first.claims]
    assert not reconciled(invoice(*ALL[1:2], number="X"), earlier=earlier).agrees
    assert reconciled(invoice(charged("vm", "-100", "-5.00"), number="C-1", is_credit=True), earlier=earlier).agrees


def test_a_discount_on_the_whole_document_is_a_row_of_its_own():
    discount = SupplierLine("document's 1", "Volume rebate", D("-1.50"), is_whole=True)
    found = reconciled(invoice(*ALL, discount))
    assert not found.agrees
    assert found.parts == {Category.ON_DOCUMENT: D("-1.50")}
    assert (found.rows[0].name, found.rows[0].key.award) == ("Volume rebate", "2/BETA")


@pytest.mark.parametrize(
    ("quantity", "unit", "note"),
    [
        ("756000", "SEC", "SEC turned into hour"),
        ("8.75", "DAY", "DAY turned into hour"),
        ("210", "HUR", ""),
        ("210", "C62", "the unit says nothing, taken for hour"),
        ("1", "C62", "invoiced as a whole, so its quantity is not compared"),
        ("3", "KGM", "'KGM' can't be turned into hour, so the quantity is not compared"),
    ],
)
def test_units_of_another_scale(quantity: str, unit: str, note: str):
    found = reconciled(invoice(charged("vm", quantity, "12.11", unit=unit), *ALL[1:]))
    assert found.agrees
    (row,) = (row for row in found.rows if (row.key.item, row.key.month) == ("vm", "2016-03"))
    assert row.notes == ((note,) if note else ())
    assert row.invoiced_quantity in {None, Fraction(210)}


def test_a_quantity_in_the_wrong_scale_is_recognised():
    found = reconciled(invoice(charged("vm", "756000", "12.11"), *ALL[1:]))
    assert categories(found)["vm"] is Category.BOTH
    assert "the quantity looks like seconds for hours" in found.rows[0].notes


@pytest.mark.parametrize(
    ("unit", "wanted", "size"),
    [
        ("TB", "GB", 1000), ("E35", "GB", 1000), ("E34", "GiB", Fraction(10**9, 2**30)), ("TiB", "GiB", 1024),
        ("MIO", "million messages", 1), ("C62", "million requests", Fraction(1, 10**6)), ("GiB-hour", "GiB-hour", 1),
        ("TiB-hour", "GiB-hour", 1024), ("GB-day", "GB-hour", 24), ("HUR", "vCPU-hour", 1), ("GiB", "GiB-hour", None),
        ("Stunden", "hour", 1), ("jours", "hour", 24), ("GiB-month", "GiB-hour", None), ("EUR", "EUR", 1), ("kWh", "hour", None),
    ],
)  # fmt: skip
def test_factors_between_units(unit: str, wanted: str, size: Fraction | int | None):
    assert factor(unit, wanted) == size


def test_an_item_by_its_name_is_noted_and_what_is_like_one_is_only_suggested():
    named = replace(ALL[0], codes=("SKU-1",), name="virtual machine")
    found = reconciled(invoice(named, *ALL[1:]))
    assert found.agrees
    assert any("taken for vm by its name" in note for row in found.rows for note in row.notes)
    unknown = reconciled(invoice(replace(ALL[0], codes=("trafic",), name="Outgoing trafic"), *ALL[1:]))
    assert categories(unknown)[""] is Category.UNKNOWN_ITEM
    (row,) = (row for row in unknown.rows if not row.key.item)
    assert "most like traffic" in row.notes[0]
    mapped = reconciled(invoice(replace(ALL[0], codes=("SKU-1",)), *ALL[1:]), names=Names(items={"SKU-1": "vm"}))
    assert mapped.agrees


def test_amounts_that_hold_vat_are_suspected():
    found = reconciled(invoice(*(replace(each, net=(each.net * D("1.2")).quantize(D("0.01"))) for each in ALL)))
    assert any("+20 %" in note for note in found.notes)


def test_whose_invoice_it_is():
    assert identified(invoice(*ALL, sellers=("BETA CONSORTIUM.",)))[0].awards == {"2/BETA"}
    alpha = {"sellers": ("BE0999901140",), "references": ("SMALL/2",)}
    assert identified(invoice(charged("vm", "1", "1"), **alpha))[0].awards == {"2/ALPHA"}
    by_lot = {"sellers": ("BE 0999.901.140",), "references": ("Framework, Lot 1",)}
    assert identified(invoice(charged("vm", "1", "1"), **by_lot))[0].awards == {"1/ALPHA"}
    with pytest.raises(InvoiceError, match=r"1/ALPHA or 2/ALPHA.*wanted --award"):
        identified(invoice(charged("vm", "1", "1"), sellers=("Alpha SA",)))
    with pytest.raises(InvoiceError, match="seller is Gamma; wanted a supplier of the contract"):
        identified(invoice(charged("vm", "1", "1"), sellers=("Gamma",)))


def test_a_seller_that_is_not_the_awards_supplier_is_a_problem():
    named = replace(ALL[0], award="2/BETA")
    for sellers, wanted in (
        (("Nobody Evil Ltd",), "the seller is Nobody Evil Ltd; 2/BETA is BETA's, who is not known by that"),
        (("Alpha SA",), "the seller Alpha SA is ALPHA, and 2/BETA is BETA's"),
        (("BE0999901140", "Beta consortium"), "the seller BE0999901140 is ALPHA, and 2/BETA is BETA's"),
    ):
        found = reconciled(invoice(named, *(replace(each, award="2/BETA") for each in ALL[1:]), sellers=sellers))
        assert not found.agrees, sellers
        assert [each for each in found.problems if wanted in each], found.problems
    assert reconciled(invoice(*(replace(each, award="2/BETA") for each in ALL), sellers=())).agrees, "it names nobody"


def test_another_vat_id_than_the_suppliers_is_a_problem_whatever_else_is_right():
    alpha = charged("vm", "10", "0.50")
    document = invoice(alpha, sellers=("BE0203201340", "Alpha SA"), vat_ids=("BE0203201340",), references=("SMALL/2",))
    found = reconciled(document)
    assert "the seller's VAT id is BE0203201340, and that of ALPHA, whose 2/ALPHA is, BE0999901140" in found.problems[0]
    both = replace(document, sellers=("BE 0999.901.140", "DE812345", "Alpha"), vat_ids=("BE 0999.901.140", "DE812345"))
    assert reconciled(both).agrees, "a second registration beside the right one is none"
    other = invoice(alpha, sellers=("Beta consortium", "BE0999901140"), references=("2/ALPHA",))
    assert "the seller Beta consortium is BETA, and 2/ALPHA is ALPHA's" in reconciled(other).problems[0]


def test_an_award_that_is_given_takes_an_unknown_name_but_no_contradiction():
    document = invoice(*ALL, sellers=("Beta Cloud SAS",))
    (given,) = [identify(books(), document, award="2/BETA")]
    assert given.problems == ()
    assert given.notes == (
        "B-1: the seller is Beta Cloud SAS; 2/BETA is BETA's, who is not known by that, and is taken for it, as --award says",
    )  # fmt: skip
    assert identify(books(), replace(document, sellers=("ALPHA",)), award="2/beta").problems


def test_a_foreign_currency_is_that_of_its_prices_or_refused():
    expectation = books()
    lines = tuple(
        replace(each, currency="USD", in_currency=each.exact * 2) if each.item == "traffic" else each
        for each in expectation.lines
    )
    dollars = replace(expectation, lines=lines)
    found = reconciled(
        invoice(charged("traffic", "33.333333333333333333", "6.01"), currency="USD"), expectation=dollars
    )
    assert found.agrees
    assert found.currency == "USD"
    assert found.notes == ("4 expected lines are not priced in USD: another invoice has to have them",)
    with pytest.raises(InvoiceError, match="found an invoice in GBP; wanted one in EUR or USD"):
        reconciled(invoice(*ALL, currency="GBP"), expectation=dollars)


DOLLARS = replace(
    books(),
    lines=tuple(
        replace(each, currency="USD", in_currency=each.exact * D("1.1")) if each.award == "2/BETA" else each
        for each in books().lines
    ),
)
"""The books of an award with prices in dollars, 1.10 of which a euro buys."""


def before(*documents: SupplierDocument, expectation: Expectation = DOLLARS) -> list[Claim]:
    """Return what documents claim, as it is on record."""
    return [
        replace(claim, is_earlier=True, currency=each.document.currency)
        for each in identified(*documents, expectation=expectation)
        for claim in each.claims
    ]


def in_dollars(line: SupplierLine) -> SupplierLine:
    return replace(line, net=(line.net * D("1.1")).quantize(D("0.01"), ROUND_HALF_UP))


def test_what_was_invoiced_in_another_currency_is_invoiced_twice():
    euros = invoice(*ALL, number="E-1")
    dollars = invoice(*map(in_dollars, ALL), number="D-1", currency="USD")
    assert reconciled(euros, expectation=DOLLARS).agrees
    assert reconciled(dollars, expectation=DOLLARS).agrees
    for first, second in ((euros, dollars), (dollars, euros)):
        found = reconciled(replace(second, number="X-2"), expectation=DOLLARS, earlier=before(first))
        assert set(categories(found).values()) == {Category.TWICE}
        assert set(found.parts) <= {Category.TWICE, *FINE}
        assert f"invoiced before on {first.number}" in found.rows[0].notes
    (vm, *_) = found.rows
    assert vm.notes[-1] == "D-1 invoiced 13.32 USD: 12.11 EUR at the contract's rate"


def test_what_was_invoiced_twice_is_told_at_a_rate_that_makes_much_of_a_cent():
    many = replace(DOLLARS, lines=tuple(
        replace(each, in_currency=each.exact * 17000) if each.currency else each for each in DOLLARS.lines
    ))  # fmt: skip
    vm = charged("vm", "210", "205785.00")  # 12.105 x 17000
    found = reconciled(
        invoice(vm, number="D-1", currency="USD"), expectation=many, earlier=before(invoice(ALL[0]), expectation=many)
    )
    assert categories(found)["vm"] is Category.TWICE


def test_parts_of_a_month_in_two_currencies_come_to_the_whole():
    rest = invoice(*map(in_dollars, ALL[1:]), number="D-1", currency="USD")
    found = reconciled(rest, expectation=DOLLARS, earlier=before(invoice(ALL[0], number="E-1")))
    assert found.agrees, found.rows
    half = charged("vm", "105", "6.06")
    found = reconciled(invoice(in_dollars(charged("vm", "105", "6.05")), *map(in_dollars, ALL[1:]), number="D-1", currency="USD"),
                       expectation=DOLLARS, earlier=before(invoice(half, number="E-1")))  # fmt: skip
    assert found.agrees, found.rows


def test_an_item_that_is_priced_in_one_currency_alone_is_not_compared_in_the_other():
    mixed = replace(DOLLARS, lines=tuple(
        replace(each, currency="", in_currency=D(0)) if each.item == "vm" else each for each in DOLLARS.lines
    ))  # fmt: skip
    earlier = before(invoice(ALL[0], ALL[3], number="E-1"), expectation=mixed)
    found = reconciled(invoice(*map(in_dollars, ALL[1:3]), currency="USD"), expectation=mixed, earlier=earlier)
    assert found.agrees
    assert {row.key.item for row in found.rows} == {"traffic", "disk"}
    halves = replace(DOLLARS, lines=(
        *DOLLARS.lines, *(replace(each, tariff="old", currency="", in_currency=D(0)) for each in DOLLARS.lines if each.item == "disk")
    ))  # fmt: skip
    own = before(invoice(charged("disk", "10", "1.00"), number="E-1"), expectation=halves)
    found = reconciled(invoice(*map(in_dollars, ALL), currency="USD"), expectation=halves, earlier=own)
    assert found.agrees, "the euros were for the part that only they can invoice"


def test_what_has_no_rate_is_a_problem():
    claims = [replace(claim, currency="JPY") for claim in before(invoice(ALL[0], number="J-1"))]
    found = reconciled(invoice(*ALL), expectation=DOLLARS, earlier=claims)
    assert found.problems == ("J-1 line 1: 12.11 JPY, invoiced before, do not count: no rate to EUR is known",)


@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=6), CENTS, st.decimals("0.001", 10000, places=3))
def test_parts_add_up_beside_other_currencies(lines: list[SupplierLine], cents: Decimal, rate: Decimal):
    lines_at = tuple(replace(each, in_currency=each.exact * rate) if each.currency else each for each in DOLLARS.lines)
    at_rate = replace(DOLLARS, lines=lines_at)
    mine = invoice(*lines, replace(ALL[0], net=cents), number="D-1", currency="USD")
    assert not reconciled(invoice(*ALL), expectation=at_rate, earlier=before(mine, expectation=at_rate)).problems


def test_a_credit_note_is_not_named_among_what_invoiced_before():
    first = invoice(*ALL, number="B-77")
    credit = invoice(*(replace(each, net=-each.net, quantity=-each.quantity) for each in ALL), number="B-90")
    again = invoice(*ALL, number="B-91")
    found = reconciled(invoice(*ALL, number="B-92"), earlier=before(first, credit, again, expectation=books()))
    assert found.rows[0].notes == ("invoiced before on B-77, B-91; credited on B-90",)


def test_what_nobody_has_invoiced():
    alpha, beta = missing(books(), [])
    assert (alpha.award, alpha.documents, alpha.expected, alpha.missing) == ("2/ALPHA", (), D("0.50"), D("0.50"))
    assert (beta.supplier, beta.missing, beta.invoiced) == ("Beta consortium", D("15.93"), D(0))
    kept = before(invoice(charged("vm", "210", "99.00"), charged("traffic", "20", "1.80"), ALL[2]), expectation=books())
    (_, beta) = missing(books(), kept)
    assert {(row.key.item, row.key.month): lacking(row) for row in beta.rows} == {
        ("traffic", "2016-03"): D("1.20"), ("vm", "2016-02"): D("-0.18"),
    }, "a price that differs does not lack"  # fmt: skip
    assert (beta.documents, beta.missing) == (("B-1",), D("1.02"))
    assert [each.award for each in missing(books(), before(invoice(*ALL), expectation=books()))] == ["2/ALPHA"]
    dollars = before(invoice(*map(in_dollars, ALL), number="D-1", currency="USD"))
    assert [each.award for each in missing(DOLLARS, dollars)] == ["2/ALPHA"]


def test_what_was_invoiced_as_a_whole_lacks_by_its_amount():
    whole = before(invoice(replace(ALL[0], quantity=D(1), unit="C62", net=D("10.11")), *ALL[1:]), expectation=books())
    (_, beta) = missing(books(), whole)
    assert beta.missing == D("2.00")
    rounded = before(invoice(replace(ALL[0], quantity=D(1), unit="C62", net=D("12.10")), *ALL[1:]), expectation=books())
    assert [each.award for each in missing(books(), rounded)] == ["2/ALPHA"], "a cent of rounding does not lack"


def test_unknown_words_of_a_mapping_are_refused():
    with pytest.raises(InvoiceError, match="the mapping's items: SKU-1: found 'nix'"):
        reconciled(invoice(replace(ALL[0], codes=("SKU-1",))), names=Names(items={"SKU-1": "nix"}))
    with pytest.raises(InvoiceError, match="the mapping's institutions: Parl: found 'XX'"):
        reconciled(invoice(replace(ALL[0], whose=("Parl",))), names=Names(institutions={"Parl": "XX"}))


def test_books_of_two_awards_are_kept_apart():
    assert {each.award for each in books(BOOKS).lines} == {"2/BETA", "2/ALPHA"}
    assert {row.key.award for row in reconciled(invoice(*ALL)).rows} == {"2/BETA"}


def test_a_quantity_is_priced_by_the_tiers_it_reaches():
    tiered = books([line("1500", "125", item="traffic", institution="EP")])  # 1000 x 0.09 + 500 x 0.07
    found = reconciled(invoice(charged("traffic", "1600", "132")), expectation=tiered)
    assert found.parts == {Category.QUANTITY: D(7)}, "at 0.07, not at the average"
    dear = reconciled(invoice(charged("traffic", "1600", "144")), expectation=tiered)
    assert dear.parts == {Category.QUANTITY: D(7), Category.PRICE: D(12)}
    apart = books([line("100", "6", institution="EP"), line("100", "6", institution="EDA")])  # each its own tiers
    assert reconciled(invoice(charged("vm", "220", "13.20")), expectation=apart).parts == {Category.QUANTITY: D("1.20")}


def test_earlier_documents_that_do_not_say_who_used_are_not_overlooked():
    (first,) = identified(invoice(*ALL))
    earlier = [replace(claim, is_earlier=True) for claim in first.claims]
    second = invoice(charged("traffic", "33.333333333333333333", "3.00"), number="B-2", buyers=("EP-7",))
    found = reconciled(second, earlier=earlier)
    assert found.parts == {Category.TWICE: D("3.00")}
    assert "earlier documents do not say who used" in found.notes[0]


def test_amounts_and_quantities_of_all_digits_are_exact():
    huge = charged("vm", "999999999999999999.123456789", "999999999999999999.99")
    found = reconciled(invoice(huge, *ALL[1:]))
    assert found.invoiced == D("1000000000000000003.81")
    assert total(found.parts.values()) == D("999999999999999987.88")


def test_a_credit_note_for_what_agreed_is_not_taken_for_a_second_invoice():
    (first,) = identified(invoice(*ALL))
    earlier = [replace(claim, is_earlier=True) for claim in first.claims]
    back, again = charged("vm", "-210", "-12.11"), charged("vm", "210", "12.11")
    credit = invoice(back, number="C-1", is_credit=True)
    assert reconciled(credit, earlier=earlier).parts == {Category.QUANTITY: D("-12.11")}
    assert reconciled(credit, invoice(again, number="B-2"), earlier=earlier).agrees


def test_a_quantity_of_fewer_decimals_is_the_same_while_it_is_worth_no_cent():
    assert reconciled(invoice(charged("traffic", "33.33", "3.00"), *ALL[:1], *ALL[2:])).agrees
    more = reconciled(invoice(charged("traffic", "33", "3.00"), *ALL[:1], *ALL[2:]))
    assert categories(more)["traffic"] is Category.BOTH, "a hundredth is worth 3 cents"
    free = books([line("100", "0", item="disk")])
    found = reconciled(invoice(charged("disk", "200", "0")), expectation=free)
    assert categories(found)["disk"] is Category.QUANTITY, "though it costs nothing"
