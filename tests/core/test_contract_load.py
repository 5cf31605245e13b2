"""Every mistake in a contract file, each with its place; and no text that is too much for `load`."""

import copy
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.contract.check import check
from services.contract.load import FILE_BYTES_MAX, load
from services.contract.model import AllocationKey, Contract
from services.contract.money import total
from services.contract.price import Scope
from services.contract.problems import Problem
from tests.conftest import SMALL

SAMPLE = (Path(__file__).parents[2] / "deploy" / "contracts" / "cloud-i.toml").read_text("utf-8")
COMMISSION = (  # noqa: SIM905
    "AGRI BUDG CLIMA CNECT COMM COMP DEVCO DGT DIGIT EAC ECFIN ECHO EMPL ENER ENV ESTAT FISMA GROW HOME HR JRC JUST "
    "MARE MOVE NEAR REGIO RTD SANTE SCIC SG SJ TAXUD TRADE"
).split()
OTHERS = (  # noqa: SIM905
    "EP COUNCIL EDA EEAS CJEU ECA ECB EESC COR EDPS EO EIB EIF ACER BEREC CPVO EASA EASO EBA ECDC ECHA EEA EFCA EFSA "
    "EIGE EIOPA EIT EMA EMCDDA EMSA ENISA ERA ESMA ETF EUIPO EULISA EUOSHA EUROFOUND EUROJUST EUROPOL FRA FRONTEX GSA "
    "CEDEFOP CEPOL CDT SRB EUISS SATCEN EACEA EASME ERCEA INEA REA CHAFEA"
).split()


def loaded(text: str) -> Contract:
    found = load(text)
    assert isinstance(found, Contract), "\n".join(map(str, found))
    return found


def problems(text: str) -> list[Problem]:
    found = load(text)
    assert isinstance(found, list), "no problem was found"
    return found


def with_change(old: str, new: str) -> str:
    assert SMALL.count(old) >= 1, f"{old!r} is not in the small contract"
    return SMALL.replace(old, new, 1)


# ------------------------------------------------------------------------------------------------------- the sample


def test_the_sample_holds_what_is_known_of_cloud_i():
    contract = loaded(SAMPLE)
    assert {code: lot.ceiling for code, lot in contract.lots.items()} == {
        "1": Decimal(10_200_000), "2": Decimal(13_900_000), "3": Decimal(10_300_000),
    }  # fmt: skip
    assert contract.ceiling == Decimal(34_400_000) == total(lot.ceiling for lot in contract.lots.values())
    assert list(contract.awards) == [
        "1/BT", "2/BT", "2/IBM", "2/ACCENTURE", "2/CTA", "2/ATOS", "2/COMPAREX", "3/TI", "3/ACCENTURE", "3/ATOS",
        "3/IBM",
    ]  # fmt: skip
    assert contract.awards["2/CTA"].providers == ("numergy", "portugal-telecom", "gigas", "enter")
    assert set(contract.institutions) == {"EC", *OTHERS}
    assert len(contract.institutions) == 56
    assert list(contract.institutions["EC"].departments) == COMMISSION
    assert len(COMMISSION) == 33
    assert [(str(each.starts), str(each.ends)) for each in contract.phases] == [
        ("2016-01-01", "2018-01-01"), ("2018-01-01", "2019-01-01"), ("2019-01-01", "2020-01-01"),
    ]  # fmt: skip
    members = {each.partition("/")[0] for pool in contract.pools.values() for each in pool.weights}
    assert len(members) > 3
    assert {pool.key for pool in contract.pools.values()} == set(AllocationKey)


def test_the_sample_prices_what_the_demo_uses_under_every_award():
    contract = loaded(SAMPLE)
    for tariff in contract.tariffs:
        assert {"vcpu.hour", "memory.gib-hour"} <= set(tariff.prices), tariff.award
    prices = [price for tariff in contract.tariffs for price in tariff.prices.values()]
    assert {price.scope for price in prices if price.model.kind == "graduated"} == {Scope.INSTITUTION, Scope.CONTRACT}
    assert {str(each.valid_from) for each in contract.tariffs_by_award["2/CTA"]} == {"2016-01-01", "2016-03-15"}
    assert "invented" in SAMPLE.lower()


