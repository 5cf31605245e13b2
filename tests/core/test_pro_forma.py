"""A preview is what the invoice would be if the month were closed now: after credits, too."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from services.documents.closed_month import ClosedMonth, Credited
from services.documents.closed_month import tasks_of as tasks_of_closed
from services.documents.files import Names, Task
from services.documents.make import document
from services.documents.model import Document, LimitKind, Month, Preceding
from services.documents.pdf import as_pdf
from services.documents.pro_forma import OpenMonth, tasks_of
from services.invoicing.close import Invoice
from services.invoicing.statement import Statement
from tests.core.test_pdf import pages
from tests.documents import MARCH, line, small

D = Decimal
NOW = datetime(2016, 4, 11, 9, 0, tzinfo=UTC)
JANUARY, FEBRUARY = (Preceding(f"SMALL-2016-00000{month}", date(2016, month + 1, 11), D(100)) for month in (1, 2))
MADE = [
    Statement("EC", MARCH, (line("3", "1.5", institution="EC", pool="mail"),)),
    Statement("EP", MARCH, (line("150", "8.50"), line("3", "1.5", pool="mail"), line("0", "4", month="2016-01"))),
]
ISSUED = {
    "EP": {"2016-01": JANUARY, "2016-02": FEBRUARY},
    "EC": {"2016-02": replace(FEBRUARY, number="SMALL-2016-000003")},
}
CREDITED = Credited({"EP": {"2016-01": D(-100), "2016-02": D("-30.5")}}, D("-30.5"))
SET_OFF = {MADE[1].lines[2].key: D(4)}


def previewed() -> list[Task]:
    return tasks_of(OpenMonth(small(), 1, NOW, MADE, ISSUED, CREDITED, SET_OFF))


def closed() -> list[Task]:
    own = [Preceding(f"SMALL-2016-00001{at}", NOW.date(), each.total) for at, each in enumerate(MADE)]
    issued = {each.institution: {**ISSUED[each.institution], MARCH: mine} for each, mine in zip(MADE, own, strict=True)}
    invoices = [Invoice(mine.number, each) for each, mine in zip(MADE, own, strict=True)]
    return tasks_of_closed(
        ClosedMonth(
            MARCH,
            1,
            1,
            Names(small(), {1: small()}),
            invoices,
            [],
            issued,
            CREDITED,
            SET_OFF,
            Statement("", MARCH, ()),
            {},
        )
    )


def documents(tasks: list[Task]) -> list[Document]:
    found = [document(small(), small(), each.issued) for each in tasks]
    return [each for each in found if isinstance(each, Document)]


def test_it_says_what_the_invoice_would():
    before, after = documents(previewed()), documents(closed())
    assert len(before) == len(after) == 2
    assert [replace(each, number="", due=None) for each in after] == before


def test_a_budget_is_freed_by_what_was_credited_and_the_ceiling_by_what_suppliers_bear():
    _, parliament = documents(previewed())
    spent = {each.kind: each.spent for each in parliament.spent}
    assert spent == {LimitKind.BUDGET: D("83.50"), LimitKind.CONTRACT: D("285.00")}


def test_a_month_that_was_credited_came_to_what_is_left_of_it():
    _, parliament = documents(closed())
    assert parliament.months == (Month("2016-01", D(0)), Month("2016-02", D("69.5")), Month(MARCH, D(14)))
    assert "69,50" in pages(parliament)[0]
    assert as_pdf(parliament) != as_pdf(documents(previewed())[1])


def test_shares_and_what_is_set_off_are_told():
    _, parliament = documents(previewed())
    assert parliament.lines[1].origin == 3
    assert parliament.lines[2].set_off == 4
