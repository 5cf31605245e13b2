"""A provider's own totals beside what was taken: compared exactly, as finely as it tells them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.money import total
from services.reconciliation.mapping import Names
from services.reconciliation.model import InvoiceError
from services.reconciliation.usage import Allowed, State, Taken, UsageKey, UsageRow, agree, compare, read_totals
from services.reconciliation.usage_record import Said, Standing
from tests.documents import MARCH, small

D = Decimal
SMALL = small()
TAKEN = {
    UsageKey("2", "vm", "EP"): Taken(D(150), D(0)),
    UsageKey("2", "vm", "EC/DIGIT"): Taken(D(40), D(4)),
    UsageKey("2", "vm", "EC/AGRI"): Taken(D(20), D(0)),
    UsageKey("2", "traffic", "pool/mail"): Taken(D("1.5"), D(0)),
}
SUBJECTS = st.sampled_from(["EP", "EDA", "EC", "EC/DIGIT", "pool/mail"])
KEYS = st.builds(UsageKey, st.just("2"), st.sampled_from(["vm", "traffic"]), SUBJECTS)
QUANTITIES = st.decimals(-1000, 1000, places=3)


def totals(text: str, names: Names | None = None) -> dict[UsageKey, Decimal]:
    return read_totals(text.encode(), "totals.csv", SMALL, "beta-north", MARCH, names or Names())


def states(rows: list[UsageRow]) -> dict[UsageKey, State]:
    return {row.key: row.state for row in rows}


def test_by_item_institution_or_department():
    for text in ("item,quantity\nvm,210\ntraffic,1.5", "item,subject,quantity\nvm,EP,150\nvm,EC,60\ntraffic,,1.5",
                 "item,subject,quantity\nvm,EP,150\nvm,EC/DIGIT,40\nvm,EC/AGRI,20\ntraffic,pool/mail,1.5"):  # fmt: skip
        rows = compare(SMALL, totals(text), TAKEN, {})
        assert agree(rows), text
        assert total(row.ours for row in rows) == D("211.5")
        assert total(row.late for row in rows) == D(4)


def test_what_differs_is_told_and_what_was_refused_stands_beside():
    theirs = totals("item,lot,quantity\nvm,2,260\nunheard,2,5\ndisk,2,0")
    refused = {(UsageKey("2", "vm", "EP"), "conflict"): D(30), (UsageKey("2", "vm", "EDA"), "too_late"): D(20)}
    rows = compare(SMALL, theirs, TAKEN, refused)
    assert states(rows) == {
        UsageKey("2", "vm", ""): State.DIFFERS,
        UsageKey("2", "unheard", ""): State.NOT_TAKEN,
        UsageKey("2", "disk", ""): State.AGREES,
        UsageKey("2", "traffic", ""): State.NOT_SENT,
    }
    (vm,) = (row for row in rows if row.key.item == "vm")
    assert (vm.difference, vm.refused) == (D(50), {"conflict": D(30), "too_late": D(20)})


def test_a_tolerance():
    theirs = totals("item,quantity\nvm,212\ntraffic,1.5")
    assert not agree(compare(SMALL, theirs, TAKEN, {}))
    assert agree(compare(SMALL, theirs, TAKEN, {}, Allowed(D(2))))
    assert agree(compare(SMALL, theirs, TAKEN, {}, Allowed(percent=D(1))))
    assert not agree(compare(SMALL, theirs, TAKEN, {}, Allowed(D("1.9"), D("0.5"))))


def test_units_and_names_are_the_providers():
    theirs = totals("sku;total;uom\nM1;756.000,0;SEC\ntraffic;1536;MiB\n", Names(items={"M1": "vm"}))
    assert theirs[UsageKey("2", "traffic", "")] == D("1.5")
    assert theirs[UsageKey("2", "vm", "")] == D(210)


@given(st.dictionaries(KEYS, QUANTITIES, min_size=1))
def test_what_was_taken_sent_as_it_is_agrees(sent: dict[UsageKey, Decimal]):
    taken = {key: Taken(quantity, D(0)) for key, quantity in sent.items()}
    whole = {(key.lot, key.item): total(each for one, each in sent.items() if one.item == key.item) for key in sent}
    assert agree(compare(SMALL, {UsageKey(*key, ""): quantity for key, quantity in whole.items()}, taken, {}))


@given(st.dictionaries(KEYS, QUANTITIES, min_size=1), st.dictionaries(KEYS, QUANTITIES))
def test_differences_add_up(theirs: dict[UsageKey, Decimal], ours: dict[UsageKey, Decimal]):
    rows = compare(SMALL, theirs, {key: Taken(quantity, D(0)) for key, quantity in ours.items()}, {})
    assert total(row.difference for row in rows) == total(theirs.values()) - total(ours.values())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("item,quantity", "no rows below the header"),
        ("item,lot,quantity\nvm,9,1", "line 2: lot: found '9'; wanted one of the lots of beta-north: 2"),
        ("item,subject,quantity\nvm,XX,1", "line 2: subject: found 'XX'"),
        ("item,quantity,unit\nvm,1,KGM", "line 2: unit: found 'KGM'; wanted hour"),
        ("item,quantity,month\nvm,1,2016-04", "line 2: found the month '2016-04'; wanted 2016-03"),
        ("item,quantity\n,1", "line 2: item: found nothing"),
        ("item\nvm", "no column for quantity"),
    ],
)
def test_files_that_are_wrong_are_refused_with_their_place(text: str, wanted: str):
    with pytest.raises(InvoiceError) as refused:
        totals(text)
    assert wanted in str(refused.value)


def test_what_a_checklist_says_of_it():
    rows = tuple(row for row in compare(SMALL, totals("item,quantity\nvm,212"), TAKEN, {}) if not agree([row]))
    disagrees = Standing("beta-north", Said.DISAGREES, None, rows)
    assert disagrees.found == "traffic 0, taken 1.5; vm 212, taken 210"
    assert disagrees.wanted == "totals that agree: `plafond reconcile-usage beta-north FILE`"
    lacking = Standing("beta-north", Said.NOT_SENT, None, ())
    assert (lacking.found, lacking.wanted[:23]) == ("not sent", "its totals of the month")