# ------------------------------------------------------------------------------------------------ each kind of mistake

AGAIN = '[[awards]]\nlot = "2"\nsupplier = "BETA"\nproviders = ["beta-north"]'
# By name: what is changed in the small contract, into what, and the problem's place, found and wanted.
MISTAKES: dict[str, tuple[str, str, str, str, str]] = {
    "unknown lot": (
        'lot = "1"\nsupplier', 'lot = "7"\nsupplier', "awards[7/ALPHA].lot", "'7'", "one of the lots: 1, 2",
    ),
    "unknown supplier": (
        'supplier = "BETA"', 'supplier = "BETTA"', "awards[2/BETTA].supplier", "'BETTA'",
        "one of the suppliers: ALPHA, BETA",
    ),
    "unknown provider": (
        '"beta-north", "beta-south"', '"beta-north", "beta-sud"', "awards[2/BETA].providers", "'beta-sud'",
        "one of the providers: alpha, beta-north, beta-south",
    ),
    "unknown award": (
        'award = "2/ALPHA"', 'award = "3/ALPHA"', "tariffs[3/ALPHA 2016-01-01].award", "'3/ALPHA'",
        "one of the awards (lot/supplier): 1/ALPHA, 2/ALPHA, 2/BETA",
    ),
    "unknown item": (
        "[tariffs.prices.traffic]", "[tariffs.prices.trafic]", "tariffs[2/BETA 2016-01-01].prices.trafic",
        "an unknown item", "one of the items: disk, traffic, vm",
    ),
    "unknown institution in a pool": (
        'EDA = "0.3"', 'EDDA = "0.3"', "pools[mail].weights.EDDA", "an unknown member",
        "one of the institutions and departments: EC, EC/AGRI, EC/DIGIT, EDA, EP",
    ),
    "unknown department in a pool": (
        'members = ["EP", "EDA", "EC/DIGIT"]', 'members = ["EP", "EC/DIGTI"]', "pools[desk].members", "'EC/DIGTI'",
        "one of the institutions and departments: EC, EC/AGRI, EC/DIGIT, EDA, EP",
    ),
    "country outside the residency": (
        'country = "BE"', 'country = "US"', "regions[be-brussels].country", "'US'",
        "one of the countries of [residency]: BE, FR",
    ),
    "not a country": (
        'name = "Alpha"\ncountry = "BE"', 'name = "Alpha"\ncountry = "Belgium"', "suppliers[ALPHA].country",
        "'Belgium'", 'a country\'s two capital letters, like "BE"',
    ),
    "residency not a country": (
        '["BE", "FR"]', '["BE", "FR", "uk"]', "residency.countries[2]", "'uk'",
        'a country\'s two capital letters, like "BE"',
    ),
    "duplicate code": (
        'code = "fr-paris"', 'code = "be-brussels"', "regions[be-brussels].code", "'be-brussels' again",
        "a code of its own",
    ),
    "duplicate department": (
        'code = "AGRI"', 'code = "DIGIT"', "institutions[EC].departments[DIGIT].code", "'DIGIT' again",
        "a code of its own",
    ),
    "duplicate award": (
        'supplier = "BETA"\nproviders = ["beta-north", "beta-south"]',
        'supplier = "BETA"\nproviders = ["beta-north", "beta-south"]\n' + AGAIN,
        "awards[2/BETA]", "the award 2/BETA again", "each supplier only once in a lot",
    ),
    "duplicate tariff": (
        "valid_from = 2016-03-15", "valid_from = 2016-01-01", "tariffs[1/ALPHA 2016-01-01].valid_from",
        "2016-01-01 again", "a day on which no other tariff of 1/ALPHA begins",
    ),
    "provider under two awards of a lot": (
        '["beta-north", "beta-south"]', '["beta-north", "beta-south", "alpha"]', "awards[2/BETA].providers",
        "'alpha', which already delivers under 2/ALPHA",
        "a provider of its own: provider and lot must name one award",
    ),
    "provider twice in an award": (
        '["beta-north", "beta-south"]', '["beta-north", "beta-south", "beta-north"]', "awards[2/BETA].providers[2]",
        "'beta-north' again", "each only once",
    ),
    "reserved code": (
        'code = "EDA"\nname', 'code = "pool"\nname', "institutions[pool].code", "'pool'",
        'another code: "pool/..." stands for the pools',
    ),
    "gap between phases": (
        "starts = 2018-01-01", "starts = 2018-01-03", "phases[renewal].starts",
        "2018-01-03, which leaves a gap after 'initial term'", "2018-01-01: 'initial term' ends on 2017-12-31",
    ),
    "overlap of phases": (
        "starts = 2018-01-01", "starts = 2017-12-31", "phases[renewal].starts",
        "2017-12-31, which overlaps 'initial term'", "2018-01-01: 'initial term' ends on 2017-12-31",
    ),
    "phase ends before it starts": (
        "ends = 2018-12-31", "ends = 2017-12-31", "phases[renewal].ends", "2017-12-31",
        "2018-01-01 or later: it starts then",
    ),
    "no tariff on the first day": (
        'award = "2/ALPHA"\nvalid_from = 2016-01-01', 'award = "2/ALPHA"\nvalid_from = 2016-02-01',
        "awards[2/ALPHA]", "no tariff before 2016-02-01",
        "one of [[tariffs]] valid from the contract's first day, 2016-01-01",
    ),
    "tariff outside the contract": (
        "valid_from = 2016-03-15", "valid_from = 2019-01-01", "tariffs[1/ALPHA 2019-01-01].valid_from", "2019-01-01",
        "a day of the contract, from 2016-01-01 to 2018-12-31",
    ),
    "date in quotes": (
        "valid_from = 2016-03-15", 'valid_from = "2016-03-15"', "tariffs[1/ALPHA 2016-03-15].valid_from",
        "'2016-03-15'", "a date like 2016-01-01, without quotes, from the year 2000 to 2199",
    ),
    "tiers out of order": (
        '{ up_to = "500", price = "0.05" }', '{ up_to = "50", price = "0.05" }',
        "tariffs[2/BETA 2016-01-01].prices[vm].tiers[1].up_to", "50, not above the bound before it",
        "a bound above 100",
    ),
    "overlapping tiers": (
        '{ up_to = "500", price = "0.05" }', '{ up_to = "100", price = "0.05" }',
        "tariffs[2/BETA 2016-01-01].prices[vm].tiers[1].up_to", "100, not above the bound before it",
        "a bound above 100",
    ),
    "gap above the last tier": (
        '{ price = "0.04" }', '{ up_to = "900", price = "0.04" }',
        "tariffs[2/BETA 2016-01-01].prices[vm].tiers[2].up_to", "900: usage above it has no price",
        "no up_to: the last tier is open",
    ),
    "open tier in between": (
        '{ up_to = "500", price = "0.05" }', '{ price = "0.05" }',
        "tariffs[2/BETA 2016-01-01].prices[vm].tiers[1].up_to", "nothing",
        "a bound: only the last tier is open",
    ),
    "no tiers": (
        'tiers = [{ up_to = "1000", price = "0.09" }, { price = "0.07" }]', "tiers = []",
        "tariffs[2/BETA 2016-01-01].prices[traffic].tiers", "[]", "from 1 to 10000 tables [[tiers]]",
    ),
    "unknown model": (
        'model = "per_unit"', 'model = "per-unit"', "tariffs[1/ALPHA 2016-01-01].prices[vm].model", "'per-unit'",
        "one of per_unit, graduated, volume, package, stairstep, flat, percentage",
    ),
    "unknown scope": (
        'scope = "contract"', 'scope = "lot"', "tariffs[2/BETA 2016-01-01].prices[traffic].scope", "'lot'",
        "one of institution, department, contract",
    ),
    "float with too many digits": (
        'price = "0.10"', "price = 0.1000000000001", "tariffs[1/ALPHA 2016-01-01].prices[vm].price",
        "0.1000000000001", "a decimal from 0 to 1000000000 with at most 12 decimals",
    ),
    "negative price": (
        'price = "0.10"', 'price = "-0.10"', "tariffs[1/ALPHA 2016-01-01].prices[vm].price", "'-0.10'",
        "a decimal from 0 to 1000000000 with at most 12 decimals",
    ),
    "price that is no number": (
        'price = "0.10"', "price = nan", "tariffs[1/ALPHA 2016-01-01].prices[vm].price", "NaN",
        "a decimal from 0 to 1000000000 with at most 12 decimals",
    ),
    "weights that do not add up": (
        'EDA = "0.3"', 'EDA = "0.31"', "pools[mail].weights", "weights that add up to 1.01", "exactly 1",
    ),
    "weight above one": (
        'EDA = "0.3"', 'EDA = "30"', "pools[mail].weights.EDA", "'30'",
        "a decimal from 0 to 1 with at most 12 decimals",
    ),
    "members for weights": (
        "[pools.weights]", 'members = ["EP"]\n[pools.weights]', "pools[mail].members", "an unknown key",
        "one of code, key, name, weights",
    ),
    "unknown allocation key": (
        'key = "equal"', 'key = "fair"', "pools[desk].key", "'fair'", "one of weights, equal, proportional",
    ),
    "counted twice": (
        'members = ["EP", "EDA", "EC"]', 'members = ["EP", "EC/DIGIT", "EC"]', "pools[backup].members",
        "'EC/DIGIT' beside 'EC', which includes it",
        "the institution or its departments: direct use would count twice",
    ),
    "lots above the contract": (
        'ceiling = "1000"', 'ceiling = "999.99"', "lots", "ceilings that add up to 1000",
        "at most the contract's ceiling, 999.99",
    ),
    "award above its lot": (
        'ceiling = "500"', 'ceiling = "600.01"', "awards[1/ALPHA].ceiling", "600.01", "at most its lot's ceiling, 600",
    ),
    "budget above the contract": (
        'budget = "200"', 'budget = "1001"', "institutions[EP].budget", "1001",
        "at most the contract's ceiling, 1000",
    ),
    "unknown time zone": (
        "Europe/Brussels", "Europe/Bruxelles", "contract.time_zone", "'Europe/Bruxelles'",
        'a time zone of the IANA database, like "Europe/Brussels"',
    ),
    "unknown currency": (
        '"EUR"', '"BEF"', "contract.currency", "'BEF'", "one of the 176 currencies of ISO 4217, maybe BIF",
    ),
    "thresholds not rising": (
        "grace_days = 5", "alert_thresholds = [50, 90, 75]", "contract.alert_thresholds", "[50, 90, 75]",
        "a list of whole numbers from 1 to 1000, each above the one before it",
    ),
    "grace too long": (
        "grace_days = 5", "grace_days = 91", "contract.grace_days", "91", "a whole number from 0 to 90",
    ),
    "late by no day": (
        "grace_days = 5", "late_days = 0", "contract.late_days", "0", "a whole number from 1 to 3660",
    ),
    "misspelt key": (
        "grace_days = 5", "grace_day = 5", "contract.grace_day", "an unknown key",
        "one of alert_thresholds, ceiling, closes_itself, code, currency, grace_days, late_days, name, time_zone",
    ),
    "missing key": (
        'unit = "GiB"', "", "items[traffic].unit", "nothing", "a text of 1 to 32 printable characters",
    ),
    "not a code": (
        'code = "disk"', 'code = "disk/ssd"', "items[disk/ssd].code", "'disk/ssd'",
        "1 to 64 letters, digits, '.', '_' or '-', beginning and ending with a letter or digit",
    ),
    "a table where a list should be": (
        "[residency]", "[[residency]]", "residency", "a list of 1 entries", "a table of 1 to 10000 entries",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_has_its_place(name: str):
    old, new, place, found, wanted = MISTAKES[name]
    assert Problem(place, found, wanted) in problems(with_change(old, new))


ONLY = {"duplicate code", "gap between phases", "overlap of phases", "no tariff on the first day", "tiers out of order",
        "float with too many digits", "weights that do not add up", "lots above the contract", "date in quotes",
        "unknown scope", "unknown model", "unknown time zone", "weight above one", "not a country"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ONLY))
def test_a_mistake_is_not_told_twice(name: str):
    old, new, *_ = MISTAKES[name]
    assert len(problems(with_change(old, new))) == 1


def test_all_mistakes_at_once():
    names = ["float with too many digits", "weights that do not add up", "gap between phases", "award above its lot",
             "overlapping tiers", "country outside the residency", "unknown currency", "misspelt key",
             "unknown department in a pool", "lots above the contract"]  # fmt: skip
    text = SMALL
    for name in names:
        text = text.replace(*MISTAKES[name][:2], 1)
    found = problems(text)
    for name in names:
        assert MISTAKES[name][2] in {each.place for each in found}, name
    assert len(found) == len(names)


def test_what_is_left_out():
    assert {each.place for each in problems("")} == {
        "contract", "phases", "residency", "regions", "items", "lots", "suppliers", "providers", "awards", "tariffs",
        "institutions",
    }  # fmt: skip
    without_pools = SMALL[: SMALL.index("[[pools]]")]
    assert loaded(without_pools).pools == {}
    text = SMALL.replace('[[awards]]\nlot = "1"\nsupplier = "ALPHA"\nproviders = ["alpha"]\nceiling = "500"\n', "")
    assert Problem("lots[1]", "no award", 'at least one of [[awards]] with lot = "1"') in problems(text)
    text = with_change('["beta-north", "beta-south"]', '["beta-north"]')
    assert problems(text) == [
        Problem("providers[beta-south]", "no award it delivers under", "a place among an award's providers")
    ]


def test_codes_with_a_dot_go_in_quotes():
    text = with_change('code = "traffic"', 'code = "net.out"').replace("prices.traffic", "prices.net.out")
    assert Problem(
        "tariffs[2/BETA 2016-01-01].prices.net", "an unknown item", 'quotes: [tariffs.prices."net.out"]'
    ) in problems(text)
    assert "net.out" in loaded(text.replace("prices.net.out", 'prices."net.out"')).items


def test_topics_that_kafka_takes_for_the_same():
    text = SMALL.replace("beta-north", "beta.x").replace("beta-south", "beta_x")
    assert [each.place for each in problems(text)] == ["providers[beta_x].code"]


def test_defaults():
    contract = loaded(with_change("grace_days = 5\n", ""))
    assert contract.grace_days == 10
    assert contract.thresholds == (50, 75, 90, 100)
    assert loaded(with_change("grace_days = 5", "grace_days = 0\nalert_thresholds = []")).thresholds == ()


def test_toml_numbers_are_taken_digit_by_digit():
    contract = loaded(with_change('price = "0.10"', "price = 0.10"))
    assert contract.tariffs[0].prices["vm"].model.amount(Decimal(3)) == Decimal("0.30")


# ------------------------------------------------------------------------------------------------- no text is too much


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[contract", "end of document"),
        ("[contract]\ncode = ", "end of document"),
        ("[contract]\ncode = 'a'\ncode = 'b'\n", "line 3, column 11"),
        ("# " + "x" * FILE_BYTES_MAX, "the file"),
        ("x = " + "[" * 100_000, "the file"),
        ("x = " + "{a=" * 100_000, "the file"),
        ("x = " + "9" * 10_000, "the file"),
        ("x = 1e" + "9" * 40, "the file"),
        ("x = 2016-02-30", "the file"),
        ("# \ud800", "character 2"),
    ],
)
def test_what_is_not_toml(text: str, place: str):
    assert len(problems(text)) == 1
    assert problems(text)[0].place.startswith((place, "line 1, column"))


