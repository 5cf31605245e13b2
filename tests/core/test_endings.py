"""What of a contract comes to an end, and what its gauges show."""

import re
from datetime import UTC, datetime

from prometheus_client import REGISTRY

from services.contract.load import load
from services.invoicing.endings import endings, show_endings
from tests.conftest import SMALL

EDA = 'name = "European Defence Agency"\n'
BUYER = """[institutions.party]
legal_name = "European Defence Agency"
address = { street = "Rue 17", postal_code = "1050", city = "Brussels", country = "BE" }
tax = { category = "E", certificate = "15.10", valid_from = 2016-01-01, valid_until = 2016-12-31 }
"""
PHASE = "plafond_contract_phase_end_timestamp_seconds"
CERTIFICATE = "plafond_exemption_certificate_end_timestamp_seconds"


def day(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00").astimezone(UTC)


def test_the_phase_is_that_of_now_and_ends_at_midnight_in_the_contracts_zone():
    contract = load(SMALL)
    first = endings(contract, day("2016-05-01T12:00"))
    assert (first.phase, first.is_last, first.phase_ends) == ("initial term", False, day("2017-12-31T23:00"))
    assert endings(contract, day("2017-12-31T22:59")).phase == "initial term"
    assert endings(contract, day("2017-12-31T23:00")).phase == "renewal"
    assert endings(contract, day("2015-05-01T12:00")).phase == "initial term"
    over = endings(contract, day("2030-01-01T00:00"))
    assert (over.phase, over.is_last, over.phase_ends) == ("renewal", True, day("2018-12-31T23:00"))


def test_a_certificate_ends_after_its_last_day_and_one_without_an_end_is_not_shown():
    contract = load(SMALL.replace(EDA, EDA + BUYER))
    assert endings(contract, day("2016-05-01T12:00")).certificates["EDA"] == day("2016-12-31T23:00")
    for_ever = load(SMALL.replace(EDA, EDA + BUYER.replace(", valid_until = 2016-12-31", "")))
    assert "EDA" not in endings(for_ever, day("2016-05-01T12:00")).certificates
    taxed = load(SMALL.replace(EDA, EDA + re.sub(r"tax = .*", 'tax = { category = "S", percent = "21" }', BUYER)))
    assert "EDA" not in endings(taxed, day("2016-05-01T12:00")).certificates


def test_gauges_show_what_holds_now_and_nothing_of_before():
    show_endings(load(SMALL.replace(EDA, EDA + BUYER)), day("2016-05-01T12:00"))
    shown = REGISTRY.get_sample_value(PHASE, {"phase": "initial term", "last": "no"})
    assert shown == day("2017-12-31T23:00").timestamp()
    assert REGISTRY.get_sample_value(CERTIFICATE, {"institution": "EDA"}) == day("2016-12-31T23:00").timestamp()
    show_endings(load(SMALL), day("2018-05-01T12:00"))
    assert REGISTRY.get_sample_value(PHASE, {"phase": "initial term", "last": "no"}) is None
    assert REGISTRY.get_sample_value(PHASE, {"phase": "renewal", "last": "yes"}) == day("2018-12-31T23:00").timestamp()
    assert REGISTRY.get_sample_value(CERTIFICATE, {"institution": "EDA"}) is None
