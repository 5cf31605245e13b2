"""The audit must be able to fail: each identity is broken in turn, in a copy of the books, and must be named."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.audit.run import audit
from services.postgres import connect
from tests.conftest import SMALL
from tests.pipeline import Pipeline, event

BREAKS = {
    "raw = accepted + rejected, by offset": "delete from ingest.rejection where reason = 'unknown_item'",
    "accepted = rated + repeats + conflicts": "update rating.batch set repeats = repeats + 1 where batch_no = 1",
    "every rated event has its key, once": "delete from rating.event where id = 'e1'",
    "conflicts are shown as rejections": "delete from ingest.rejection where reason = 'conflict'",
    "charges = usage": "update rating.usage set quantity = quantity + 1 where id = 'e1'",
    "no usage is below zero": "update rating.charge set quantity = -1 where subject = 'EP'",
    "no corrections go round in a circle": "insert into rating.correction values "
    "('beta-north', 'e1', 'e2', false), ('beta-north', 'e2', 'e1', false)",
    "usage is priced under the tariff in force": "update rating.usage set time = '2016-03-20' where id = 'a'",
    "each fee is on its charges": "update rating.charge set quantity = quantity + 1 where is_fee",
    "charges = meters": "update rating.meter set amount = amount + 0.000000000000000000000000001 where scope = 'EP'",
    "each meter = price of its quantity": "update rating.meter set amount = amount + 1 where scope = 'EP'",
    "postings = charges": "delete from invoicing.charged where subject = 'EP'",
    "postings sum to zero": "update invoicing.posting set amount = amount + 1 where side = 'award'",
    "invoices + open = postings": "update invoicing.invoice_line set amount = amount + 0.01 where line = 1",
    "credit notes = what they take back": "update invoicing.credit_note set total = total - 0.01",
    "credits = postings": "update invoicing.posting set side = 'award' where side = 'coordinator'",
    "disputes are about lines that there are": "update invoicing.dispute_step set line = 99",
    "ceilings = postings: contract, award, institution": "update invoicing.spent set amount = 0 where level = 'contract'",
    "ceilings = postings: lots": "update invoicing.spent set amount = amount - 1 where level = 'lot'",
    "each threshold reached has its alert": "delete from invoicing.alert where level = 'institution'",
    "every alert is published": "update invoicing.alert set published_at = null",
    "every decision is published": "update decisions.decision set published_at = null",
    "every decision is entered": "delete from decisions.decision where month is not null",
    "the topic has every decision": "update decisions.decision set number = number + 100",
    "no message is parked": "insert into rating.parked values ('usage.accepted', 0, 1, now(), 'unreadable', '')",
}
FEES = """
[[items]]
code = "support"
name = "Support"
unit = "EUR"

[[tariffs]]
award = "2/BETA"
valid_from = 2016-04-01
[tariffs.prices.vm]
model = "per_unit"
price = "0.05"
[tariffs.prices.support]
model = "percentage"
percent = "10"
"""
ALSO = {
    "a batch that was never posted": ("postings = charges", "delete from invoicing.batch"),
    "an event lost after it was read": (
        "raw = accepted + rejected, by offset",
        "delete from rating.usage where id = 'e2'",
    ),
    "usage that a correction has taken out": (
        "charges = usage",
        "insert into rating.correction values ('alpha', 'a', 'nobody', false)",
    ),
    "a fee that was not charged": ("each fee is on its charges", "delete from rating.charge where is_fee"),
    "an invoice number missing": ("invoices + open = postings", "update invoicing.series set last = last + 1"),
    "a line that is credited twice": (
        "credit notes = what they take back",
        (
            "insert into invoicing.credit_note_line "
            "select number, 2, corrects, 99, invoice, invoice_line from invoicing.credit_note_line"
        ),
    ),
    "a credit that was not posted": (
        "credits = postings",
        "delete from invoicing.posting where entry in (select entry from invoicing.entry where document is not null)",
    ),
    "a credit note that nobody decided on": (
        "every decision is entered",
        "delete from decisions.decision where document is not null",
    ),
    "an invoice that says less": ("invoices + open = postings", "update invoicing.invoice set exact = exact - 1"),
}
CASES = list(BREAKS.items()) + list(ALSO.values())


@pytest.fixture(scope="module")
def contract() -> str:
    """One with a fee, too."""
    return SMALL + FEES


@pytest_asyncio.fixture(scope="module")
async def books(pipeline: Pipeline) -> AsyncIterator[Pipeline]:
    """Books with all sorts of usage, one month closed, and nobody writing any more."""
    sent = [event("beta-north", f"e{number}", quantity=str(number)) for number in range(1, 60)]
    sent += [event("beta-north", "e1", quantity="1"), event("beta-north", "e1", quantity="7")]
    sent += [event("beta-north", "x", item="mainframe"), event("beta-north", "p", subject="pool/backup")]
    await pipeline.push("beta-north", sent)
    await pipeline.push(
        "alpha", [event("alpha", "a", lot="1", quantity="1500"), event("alpha", "b", time="2016-04-02T00:00:00Z")]
    )
    await pipeline.push("beta-north", [event("beta-north", "fee", quantity="9", time="2016-04-03T10:00:00Z")])
    await pipeline.through()
    [issued] = await pipeline.close("2016-03")
    words = (issued.number, "--line", str(len(issued.statement.lines)), "--reason", "Not ours")
    pipeline.command("invoice", "dispute", *words)
    pipeline.command("invoice", "credit", *words)
    assert await pipeline.audit() == []  # waits until the close is published
    await pipeline.stop()
    yield pipeline


async def test_a_clean_book_is_clean(books: Pipeline):
    assert await books.audit() == []


@pytest.mark.parametrize(("identity", "statement"), CASES)
async def test_a_broken_identity_is_named(books: Pipeline, identity: str, statement: str):
    server, _, name = books.url.rpartition("/")
    maintenance = await connect(f"{server}/postgres")
    await maintenance.execute("drop database if exists broken")
    await maintenance.execute(f'create database broken template "{name}"')
    await maintenance.close()
    connection = await connect(f"{server}/broken")
    try:
        await connection.execute("set session_replication_role = replica")  # past the triggers that refuse this
        assert int((await connection.execute(statement)).split()[-1]) > 0, "the statement must break something"
        broken = {each.identity: each.breaches for each in await audit(connection, books.kafka, 1) if each.breaches}
        assert identity in broken
        assert all(broken[identity])
    finally:
        await connection.close()


async def test_usage_that_is_not_through_is_named(books: Pipeline):
    await books.push("alpha", [event("alpha", "later")])
    connection = await connect(books.url)
    try:
        broken = {each.identity: each.breaches for each in await audit(connection, books.kafka, 0.5) if each.breaches}
    finally:
        await connection.close()
    assert any(
        "plafond-ingest is 1 messages behind" in breach for breach in broken["everything that came in is through"]
    )
