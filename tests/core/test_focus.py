"""A real cloud bill in FOCUS form: under a contract made of its own list prices, each row costs its own list cost."""

import csv
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from services.contract.charges import ChargeKey, price_of
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import ZERO, add, decimals, multiply, plain, round_half_up, subtract, total
from services.contract.reading import CODE_PATTERN
from services.contract.tariff import charge
from services.ingest.decide import Accepted, Decider
from services.ingest.events import UsageEvent
from services.offline.bill import Bill, Rejection, bill, read_usage
from services.offline.focus import FocusMap
from services.offline.readers import events, workplace
from services.offline.source import UsageFileError

BILL = Path(__file__).parents[2] / "deploy" / "usage" / "focus_sample_1.0_official.csv"
NOW = datetime(2025, 1, 1, tzinfo=UTC)
MAPPING = FocusMap(region="unnamed")
Row = dict[str, str]


def sent(path: Path = BILL, mapping: FocusMap = MAPPING) -> list[UsageEvent]:
    return [each for batch in events([str(path)], None, mapping) for each in batch if isinstance(each, UsageEvent)]


def rows() -> list[Row]:
    with BILL.open(encoding="utf-8", newline="") as file:
        return [{key: "" if value == "NULL" else value for key, value in row.items()} for row in csv.DictReader(file)]


def list_price_contract(pairs: list[tuple[UsageEvent, Row]]) -> str:
    """Write a contract file of the bill's own list prices: one award a provider, one institution a sub-account."""
    providers = sorted({event.source.removeprefix("/providers/") for event, _ in pairs})
    prices: dict[tuple[str, str], set[Decimal]] = defaultdict(set)
    for event, row in pairs:
        if row["ListUnitPrice"]:
            prices[event.source.removeprefix("/providers/"), event.item].add(Decimal(row["ListUnitPrice"]))
    assert all(len(found) == 1 for found in prices.values()), "one price an item"
    units = {event.item: row["ConsumedUnit"] or "unit" for event, row in pairs}
    parts = [
        '[contract]\ncode = "list-prices"\nname = "List prices"\ncurrency = "USD"\ntime_zone = "UTC"\nceiling = "1000"',
        '[[phases]]\nname = "2024"\nstarts = 2024-01-01\nends = 2024-12-31',
        '[residency]\ncountries = ["US"]',
        '[[lots]]\ncode = "1"\nname = "All"\nceiling = "1000"',
    ]
    regions, subjects = sorted({event.region for event, _ in pairs}), sorted({event.subject for event, _ in pairs})
    parts += [f'[[regions]]\ncode = "{each}"\nname = "{each}"\ncountry = "US"' for each in regions]
    parts += [f'[[items]]\ncode = "{each}"\nname = "{each}"\nunit = "{unit}"' for each, unit in sorted(units.items())]
    parts += [f'[[institutions]]\ncode = "{each}"\nname = "{each}"' for each in subjects]
    for each in providers:
        parts.append(f'[[suppliers]]\ncode = "{each}"\nname = "{each}"\ncountry = "US"')
        parts.append(f'[[providers]]\ncode = "{each}"\nname = "{each}"\ncountry = "US"')
        parts.append(f'[[awards]]\nlot = "1"\nsupplier = "{each}"\nproviders = ["{each}"]')
        parts.append(f'[[tariffs]]\naward = "1/{each}"\nvalid_from = 2024-01-01')
        for (provider, item), found in sorted(prices.items()):
            if provider == each:
                price = plain(next(iter(found)))
                parts.append(f'[tariffs.prices."{item}"]\nmodel = "per_unit"\nprice = "{price}"')
    return "\n".join(parts)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[UsageEvent, Row]]:
    return list(zip(sent(), rows(), strict=True))


@pytest.fixture(scope="module")
def contract(pairs: list[tuple[UsageEvent, Row]]) -> Contract:
    loaded = load(list_price_contract(pairs))
    assert isinstance(loaded, Contract), loaded
    return loaded


@pytest.fixture(scope="module")
def made(contract: Contract) -> tuple[Bill, list[Rejection]]:
    with workplace() as place:
        usage = read_usage(place, [str(BILL)], None, MAPPING)
        return bill(contract, usage, NOW), list(usage.rejections())


