"""The short way takes nothing that the long way would not, and takes it the same."""

import random
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chaos.fuzz import mutated
from services.contract.load import load
from services.contract.model import Contract
from services.ingest.batch import Sorter
from services.ingest.consume import _sort_one
from services.ingest.decide import Decider
from services.ingest.short import ShortWay
from tests.conftest import SMALL
from tests.pipeline import event

NOW = datetime(2026, 11, 23, tzinfo=UTC)
RECEIVED = int(datetime(2016, 4, 10, 12, tzinfo=UTC).timestamp() * 1000)


def contract(text: str) -> Contract:
    loaded = load(text)
    assert isinstance(loaded, Contract)
    return loaded


CONTRACTS = [
    contract(SMALL),
    contract(SMALL.replace("grace_days = 5", "grace_days = 5\nlate_days = 10")),
]
GOOD = event("alpha", "1", quantity="12.50")
VALID = [
    event("alpha", 7, quantity="0.125"), event("alpha", 8, quantity="-3"), event("alpha", 9, quantity="1e3"),
    event("alpha", 10, time="2016-03-02T10:00:00.5+02:00"), event("alpha", 11, time="2016-02-02T10:00:00Z"),
    event("alpha", 12, time="2027-01-02T10:00:00Z"), event("alpha", 13, subject="EC/DIGIT"),
    event("alpha", 14, source="/providers/beta"), event("alpha", "a\\b"), event("alpha", 15, quantity="7.000"),
    event("alpha", 16, quantity="0.000000000000001"), event("alpha", 17, quantity="0.0000000000000001"),
    event("alpha", 18, region="us-east"), event("alpha", 19, item="none"), event("alpha", "x" * 129), b"", b"{}",
    GOOD.replace(b'"12.50"', b"12.50"), GOOD.replace(b'"1.0"', b'"0.3"'), GOOD.replace(b'"1"', b'"\\u0000"'),
    GOOD.replace(b'"data": {', b'"data": {"resource": "vm-1", '),
    GOOD.replace(b'"data": {', b'"data": {"corrects": "7", '),
    GOOD.replace(b'"data": {', b'"data": {"resource": null, '),
    GOOD.replace(b'"data": {', b'"corrects": "8", "data": {'),
    GOOD.replace(b'"data": {', b'"datacontenttype": "application/json", "data": {'),
    GOOD.replace(b'"data": {', b'"datacontenttype": "text/xml", "data": {'),
    GOOD.replace(b'"data": {', b'"data_base64": "AA==", "data": {'),
]  # fmt: skip


def record(offset: int, value: bytes | None) -> Any:
    return SimpleNamespace(
        topic="usage.raw.alpha", partition=0, offset=offset, timestamp=RECEIVED + offset, key=None, value=value
    )


def outcome(terms: Contract, messages: list[bytes | None], *, is_short: bool) -> tuple[Any, ...]:
    decider, sorter = Decider(terms), Sorter(1, 4)
    records = [record(offset, value) for offset, value in enumerate(messages)]
    short_way = ShortWay(decider, sorter, NOW)
    while records:
        taken = short_way.take("alpha", records) if is_short else 0
        for each in records[taken : taken + 1]:
            _sort_one(decider, sorter, "alpha", each, NOW, 0)
        records = records[taken + 1 :]
    batches = [batch.record(1, 0) | {"batch": batch.partition} for batch in sorter.batches]
    return batches, sorter.rejections, sorter.accepted, [batch.size for batch in sorter.batches]


@pytest.mark.parametrize("terms", CONTRACTS)
@given(
    st.lists(
        st.sampled_from([*VALID, None]) | st.builds(lambda seed: mutated(GOOD, random.Random(seed)), st.integers())
    )
)
def test_both_ways_come_to_the_same(terms: Contract, messages: list[bytes | None]):
    assert outcome(terms, messages, is_short=True) == outcome(terms, messages, is_short=False)


@pytest.mark.parametrize("quantity", ["1", "0", "12.50", "38.812", "100", "0.10"])
def test_plain_events_are_all_taken(quantity: str):
    messages = [event("alpha", number, quantity=quantity) for number in range(50)]
    sorter = Sorter(1, 4)
    records = [record(offset, value) for offset, value in enumerate(messages)]
    assert ShortWay(Decider(CONTRACTS[0]), sorter, NOW).take("alpha", records) == 50
    assert sum(len(batch.rows) for batch in sorter.batches) == sorter.accepted["alpha"] == 50


def test_where_usage_may_come_too_late_it_is_left_to_the_long_way():
    late = [record(0, event("alpha", 1, time="2016-02-02T10:00:00Z")), record(1, event("alpha", 2))]
    short_way = ShortWay(Decider(CONTRACTS[1]), Sorter(1, 4), NOW)
    assert short_way.take("alpha", late) == 0
    assert short_way.take("alpha", late[1:]) == 1
