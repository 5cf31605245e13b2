"""What another contract would move, in amounts as invoices have them."""

from decimal import Decimal

from services.contract.load import load
from services.contract.model import Contract
from services.invoicing.moves import open_months, stated
from services.invoicing.settle import PostingKey
from tests.conftest import SMALL

KEY = PostingKey("EP", "", "", "2/BETA", "vm", "2016-03", "2016-01-01")
EP = ("2016-03", "EP")


def test_what_came_late_is_rounded_on_the_invoice_that_it_is_on():
    contract = load(SMALL)
    assert isinstance(contract, Contract)
    invoiced = {KEY: (Decimal("187.294"), Decimal("187.29"))}
    assert stated(contract, {KEY: Decimal("187.298")}, invoiced) == {EP: Decimal("187.29")}, "187.29 + 0.00"
    assert stated(contract, {KEY: Decimal("187.299")}, invoiced) == {EP: Decimal("187.30")}, "187.29 + 0.01"
    assert stated(contract, {KEY: Decimal("187.298")}, {}) == {EP: Decimal("187.30")}, "not invoiced yet"
    assert stated(contract, {}, invoiced) == {EP: Decimal("0.00")}, "taken back: 187.29 - 187.29"


def test_months_in_which_only_promises_are_due_are_open_too():
    assert open_months("2016-01", set(), {"2016-03"}) == ["2016-01", "2016-02", "2016-03"]
    assert open_months("2016-01", {"2016-01", "2016-02"}, {"2016-05"}) == ["2016-03", "2016-04", "2016-05"]
    assert open_months("2016-01", {"2016-01"}, set()) == ["2016-02"], "what late usage moves goes there"
    assert open_months("2016-01", set(), set()) == []
