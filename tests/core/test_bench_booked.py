"""A benchmark's figures count only when all that was timed is in the books."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.bench.booked import Booked, Sent, differences
from services.bench.usage import machines, quantity_of, readings
from services.contract.load import load
from services.contract.model import Contract
from services.ingest.events import UsageEvent, read_json
from services.stack.demo import CONTRACT

SENT = Sent(3, Decimal("4.5"))
WHOLE = Booked(3, Decimal("4.5"), Decimal(5), Decimal(5), Decimal(7), Decimal(7), Decimal(7), Decimal(7))


def test_whole_books_differ_in_nothing() -> None:
    assert differences(SENT, WHOLE) == []


@pytest.mark.parametrize(
    ("off", "what"),
    [
        ({"events": 2}, "3 events sent, 2 rated"),
        ({"events": 4}, "3 events sent, 4 rated"),
        ({"quantity": Decimal("4.4")}, "4.5 units sent, 4.4 rated"),
        ({"charged": Decimal(4)}, "5 billed for, 4 charged"),
        ({"priced_amount": Decimal("7.1")}, "7 charged, in money, 7.1 by the contract's prices"),
        ({"posted_amount": Decimal(6), "spent": Decimal(6)}, "7 charged, in money, 6 posted"),
        ({"spent": Decimal(8)}, "7 posted, 8 on the contract's ceiling"),
    ],
)
def test_each_step_of_the_books_can_be_off(off: dict[str, Decimal], what: str) -> None:
    assert differences(SENT, replace(WHOLE, **off)) == [what]


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    sent = replace(SENT, events=1, unknown=2)
    assert differences(sent, WHOLE) == []
    assert differences(replace(sent, unknown=1), WHOLE) == ["1 to 2 events sent, 3 rated"]


def test_what_is_expected_is_what_the_readings_say() -> None:
    contract = load(CONTRACT.read_text("utf-8"))
    assert isinstance(contract, Contract)
    fleet = machines(contract, 503)
    events = [read_json(message) for _, chunk in readings(fleet, 503, 100) for message in chunk]
    said = sum(Decimal(each.quantity) for each in events if isinstance(each, UsageEvent))
    assert quantity_of(fleet, 503) == said