def test_every_row_is_an_event_with_codes_that_a_contract_can_have(pairs: list[tuple[UsageEvent, Row]]) -> None:
    assert len(pairs) == 1000
    for event, row in pairs:
        assert event.id == row["Id"]
        assert event.quantity == row["ConsumedQuantity"]
        assert event.time == row["ChargePeriodStart"].replace(" ", "T") + "Z"
        assert all(CODE_PATTERN.match(code) for code in (event.item, event.region, event.subject)), event
        assert row["ResourceId"].endswith(event.resource)
    assert {event.source for event, _ in pairs} == {"/providers/aws", "/providers/microsoft", "/providers/oracle"}
    assert len({event.subject for event, _ in pairs}) == 73


def test_each_row_costs_its_own_list_cost(pairs: list[tuple[UsageEvent, Row]], contract: Contract) -> None:
    """Our amounts are exact; the bill's are rounded half up to 10 decimals, a few to 11, and printed with 11.

    Rounded to as many, they are equal on all 999 rows that have a quantity.
    """
    decider = Decider(contract)
    meters: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    priced = 0
    for event, row in pairs:
        decided = decider.decide(event.source.removeprefix("/providers/"), event, NOW)
        if not isinstance(decided, Accepted):
            assert row["ConsumedQuantity"] == ""
            continue
        use = decided.use
        key = ChargeKey(use.award, use.item, use.month, use.tariff, use.subject)
        before = meters[key]
        after = meters[key] = add(before, Decimal(decided.quantity))
        amount = charge(price_of(contract, key).model, before, after)
        assert amount == multiply(Decimal(row["ConsumedQuantity"]), Decimal(row["ListUnitPrice"]))
        digits = 10 if row["ListCost"].endswith("0") else 11
        assert round_half_up(amount, digits) == Decimal(row["ListCost"]), row
        priced += 1
    assert priced == 999


def test_the_bill_of_each_sub_account_is_the_sum_of_its_rows(
    pairs: list[tuple[UsageEvent, Row]], contract: Contract, made: tuple[Bill, list[Rejection]]
) -> None:
    whole, _ = made
    assert (whole.read, whole.accepted, whole.repeats) == (1000, 999, 0)
    assert list(whole.statements) == ["2024-09"]
    owed: dict[str, Decimal] = defaultdict(lambda: ZERO)
    listed: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for event, row in pairs:
        if row["ConsumedQuantity"]:
            cost = multiply(Decimal(row["ConsumedQuantity"]), Decimal(row["ListUnitPrice"]))
            owed[event.subject] = add(owed[event.subject], cost)
            listed[event.subject] = add(listed[event.subject], Decimal(row["ListCost"]))
    billed = {each.institution: each.exact for each in whole.statements["2024-09"]}
    assert billed == {subject: amount for subject, amount in owed.items() if subject in billed}
    assert len(billed) > 60
    assert all(subtract(owed[subject], listed[subject]).copy_abs() <= Decimal("5e-11") * 1000 for subject in owed)
    assert whole.standings[0].spent == total(owed.values())
    assert decimals(whole.standings[0].spent) > 11


def test_the_row_without_a_quantity_is_refused_not_dropped(made: tuple[Bill, list[Rejection]]) -> None:
    whole, rejections = made
    assert whole.rejected == {"bad_quantity": 1}
    assert [(each.event.id, each.refusal.reason.value) for each in rejections] == [("2555992", "bad_quantity")]


def test_what_a_bill_does_not_say_comes_from_the_mapping() -> None:
    mapping = FocusMap("7", {"AWS": "amazon"}, {"51738928782": "EC/DIGIT"}, "elsewhere")
    first, *_, last = sent(mapping=mapping)
    assert (first.source, first.subject, first.lot, first.region) == ("/providers/amazon", "EC/DIGIT", "7", "us-west-2")
    assert last.source == "/providers/microsoft"
    assert {each.region for each in sent(mapping=mapping) if each.source == "/providers/oracle"} == {"elsewhere"}


def test_without_ids_rows_are_told_apart_by_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    header = "ProviderName,SubAccountId,SkuId,ConsumedQuantity,ChargePeriodStart\n"
    one, other = "A b,s,k,1,2024-09-01T00:00:00+02:00\n", "A b,s,k,2,2024-09-01 00:00:00\n"
    path.write_text(header + one + other + one)
    first, second, third = sent(path)
    assert (first.source, first.time, second.time) == (
        "/providers/a-b", "2024-09-01T00:00:00+02:00", "2024-09-01T00:00:00Z",
    )  # fmt: skip
    assert third.id == first.id + "-2"
    path.write_text(header + other + one + one)
    assert {each.id for each in sent(path)} == {first.id, second.id, third.id}


def test_a_header_that_is_nearly_focus(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_text("SubAccountId,SkuId,ConsumedQuantity,ChargePeriodStart\n")
    with pytest.raises(UsageFileError, match="no column ProviderName"):
        sent(path)