@pytest.mark.parametrize(
    "value",
    ["nan", "-inf", "0x" + "f" * 1000, "1e-60", "1e60", "1e999999", "-0.0", "2016-01-01T00:00:00Z", "07:32:00",
     "9999-12-31", "0001-01-01", "true", "[[], [[]]]", "{a.b.c = 1}", '"\\u0000"', '"\\n"', '"٣"', '""',
     '"' + "x" * 5000 + '"', '"../../etc/passwd"', '"Europe"', '"Europe/"', "'\\'"],
)  # fmt: skip
def test_strange_values_are_problems(value: str):
    for key in ("code", "name", "currency", "time_zone", "ceiling", "grace_days"):
        old = next(line for line in SMALL.splitlines() if line.startswith(f"{key} = "))
        check_result(load(SMALL.replace(old, f"{key} = {value}", 1)))


def test_deep_dotted_tables():
    check_result(load("[" + ".".join("a" * 3000) + "]\nx = 1\n" + SMALL))


def test_many_of_anything():
    text = SMALL + "".join(f'\n[[institutions]]\ncode = "I{n}"\nname = "I"\n' for n in range(10_001))
    assert problems(text)[0] == Problem(
        "institutions", "a list of 10004 entries", "from 1 to 10000 tables [[institutions]]"
    )


