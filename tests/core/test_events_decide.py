"""At the door: whatever bytes come, there is an answer; and each reason is reached by what it says."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.contract.load import load
from services.contract.model import Contract
from services.ingest.decide import Accepted, Decider, read_quantity, read_time
from services.ingest.events import UsageEvent, read
from services.ingest.push import avro_event, cloud_event
from services.reasons import TEXTS, Reason, Refusal
from tests.conftest import SMALL
from tests.pipeline import event

NOW = datetime(2026, 11, 23, tzinfo=UTC)
_loaded = load(SMALL)
assert isinstance(_loaded, Contract)
CONTRACT: Contract = _loaded
GOOD = event("alpha", "1")


def decide(message: bytes, provider: str = "alpha") -> Accepted | Refusal:
    read_as = read(message)
    return read_as if isinstance(read_as, Refusal) else Decider(CONTRACT).decide(provider, read_as, NOW)


@pytest.mark.parametrize("quantity", [b'"14.6\\u0030\x815"', b'"\\ud800"', b'"\\x"', b"1\xff", b'"\xff"'])
def test_a_quantity_that_is_no_text_is_refused(quantity: bytes):
    refusal = read(GOOD.replace(b'"quantity": "1"', b'"quantity": ' + quantity))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.MALFORMED


@given(st.binary(max_size=20).map(lambda noise: noise.replace(b'"', b"")))
def test_any_bytes_in_a_text_get_an_answer(noise: bytes):
    for field in (b'"quantity": "1"', b'"region": "fr-paris"', b'"id": "1"'):
        assert field in GOOD
        decide(GOOD.replace(field, field[:-1] + noise + b'\\u0030"'))


@given(st.binary(max_size=300))
@example(b"[" * 60_000)
@example(b'{"id": "\\ud800"}')
@example(b"\xc3\x01")
def test_any_bytes_get_an_answer(message: bytes):
    assert isinstance(read(message), UsageEvent | Refusal)


@given(st.data())
def test_a_damaged_event_gets_an_answer(data: st.DataObject):
    whole = data.draw(st.sampled_from([GOOD, avro_event(read(GOOD))]))  # type: ignore[arg-type]
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    assert isinstance(decide(bytes(damaged[:cut])), Accepted | Refusal)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"{}", Reason.MALFORMED),
        (b"\xff", Reason.MALFORMED),
        (GOOD.replace(b'"1.0"', b'"0.3"'), Reason.MALFORMED),
        (GOOD.replace(b"plafond.usage.v1", b"other"), Reason.MALFORMED),
        (GOOD.replace(b'"quantity": "1"', b'"quantity": NaN'), Reason.MALFORMED),
        (GOOD.replace(b'"data":', b'"data_base64": "AA==", "data":'), Reason.MALFORMED),
        (GOOD.replace(b'"id": "1"', b'"id": "a\\u0000b"'), Reason.MALFORMED),
        (GOOD.replace(b'"id": "1"', b'"id": ""'), Reason.MALFORMED),
        (GOOD.replace(b'"id": "1"', b'"id": "' + b"x" * 129 + b'"'), Reason.MALFORMED),
        (b"\xc3\x01" + b"\x00" * 30, Reason.UNKNOWN_SCHEMA),
        (b" " * 70_000, Reason.TOO_LARGE),
        (event("alpha", 1, time="2016-03-01T10:00:00"), Reason.BAD_TIME),
        (event("alpha", 1, time="2016-12-31T23:59:60Z"), Reason.BAD_TIME),
        (event("alpha", 1, time="0000-00-00T00:00:00Z"), Reason.BAD_TIME),
        (event("alpha", 1, time="2016-03-02T24:00:00Z"), Reason.BAD_TIME),
        (event("alpha", 1, time="2016-03-02T10:60:00Z"), Reason.BAD_TIME),
        (event("alpha", 1, time="2016-03-02T10:00:00+00:60"), Reason.BAD_TIME),
        (event("alpha", 1, time="2016-03-02T10:00:00+24:00"), Reason.BAD_TIME),
        (GOOD.replace(b'"id": "1"', b'"id": "\xed\xa0\x80"'), Reason.MALFORMED),
        (GOOD.replace(b'"lot"', b'"more": ' + b"[" * 9_000 + b"]" * 9_000 + b', "lot"'), Reason.MALFORMED),
        (event("alpha", 1, time="0001-01-01T00:00:00+23:59"), Reason.BAD_TIME),
        (event("alpha", 1, quantity="1e400"), Reason.BAD_QUANTITY),
        (event("alpha", 1, quantity="-0.0"), Reason.BAD_QUANTITY),
        (event("alpha", 1, quantity="0.0000000000000001"), Reason.BAD_QUANTITY),
        (event("alpha", 1, quantity="1000000000000000"), Reason.BAD_QUANTITY),
        (event("alpha", 1, quantity="\u0661"), Reason.BAD_QUANTITY),
        (event("alpha", 1, source="/providers/beta-north"), Reason.WRONG_PROVIDER),
        (event("alpha", 1, lot="9"), Reason.UNKNOWN_LOT),
        (event("alpha", 1, subject="EC/NONE"), Reason.UNKNOWN_SUBJECT),
        (event("alpha", 1, subject="pool/none"), Reason.UNKNOWN_SUBJECT),
        (event("alpha", 1, item="none"), Reason.UNKNOWN_ITEM),
        (event("alpha", 1, item="traffic"), Reason.NO_PRICE),
        (event("alpha", 1, time="2015-12-31T22:59:59.999999Z"), Reason.OUTSIDE_CONTRACT),
        (event("alpha", 1, time="2018-12-31T23:00:00Z"), Reason.OUTSIDE_CONTRACT),
        (event("alpha", 1, time="9999-12-31T23:59:59Z"), Reason.IN_FUTURE),
        (event("alpha", 1, region="us-east-1"), Reason.REGION_NOT_ALLOWED),
        (GOOD.replace(b'"lot"', b'"corrects": "1", "lot"'), Reason.CORRECTION),
        (GOOD.replace(b'"data"', b'"corrects": "1", "data"'), Reason.CORRECTION),
        (GOOD.replace(b'"data"', b'"datacontenttype": "text/xml", "data"'), Reason.MALFORMED),
    ],
)
def test_each_reason(message: bytes, reason: Reason):
    decision = decide(message)
    assert isinstance(decision, Refusal)
    assert decision.reason is reason
    assert decision.explanation.startswith(TEXTS[reason])


def test_of_a_field_that_is_there_twice_the_last_counts():
    twice = GOOD.replace(b'"source":', b'"source": "/providers/beta", "source":')
    assert isinstance(decide(twice), Accepted)
    turned = GOOD[:-1] + b', "source": "/providers/beta"}'
    decision = decide(turned)
    assert isinstance(decision, Refusal)
    assert decision.reason is Reason.WRONG_PROVIDER


def test_a_leap_second_is_refused_with_the_cause():
    decision = decide(event("alpha", 1, time="2016-12-31T23:59:60Z"))
    assert isinstance(decision, Refusal)
    assert "second must be in 0..59" in decision.explanation


def test_an_unknown_provider_is_told_so():
    decision = decide(event("nobody", 1), "nobody")
    assert isinstance(decision, Refusal)
    assert decision.reason is Reason.UNKNOWN_PROVIDER


def test_the_contracts_first_and_last_instants_are_in():
    for time in ("2015-12-31T23:00:00Z", "2018-12-31T22:59:59.999Z", "2016-01-01T00:00:00+01:00"):
        assert isinstance(decide(event("alpha", 1, time=time)), Accepted), time


def test_the_month_and_the_tariff_are_those_of_the_contracts_time_zone():
    late_january = decide(event("alpha", 1, lot="1", time="2016-01-31T23:30:00Z"))
    before, after = (
        decide(event("alpha", 1, lot="1", time=f"2016-03-14T{time}Z")) for time in ("22:59:59", "23:00:00")
    )
    assert isinstance(late_january, Accepted)
    assert isinstance(before, Accepted)
    assert isinstance(after, Accepted)
    assert late_january.use.month == "2016-02"
    assert (before.use.tariff, after.use.tariff) == ("2016-01-01", "2016-03-15")


@given(st.decimals(-(10**14), 10**14, places=15, allow_nan=False))
def test_a_quantity_keeps_every_digit_as_text_and_as_a_number(quantity: Decimal):
    if not quantity:
        return
    for written in (f'"{quantity:f}"', f"{quantity:f}", f"{quantity:e}"):
        message = GOOD.replace(b'"quantity": "1"', f'"quantity": {written}'.encode())
        decision = decide(message)
        assert isinstance(decision, Accepted), decision
        assert Decimal(decision.quantity) == quantity


@given(st.datetimes(datetime(2016, 1, 2), datetime(2018, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_a_time_is_the_same_instant_in_any_zone(naive: datetime, minutes: int):
    instant = naive.replace(tzinfo=UTC)
    offset = timedelta(minutes=minutes)
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    written = f"{(naive + offset).isoformat()}{sign}{hours:02}:{rest:02}"
    assert read_time(written) == read_time(written.replace("T", "t")) == instant


@pytest.mark.parametrize(
    ("written", "quantity"),
    [(b'"\\u0031.5"', "1.5"), (b'"999999999999999.999999999999999"', "999999999999999.999999999999999")],
)
def test_a_quantity_is_read_as_json_means_it(written: bytes, quantity: str):
    decision = decide(GOOD.replace(b'"quantity": "1"', b'"quantity": ' + written))
    assert isinstance(decision, Accepted), decision
    assert decision.quantity == quantity


def test_what_says_the_same_is_equal():
    same = [GOOD, GOOD.replace(b'"1"', b'"1.0"'), GOOD.replace(b"10:00:00Z", b"11:00:00+01:00"), b" " + GOOD]
    first, *others = [decide(each.replace(b'"id": "1.0"', b'"id": "1"')) for each in same]
    assert isinstance(first, Accepted)
    assert others == [first] * 3
    assert decide(event("alpha", 1, subject="EDA")) != first


def test_an_event_survives_both_wire_forms():
    sent = read(GOOD)
    assert isinstance(sent, UsageEvent)
    assert read(cloud_event(sent)) == read(avro_event(sent)) == sent
    assert json.loads(cloud_event(sent)) == json.loads(GOOD)


@given(st.text(max_size=60))
def test_any_text_is_a_quantity_or_is_not(text: str):
    found = read_quantity(text)
    assert isinstance(found, Refusal) or Decimal(found).is_finite()


@pytest.mark.parametrize(
    ("received", "is_taken"),
    [
        ("2016-04-10T21:59:59Z", True),  # March's tenth day after, in Brussels
        ("2016-04-10T22:00:00Z", False),
        ("2017-01-01T00:00:00Z", False),
    ],
)
def test_usage_is_taken_until_the_contracts_limit_and_later_refused(received: str, is_taken: bool):
    contract = load(SMALL.replace("grace_days = 5", "grace_days = 5\nlate_days = 10"))
    assert isinstance(contract, Contract)
    sent = read(event("alpha", 1, time="2016-03-31T21:59:59Z"))
    assert isinstance(sent, UsageEvent)
    came = int(datetime.fromisoformat(received).timestamp() * 1000)
    decision = Decider(contract).decide("alpha", sent, NOW, came)
    assert isinstance(decision, Accepted) == is_taken
    assert is_taken or (isinstance(decision, Refusal) and decision.reason is Reason.TOO_LATE)
    april = read(event("alpha", 1, time="2016-03-31T22:00:00Z"))
    assert isinstance(april, UsageEvent)
    in_may = int(datetime(2016, 5, 10, 12, tzinfo=UTC).timestamp() * 1000)
    in_time = Decider(contract).decide("alpha", april, NOW, in_may)
    assert isinstance(in_time, Accepted)