def check_result(found: Contract | list[Problem]) -> None:
    """What holds of every result."""
    if isinstance(found, list):
        assert found
        assert len(set(found)) == len(found)
        for each in found:
            assert each.place
            assert each.found
            assert each.wanted
            assert str(each).isprintable()
        return
    assert check(found) == []
    assert found.phases
    assert found.starts < found.ends
    assert total(lot.ceiling for lot in found.lots.values()) <= found.ceiling
    for award in found.awards.values():
        assert award.lot in found.lots
        assert award.supplier in found.suppliers
        assert set(award.providers) <= set(found.providers)
        assert found.tariffs_by_award[award.code][0].valid_from == found.starts
    for pool in found.pools.values():
        assert set(pool.weights) <= found.subjects
        assert pool.key is not AllocationKey.WEIGHTS or total(pool.weights.values()) == 1
    for tariff in found.tariffs:
        for price in tariff.prices.values():
            assert price.model.amount(Decimal(0)) == 0
    assert len(found.period_starts) >= 2
    assert found.currency_digits >= 0


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in entries for place in places(each, (*path, key)))]


def as_toml(value: Any) -> str:
    """Write a value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(str(key))} = {as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = "".join(char if char.isalnum() or char in " -_./" else f"\\U{ord(char):08x}" for char in value)
        return f'"{escaped}"'
    return str(value).lower().replace("infinity", "inf")


DOCUMENTS = [tomllib.loads(text, parse_float=Decimal) for text in (SMALL, SAMPLE)]
PLACES = [[place for place in places(document) if place] for document in DOCUMENTS]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.decimals() | st.integers() | st.sampled_from([Decimal("1e-70"), Decimal("1e70"), 10**80])
VALUES = st.recursive(
    st.booleans() | TEXTS | NUMBERS.filter(lambda number: "sNaN" not in str(number)) | st.dates() | st.datetimes()
    | st.sampled_from(["EP", "EC", "EC/DIGIT", "vm", "1", "2", "alpha", "pool", "0.5", "weights", "Europe"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


def mutate(place: tuple[Any, ...], change: Callable[[Any, Any], None], document: dict[str, Any]) -> None:
    """Change one place, if it is still there."""
    holder: Any = document
    try:
        for key in place[:-1]:
            holder = holder[key]
        change(holder, place[-1])
    except (AttributeError, IndexError, KeyError, TypeError):
        return


def delete(holder: Any, key: Any) -> None:
    del holder[key]


def double(holder: Any, key: Any) -> None:
    holder.insert(key, copy.deepcopy(holder[key]))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_changed_contract_is_a_contract_or_problems(data: st.DataObject):
    which = data.draw(st.integers(0, 1))
    document = copy.deepcopy(DOCUMENTS[which])
    for place in data.draw(st.lists(st.sampled_from(PLACES[which]), min_size=1, max_size=4)):
        kind = data.draw(st.sampled_from(["delete", "double", "replace", "swap"]))
        if kind == "delete":
            mutate(place, delete, document)
        elif kind == "double":
            mutate(place, lambda holder, key: double(holder, key) if isinstance(holder, list) else None, document)
        else:
            value = data.draw(VALUES)
            if kind == "swap":
                value = DOCUMENTS[which]
                for key in data.draw(st.sampled_from(PLACES[which])):
                    value = value[key]
            mutate(place, lambda holder, key, value=value: holder.__setitem__(key, copy.deepcopy(value)), document)
    text = "\n".join(f"{as_toml(key)} = {as_toml(value)}" for key, value in document.items())
    check_result(load(text))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str):
    check_result(load(text))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SMALL)), st.integers(0, 40), st.text(st.sampled_from("[]{}=\"\n.,#0129-:Tabc' "), max_size=8))
def test_any_slip_of_the_pen(start: int, length: int, text: str):
    check_result(load(SMALL[:start] + text + SMALL[start + length :]))


def test_the_sample_is_checked_as_written():
    check_result(load(SAMPLE))
