"""`plafond bill`: the same result as the core alone, an event after the other, whatever form the usage comes in."""

import csv
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cramjam
import duckdb
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.commands.bill import bill_command
from services.commands.price import price_command
from services.contract.charges import ChargeKey, price_of
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import ZERO, add, plain
from services.ingest.decide import Accepted, Decider
from services.ingest.events import UsageEvent
from services.invoicing.ceilings import spending, standings
from services.invoicing.settle import settle
from services.invoicing.statement import Statement, statements
from services.offline.bill import Bill, Rejection, bill, read_usage
from services.offline.readers import events, read_mapping, workplace
from services.offline.source import Format, UsageFileError
from services.offline.write import write
from services.reasons import Reason, Refusal

HERE = Path(__file__).parent
SMALL = HERE.parent / "data" / "small.toml"
BITBRAINS = HERE.parents[1] / "deploy" / "usage" / "bitbrains_small_trace.parquet"
NOW = datetime(2016, 5, 1, tzinfo=UTC)
FIELDS = ("id", "provider", "time", "subject", "lot", "item", "quantity", "region", "resource", "corrects")
Row = dict[str, str]


@pytest.fixture(scope="module")
def contract() -> Contract:
    return small()


def small() -> Contract:
    loaded = load(SMALL.read_text("utf-8"))
    assert isinstance(loaded, Contract), loaded
    return loaded


def row(number: int | str, subject: str, item: str, quantity: str, **other: str) -> Row:
    usual = {"provider": "alpha", "time": "2016-03-05T10:00:00Z", "lot": "1", "region": "be-brussels"}
    empty = {"resource": "", "corrects": ""}
    return {**empty, **usual, "id": str(number), "subject": subject, "item": item, "quantity": quantity, **other}


def beta(number: int | str, subject: str, item: str, quantity: str, **other: str) -> Row:
    return row(number, subject, item, quantity, **{"provider": "beta-north", "lot": "2", **other})


def write_csv(path: Path, rows: Iterable[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_line(row: Row, **other: object) -> str:
    data = {key: row[key] for key in ("lot", "item", "quantity", "region", "resource", "corrects")}
    event = {
        "specversion": "1.0", "type": "plafond.usage.v1", "id": row["id"], "source": f"/providers/{row['provider']}",
        "time": row["time"], "subject": row["subject"], "data": data,
    }  # fmt: skip
    return json.dumps(event | other, ensure_ascii=False)


def write_lines(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text("".join(as_line(each) + "\n" for each in rows), "utf-8")
    return path


def reckon(contract: Contract, *paths: Path, form: Format | None = None) -> tuple[Bill, list[Rejection]]:
    with workplace(threads=2) as place:
        usage = read_usage(place, [str(path) for path in paths], form)
        return bill(contract, usage, NOW), list(usage.rejections())


def reckon_rows(contract: Contract, rows: list[Row]) -> tuple[Bill, list[Rejection]]:
    with TemporaryDirectory() as folder:
        return reckon(contract, write_lines(Path(folder) / "usage.jsonl", rows))


def reference(contract: Contract, rows: Iterable[Row]) -> tuple[dict[ChargeKey, Decimal], Counter[str], list[str]]:
    """The plain core, row by row: quantities, counts, and each refusal's sentence."""
    decider = Decider(contract)
    seen: dict[tuple[str, str], Accepted] = {}
    quantities: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    counts: Counter[str] = Counter()
    refused = []
    corrected: dict[tuple[str, str], str] = {}
    for each in rows:
        event = UsageEvent(
            each["id"], f"/providers/{each['provider']}", each["time"], each["subject"], each["lot"], each["item"],
            each["quantity"], each["region"], each["resource"], each["corrects"],
        )  # fmt: skip
        decided = decider.decide(each["provider"], event, NOW)
        if isinstance(decided, Accepted):
            key = (each["provider"], decided.id)
            if key in seen and seen[key] == decided:
                counts["repeats"] += 1
                continue
            if key in seen:
                decided = Refusal(Reason.CONFLICT, event.id)
            elif decided.corrects:
                decided = refused_correction(each["provider"], decided, corrected) or decided
        if isinstance(decided, Refusal):
            counts[decided.reason] += 1
            refused.append(decided.explanation)
            continue
        seen[key] = decided
        counts["accepted"] += 1
        if decided.corrects:
            corrected[each["provider"], decided.corrects] = decided.id
    for (provider, event_id), decided in seen.items():
        use = decided.use
        charge_key = ChargeKey(use.award, use.item, use.month, use.tariff, use.subject)
        if (provider, event_id) in corrected:
            continue
        billed = price_of(contract, charge_key).billed(Decimal(decided.quantity))
        quantities[charge_key] = add(quantities[charge_key], billed)
    return dict(quantities), counts, refused


def refused_correction(provider: str, event: Accepted, corrected: dict[tuple[str, str], str]) -> Refusal | None:
    other = (provider, event.corrects)
    if other in corrected:
        return Refusal(Reason.CORRECTED_ALREADY, corrected[other])
    if event.corrects in above(corrected, (provider, event.id)):
        return Refusal(Reason.CORRECTION_CIRCLE, event.corrects)
    return None


def above(corrected: dict[tuple[str, str], str], key: tuple[str, str]) -> Iterator[str]:
    """Yield what replaces an event, what replaces that, and so on."""
    provider, event_id = key
    while (provider, event_id) in corrected:
        event_id = corrected[provider, event_id]
        yield event_id


def check_against_reference(contract: Contract, rows: list[Row], made: Bill, rejections: list[Rejection]) -> None:
    quantities, counts, refused = reference(contract, rows)
    assert made.quantities == quantities
    assert (made.read, made.accepted, made.repeats) == (len(rows), counts["accepted"], counts["repeats"])
    assert {**made.rejected} == {reason: counts[reason] for reason in Reason if counts[reason]}
    assert [each.refusal.explanation for each in rejections] == refused
    months: dict[str, dict[ChargeKey, Decimal]] = defaultdict(dict)
    for key, quantity in quantities.items():
        months[key.month][key] = quantity
    shares = {month: settle(contract, month, months[month]) for month in months}
    assert made.statements == {month: statements(contract, month, shares[month]) for month in shares}
    spent = spending(contract, ((key, share.amount) for each in shares.values() for key, share in each.items()))
    assert made.standings == standings(contract, spent)


def amounts(made: list[Statement]) -> dict[tuple[str, str, str, str, str], str]:
    """Each line's unrounded amount by institution, department, pool, award, item."""
    return {
        (line.key.institution, line.key.department, line.key.pool, line.key.award, line.key.item): plain(line.exact)
        for each in made
        for line in each.lines
    }


# By hand: each number here was worked out on paper from small.toml.


def test_a_price_per_unit_and_months_in_the_contracts_time_zone(contract: Contract) -> None:
    made, rejections = reckon_rows(
        contract,
        [
            row(1, "EP", "vm", "10", time="2016-02-29T22:59:59Z"),  # February's last second in Brussels
            row(2, "EP", "vm", "20", time="2016-02-29T23:00:00Z"),  # 1 March 00:00 there
            row(3, "EP", "vm", "40", time="2016-03-14T22:59:59.999999Z"),
            row(4, "EP", "vm", "80", time="2016-03-15T00:00:00+01:00"),  # the tariff of 15 March: 0.08
            row(5, "EP", "vm", "160", time="2016-03-31T21:59:59Z"),  # summer time: 23:59:59
            row(6, "EP", "vm", "320", time="2016-03-31T22:00:00Z"),  # April
        ],
    )
    assert rejections == []
    assert {month: [plain(each.exact) for each in made.statements[month]] for month in made.statements} == {
        "2016-02": ["1"],
        "2016-03": ["25.2"],  # (20 + 40) x 0.10 + (80 + 160) x 0.08
        "2016-04": ["25.6"],
    }
    assert [plain(line.exact) for line in made.statements["2016-03"][0].lines] == ["6", "19.2"]


def test_tiers_of_an_institution_and_tiers_reached_together(contract: Contract) -> None:
    made, _ = reckon_rows(
        contract,
        [
            beta(1, "EP", "vm", "550"),
            beta(2, "EP", "vm", "50", provider="beta-south"),
            beta(3, "EC/DIGIT", "vm", "60"),  # the institution's departments reach its tiers together: 120
            beta(4, "EC/AGRI", "vm", "60"),
            beta(5, "EP", "traffic", "600"),  # the contract's: 1,200
            beta(6, "EDA", "traffic", "600"),
        ],
    )
    assert amounts(made.statements["2016-03"]) == {
        ("EP", "", "", "2/BETA", "vm"): "30",  # 100 x 0.06 + 400 x 0.05 + 100 x 0.04
        ("EC", "DIGIT", "", "2/BETA", "vm"): "3.5",  # half of 100 x 0.06 + 20 x 0.05
        ("EC", "AGRI", "", "2/BETA", "vm"): "3.5",
        ("EP", "", "", "2/BETA", "traffic"): "52",  # half of 1,000 x 0.09 + 200 x 0.07
        ("EDA", "", "", "2/BETA", "traffic"): "52",
    }
    spent = {(each.key.level.value, each.key.code): plain(each.spent) for each in made.standings if each.spent}
    assert spent == {
        ("contract", "small"): "141", ("lot", "2"): "141", ("award", "2/BETA"): "141",
        ("institution", "EC"): "7", ("institution", "EDA"): "52", ("institution", "EP"): "82",
    }  # fmt: skip


def test_a_pool_of_each_kind(contract: Contract) -> None:
    made, _ = reckon_rows(
        contract,
        [
            row(1, "pool/mail", "vm", "100"),
            row(2, "pool/desk", "vm", "100"),
            row(3, "pool/backup", "disk", "10000"),  # 3.00
            row(4, "EC/AGRI", "vm", "20"),  # 2.00 of direct use: EC has two thirds
            row(5, "EP", "vm", "10"),
        ],
    )
    assert amounts(made.statements["2016-03"]) == {
        ("EP", "", "mail", "1/ALPHA", "vm"): "5",
        ("EDA", "", "mail", "1/ALPHA", "vm"): "3",
        ("EC", "DIGIT", "mail", "1/ALPHA", "vm"): "2",
        ("EC", "DIGIT", "desk", "1/ALPHA", "vm"): "3." + "3" * 26 + "4",  # the odd quantum, by name
        ("EDA", "", "desk", "1/ALPHA", "vm"): "3." + "3" * 27,
        ("EP", "", "desk", "1/ALPHA", "vm"): "3." + "3" * 27,
        ("EC", "", "backup", "1/ALPHA", "disk"): "2",
        ("EP", "", "backup", "1/ALPHA", "disk"): "1",
        ("EC", "AGRI", "", "1/ALPHA", "vm"): "2",
        ("EP", "", "", "1/ALPHA", "vm"): "1",
    }


def test_late_and_negative_usage(contract: Contract) -> None:
    made, _ = reckon_rows(
        contract,
        [
            beta(1, "EP", "vm", "300"),
            row(2, "EP", "vm", "1", time="2016-04-02T00:00:00Z"),
            beta(3, "EP", "vm", "-250"),  # back below the first bound
            row(4, "EDA", "vm", "-3"),
        ],
    )
    assert amounts(made.statements["2016-03"]) == {
        ("EP", "", "", "2/BETA", "vm"): "3",
        ("EDA", "", "", "1/ALPHA", "vm"): "-0.3",
    }
    assert [each.institution for each in made.statements["2016-04"]] == ["EP"]


def test_usage_that_cancels_out_makes_no_line(contract: Contract) -> None:
    made, _ = reckon_rows(contract, [row(1, "EP", "vm", "5"), row(2, "EP", "vm", "-5")])
    assert made.accepted == 2
    assert made.statements == {"2016-03": []}


def test_repeats_count_once_and_conflicts_are_refused(contract: Contract) -> None:
    made, rejections = reckon_rows(
        contract,
        [
            row("a", "EP", "vm", "9", lot="7"),  # refused, so it does not hold the id
            row("a", "EP", "vm", "1"),
            row("a", "EP", "vm", "1.0", time="2016-03-05T11:00:00+01:00"),  # the same, written otherwise
            row("a", "EP", "vm", "2"),
            row("a", "EP", "vm", "1", time="2016-04-05T10:00:00Z"),  # an id is one event's for ever
            beta("a", "EP", "vm", "1"),  # another provider's id is another
            beta("a", "EP", "vm", "1", provider="beta-south"),
        ],
    )
    assert (made.accepted, made.repeats) == (3, 1)
    assert made.rejected == {"unknown_lot": 1, "conflict": 2}
    assert [each.line for each in rejections] == [1, 4, 5]
    assert amounts(made.statements["2016-03"]) == {
        ("EP", "", "", "1/ALPHA", "vm"): "0.1",
        ("EP", "", "", "2/BETA", "vm"): "0.12",
    }


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("malformed", {"id": ""}),
        ("malformed", {"id": "x" * 129}),
        ("malformed", {"id": "a\tb"}),
        ("malformed", {"resource": "x" * 257}),
        ("correction", {"corrects": "2"}),
        ("correction", {"corrects": "x" * 129}),
        ("bad_time", {"time": "2016-03-05T10:00:00"}),
        ("bad_time", {"time": "2016-02-30T10:00:00Z"}),
        ("bad_time", {"time": ""}),
        ("in_future", {"time": "2016-05-01T00:05:00.000001Z"}),
        ("bad_quantity", {"quantity": ""}),
        ("bad_quantity", {"quantity": "-0"}),
        ("bad_quantity", {"quantity": "1,5"}),
        ("bad_quantity", {"quantity": "1000000000000000"}),
        ("bad_quantity", {"quantity": "0.0000000000000001"}),
        ("unknown_provider", {"provider": "gamma"}),
        ("outside_contract", {"time": "2015-12-31T22:59:59Z"}),
        ("unknown_lot", {"lot": "3"}),
        ("unknown_subject", {"subject": "EC/NOBODY"}),
        ("unknown_subject", {"subject": "pool/none"}),
        ("region_not_allowed", {"region": "us-east-1"}),
        ("unknown_item", {"item": "tape"}),
        ("no_price", {"item": "traffic"}),
    ],
)
def test_each_reason(contract: Contract, reason: str, changed: Row) -> None:
    rows = [row(1, "EP", "vm", "1"), {**row(2, "EP", "vm", "1"), **changed}]
    made, rejections = reckon_rows(contract, rows)
    assert made.rejected == {reason: 1}
    assert [each.line for each in rejections] == [2]
    assert rejections[0].event.quantity == rows[1]["quantity"]
    check_against_reference(contract, rows, made, rejections)


def test_late_usage_and_rounded_quantities() -> None:
    """The clock is at 1 May 2016: with 40 days, February's usage has not been taken since 10 April."""
    text = SMALL.read_text("utf-8").replace("grace_days = 5", "grace_days = 5\nlate_days = 40")
    text = text.replace('price = "0.10"', 'price = "0.10"\nminimum = "0.5"\nincrement = "0.25"')
    strict = load(text)
    assert isinstance(strict, Contract)
    rows = [
        row(number, "EP", "vm", quantity, time=f"2016-03-0{number}T10:00:00Z")
        for number, quantity in enumerate(["0", "0.01", "0.51", "2", "-0.6", "0.000000000000001", "1.250"], start=1)
    ]
    rows.append(row(8, "EP", "vm", "1", time="2016-02-29T22:59:59Z"))
    made, rejections = reckon_rows(strict, rows)
    assert list(made.quantities.values()) == [Decimal("4.25")]  # 0 + 0.5 + 0.75 + 2 - 0.75 + 0.5 + 1.25
    assert made.rejected == {"too_late": 1}
    check_against_reference(strict, rows, made, rejections)


@pytest.mark.parametrize("order", [1, -1])
def test_what_corrects_usage_that_was_refused_counts_as_any_usage(order: int) -> None:
    """The clock is at 1 May 2016. February's usage is not taken, so nothing of it can be taken back either."""
    strict = load(SMALL.read_text("utf-8").replace("grace_days = 5", "grace_days = 5\nlate_days = 40"))
    assert isinstance(strict, Contract)
    rows = [
        row("old", "EP", "vm", "1", time="2016-02-29T22:59:59Z"), row("new", "EP", "vm", "7", corrects="old"),
        row("old2", "EP", "vm", "2", time="2016-02-29T22:59:59Z"), row("gone", "EP", "vm", "0", corrects="old2"),
    ][::order]  # fmt: skip
    made, rejections = reckon_rows(strict, rows)
    assert list(made.quantities.values()) == [7]
    assert (made.accepted, made.rejected) == (2, {"too_late": 2})
    check_against_reference(strict, rows, made, rejections)


def test_the_clocks_edge(contract: Contract) -> None:
    made, _ = reckon_rows(contract, [row(1, "EP", "vm", "1", time="2016-05-01T00:05:00Z")])
    assert made.accepted == 1


def test_sums_beyond_38_digits(contract: Contract) -> None:
    """A sum of DECIMAL(38, 15) ends below 10^23; a bill must not."""
    most = "999999999999999.999999999999999"
    rows = [row(number, "EP", "vm", most[number % 4 :]) for number in range(20)]
    made, rejections = reckon_rows(contract, rows)
    check_against_reference(contract, rows, made, rejections)
    with workplace() as place:
        database, _ = place
        database.execute(f"create view many as select '{most}'::decimal(38, 15) as q from range(200_000_000)")
        with pytest.raises(duckdb.Error):
            database.execute("select sum(q) from many").fetchall()
        sums = "select sum(trunc(q)::hugeint)::hugeint, sum(q - trunc(q)) from many"
        whole, fraction = database.execute(sums).fetchall()[0]
        assert whole + fraction == Decimal(most) * 200_000_000


# The important one: whatever the rows, DuckDB's way and the core's way agree.

TIMES = [
    "2016-03-01T00:00:00Z", "2016-02-29T23:30:00Z", "2016-02-29T22:59:59.999999Z", "2016-03-15T00:00:00+01:00",
    "2016-03-14T23:00:00Z", "2016-03-31T22:00:00z", "2016-03-31t21:59:59Z", "2016-03-01 00:00:00Z",
    "2016-03-01T00:00:00.1Z", "2016-03-01T00:00:00.123456789Z", "2016-03-01T00:00:00.1234567890Z",
    "2016-03-01T24:00:00Z", "2016-03-01T23:59:60Z", "2016-02-30T00:00:00Z", "2016-13-01T00:00:00Z",
    "2016-03-01T00:00:00+24:00", "2016-03-01T00:00:00-23:59", "2016-03-01T00:00:00+00:60", "2016-03-01T00:00:00-00:00",
    "2016-03-01T00:00:00", "2016-03-01", "2016-03-01T00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
    "0000-01-01T00:00:00Z", "2015-12-31T22:59:59Z", "2015-12-31T23:00:00Z", "2018-12-31T23:00:00Z",
    "2016-05-01T00:05:00Z", "2016-05-01T00:05:00.000001Z", "2016-05-01T02:05:00+02:00", "", " 2016-03-01T00:00:00Z",
    "2016-03-01T00:00:00Z\n", "٢٠١٦-03-01T00:00:00Z", "1582-10-10T00:00:00Z", "2016-03-01T00:00:00.Z",
]  # fmt: skip
QUANTITIES = [
    "1", "-1", "2.5", "0", "0.0", "-0", "-0.00", "1e3", "1E-15", "1e-16", "-1e-3", "0e5", "-0e5", "00012.50", ".5",
    "5.", "+1", "1,5", " 1", "1 ", "٣", "", "nan", "inf", "1_000", "0x1", "999999999999999.999999999999999",
    "-999999999999999.999999999999999", "1000000000000000", "0.0000000000000001", "1.50000000000000000000",
    "0.000000000000001", "000000000000000000001", "1" + "0" * 41, "9e99", "1\n", "123456789012345.123456789",
]  # fmt: skip
TEXTS = ["", "a", "é", "a b", " ", "x" * 128, "x" * 129, "x" * 256, "x" * 257, "a\n", "\t", "\x00", "\x1e", "\x7f",
         "\u2028", "😀", "'", '"', ";", ",", "\\", "NULL", "é" * 128]  # fmt: skip


@pytest.mark.parametrize("field", ["time", "quantity", "id", "resource"])
def test_each_odd_form_comes_out_as_from_the_core_alone(contract: Contract, field: str, tmp_path: Path) -> None:
    odd = {"time": TIMES, "quantity": QUANTITIES, "id": TEXTS, "resource": TEXTS}[field]
    rows = [{**row(number, "EP", "vm", "1"), field: each} for number, each in enumerate(odd) if "\x00" not in each]
    made, rejections = reckon(contract, write_csv(tmp_path / "usage.csv", rows))
    check_against_reference(contract, rows, made, rejections)


@pytest.mark.parametrize(
    "changed",
    [{"time": "2016-03-05T10:00:00.000001Z"}, {"subject": "EDA"}, {"lot": "2"}, {"item": "disk"}, {"quantity": "1.01"},
     {"region": "fr-paris"}, {"resource": "vm-1"}],
)  # fmt: skip
def test_any_other_content_under_the_same_id_is_a_conflict(contract: Contract, changed: Row) -> None:
    rows = [row(1, "EP", "vm", "1"), {**row(1, "EP", "vm", "1"), **changed}]
    made, rejections = reckon_rows(contract, rows)
    assert made.rejected == {"conflict": 1}
    check_against_reference(contract, rows, made, rejections)


def mostly(usual: list[str], odd: list[str]) -> st.SearchStrategy[str]:
    return st.one_of(*[st.sampled_from(usual)] * 4, st.sampled_from(odd))


ROWS = st.fixed_dictionaries(
    {
        "id": mostly([str(number) for number in range(12)], TEXTS),
        "provider": mostly(["alpha", "beta-north", "beta-south"], ["gamma", "", "Alpha", "alpha "]),
        "time": mostly(TIMES[:6], TIMES),
        "subject": mostly(
            ["EP", "EC", "EC/DIGIT", "pool/mail", "pool/desk", "pool/backup"], ["EDA", "pool/", "ec", "", "é"]
        ),
        "lot": mostly(["1", "2"], ["3", "", "١"]),
        "item": mostly(["vm", "disk", "traffic"], ["tape", "", "VM"]),
        "quantity": mostly(QUANTITIES[:4], QUANTITIES),
        "region": mostly(["be-brussels", "fr-paris"], ["us", ""]),
        "resource": mostly(["", "vm-1"], TEXTS),
        "corrects": mostly(["", "", "1", "2", "3"], ["x", "5", "4"]),
    }
)
FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(st.lists(ROWS.filter(lambda row: "\n" not in row["quantity"]), max_size=30))  # JSON would show it escaped
def test_any_rows_come_out_as_from_the_core_alone(rows: list[Row]) -> None:
    contract = small()
    made, rejections = reckon_rows(contract, rows)
    check_against_reference(contract, rows, made, rejections)


@FEW
@given(st.lists(ROWS.filter(lambda row: "\x00" not in "".join(row.values())), min_size=1, max_size=30))
def test_any_rows_come_out_the_same_from_csv(rows: list[Row]) -> None:
    contract = small()
    with TemporaryDirectory() as folder:
        made, rejections = reckon(contract, write_csv(Path(folder) / "usage.csv", rows))
    check_against_reference(contract, rows, made, rejections)


USUAL = st.fixed_dictionaries(
    {
        "provider": st.sampled_from(["alpha", "beta-north"]),
        "time": st.sampled_from(TIMES[:6]),
        "subject": st.sampled_from(["EP", "EC", "EC/DIGIT", "EDA", "pool/mail", "pool/desk", "pool/backup"]),
        "lot": st.sampled_from(["1", "2"]),
        "item": st.sampled_from(["vm", "disk", "traffic"]),
        "quantity": st.decimals("-100", "1000", places=9).map(lambda number: f"{number:f}"),
        "region": st.just("be-brussels"),
    }
)


@FEW
@given(st.lists(USUAL, max_size=20).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(range(len(rows))))))
def test_the_order_of_the_rows_does_not_matter(drawn: tuple[list[Row], list[int]]) -> None:
    contract = small()
    rows = [{"resource": "", "corrects": "", **each, "id": str(number)} for number, each in enumerate(drawn[0])]
    rows += rows[:3]  # repeats
    order = [*drawn[1], *range(len(drawn[1]), len(rows))][::-1]
    one, _ = reckon_rows(contract, rows)
    other, _ = reckon_rows(contract, [rows[place] for place in order])
    assert (one.statements, one.standings, one.accepted) == (other.statements, other.standings, other.accepted)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_corrections_in_a_circle_lose_no_usage(contract: Contract, order: tuple[int, ...]) -> None:
    circle = [row(each, "EP", "vm", "5", corrects=str((each + 1) % 3)) for each in order]
    rows = [row("before", "EP", "vm", "1"), *circle, row(order[2], "EP", "vm", "9")]  # the last comes again, mended
    made, rejections = reckon_rows(contract, rows)
    assert made.rejected == {"correction_circle": 1}
    assert rejections[0].event.id == str(order[2])
    assert rejections[0].refusal.found == str((order[2] + 1) % 3), "what counts in the circle's stead"
    check_against_reference(contract, rows, made, rejections)


# Forms.


def sample_rows() -> list[Row]:
    return [
        row(1, "EP", "vm", "1.250", resource='vm, "quoted"\n'),
        row(2, "EC/DIGIT", "disk", "1234567.123456789"),
        beta(3, "pool/mail", "vm", "-2"),
        beta(3, "pool/mail", "vm", "-2.0"),
        row(4, "nobody", "vm", "1"),
        row(5, "EP", "vm", ""),
        beta("sechs-é", "EDA", "traffic", "0.000000001", time="2016-04-30T22:30:00+00:00"),
    ]


def same_usage_in_every_form(folder: Path) -> Iterator[Path]:
    rows = sample_rows()
    plain_csv = write_csv(folder / "usage.csv", rows)
    yield plain_csv
    yield write_lines(folder / "usage.jsonl", rows)
    packed = folder / "usage.csv.gz"
    packed.write_bytes(gzip.compress(plain_csv.read_bytes()))
    yield packed
    packed = folder / "usage.csv.zst"
    packed.write_bytes(bytes(cramjam.zstd.compress(plain_csv.read_bytes())))
    yield packed
    lines = (folder / "usage.jsonl").read_bytes()
    packed = folder / "usage.ndjson.gz"
    packed.write_bytes(gzip.compress(lines))
    yield packed
    packed = folder / "usage.jsonl.zst"
    packed.write_bytes(bytes(cramjam.zstd.compress(lines)))
    yield packed
    other = folder / "semicolons.txt"
    with other.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["note", *reversed(FIELDS)], delimiter=";", restval="x")
        writer.writeheader()
        writer.writerows(rows)
    yield other
    with duckdb.connect() as database:
        database.read_csv(str(plain_csv), all_varchar=True, header=True).create_view("usage")
        for name, columns in {
            "text": "*",
            "decimal": "* replace (cast(quantity as decimal(28, 9)) as quantity, cast(lot as integer) as lot)",
            "instant": "* replace (cast(time as timestamptz) as time)",
        }.items():
            path = folder / f"{name}.parquet"
            database.sql(f"select {columns} from usage").write_parquet(str(path))
            yield path


def test_every_form_gives_the_same(contract: Contract, tmp_path: Path) -> None:
    made, rejections = reckon_rows(contract, sample_rows())
    check_against_reference(contract, sample_rows(), made, rejections)
    reasons = [each.refusal for each in rejections]
    for path in same_usage_in_every_form(tmp_path):
        again, refused = reckon(contract, path)
        assert again == made, path
        assert [each.refusal for each in refused] == reasons, path


def test_a_packed_or_plain_stream_without_a_name(contract: Contract, tmp_path: Path) -> None:
    made, _ = reckon_rows(contract, sample_rows())
    for path in list(same_usage_in_every_form(tmp_path)):
        if path.suffix not in {".gz", ".zst"}:
            assert reckon(contract, path.rename(tmp_path / "usage"))[0] == made


def test_files_are_one_after_the_other(contract: Contract, tmp_path: Path) -> None:
    first = write_csv(tmp_path / "first.csv", [row("a", "EP", "vm", "1")])
    second = write_lines(tmp_path / "second[1]*.jsonl", [row("a", "EP", "vm", "2"), row("b", "EP", "vm", "4")])
    made, rejections = reckon(contract, first, second)
    assert plain(made.statements["2016-03"][0].exact) == "0.5"
    assert [(each.file, each.line) for each in rejections] == [(str(second), 1)]
    made, _ = reckon(contract, second, first)
    assert plain(made.statements["2016-03"][0].exact) == "0.6"


def test_json_lines_that_are_no_events(contract: Contract, tmp_path: Path) -> None:
    usual = row(1, "EP", "vm", "1")
    data = {"lot": "1", "item": "vm", "quantity": "QUANTITY", "region": "be-brussels", "more": [1]}
    number = as_line({**usual, "id": "NUMBER"}, data=data).replace('"QUANTITY"', "QUANTITY")
    lines = [
        b"", b"  ", as_line(usual).encode(), b"{", b"[]", b"null", b"\xff\xfe", as_line(usual, type="other").encode(),
        as_line(usual, source="alpha").encode(), b" " * 66_000 + b"{}", b"{" + b"x" * 300_000,
        number.replace("QUANTITY", "0.10000000000000000001e2").replace("NUMBER", "2").encode(),
        number.replace("QUANTITY", "12345678901234.123456789012345").replace("NUMBER", "3").encode(),
        as_line({**usual, "id": "x"}).replace("x", "\\ud800").encode(), as_line(row(9, "EP", "vm", "1")).encode(),
    ]  # fmt: skip
    path = tmp_path / "usage.jsonl"
    path.write_bytes(b"\r\n".join(lines))
    made, rejections = reckon(contract, path)
    assert [(each.line, each.refusal.reason.value) for each in rejections] == [
        (4, "malformed"), (5, "malformed"), (6, "malformed"), (7, "malformed"), (8, "malformed"), (9, "wrong_provider"),
        (10, "too_large"), (11, "too_large"), (12, "bad_quantity"), (14, "malformed"),
    ]  # fmt: skip
    assert plain(next(iter(made.quantities.values()))) == "12345678901236.123456789012345"


def test_csv_rows_that_are_none(contract: Contract, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "usage.csv", [row(n, "EP" if n < 3 else "NATO", "vm", "1") for n in range(5)])
    lines = rows.read_text().splitlines()
    lines[1:1] = ["short,row", "a,long,row" + ",x" * 20]
    lines[5:5] = ['"mid"dle' + ",".join([""] * len(FIELDS)), "short"]
    lines += ["short"]
    rows.write_text("\n".join(lines) + "\n")
    made, rejections = reckon(contract, rows)
    assert (made.read, made.accepted) == (10, 3)
    assert [(each.line, each.refusal.reason.value) for each in rejections] == [
        (2, "malformed"), (3, "malformed"), (6, "malformed"), (7, "malformed"), (9, "unknown_subject"),
        (10, "unknown_subject"), (11, "malformed"),
    ]  # fmt: skip
    sent = [each for batch in events([str(rows)]) for each in batch]
    assert [each.payload for each in sent if not isinstance(each, UsageEvent)][:2] == [b"short,row", lines[2].encode()]


def test_lines_for_sending_are_the_same_events(tmp_path: Path) -> None:
    for path in same_usage_in_every_form(tmp_path):
        sent = [each for batch in events([str(path)]) for each in batch]
        assert [(each.id, each.source) for each in sent if isinstance(each, UsageEvent)] == [
            (each["id"], f"/providers/{each['provider']}") for each in sample_rows()
        ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "No such file"),
        ("empty.csv", b"", "empty"),
        ("columns.csv", b"id,provider,when\n", "no column time, subject, lot, item, quantity, region"),
        ("twice.csv", b"id,id\n", "more than one column id"),
        (
            "quote.csv",
            ",".join(FIELDS).encode() + b'\n1,"2\n3,4\n',
            "line 2: a quote that is opened here is never closed",
        ),
        ("latin.csv", ",".join(FIELDS).encode() + b"\n\xe9,,,,,,,,,\n", "can't be read"),
        ("no.parquet", b"PAR1 not really", "can't be read"),
        ("no.csv.gz", b"not packed", "can't be read"),
        ("no.jsonl.gz", b"not packed", "can't be read"),
        ("no.jsonl.zst", b"not packed", "can't be read"),
        ("cut.jsonl.gz", gzip.compress(b"{}" * 9999, mtime=0)[:-20], "can't be read"),
    ],
)
def test_files_that_can_not_be_read(
    contract: Contract, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageFileError, match=said) as raised:
        reckon(contract, path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [("quantity", "double", "quantity is DOUBLE; wanted text or DECIMAL"), ("time", "timestamp", "time is TIMESTAMP;"),
     ("id", "double", "id is DOUBLE; wanted text")],
)  # fmt: skip
def test_parquet_columns_that_have_lost_something(
    contract: Contract, tmp_path: Path, column: str, kind: str, said: str
) -> None:
    path = tmp_path / "usage.parquet"
    with duckdb.connect() as database:
        fields = ", ".join(f"null::{kind if name == column else 'varchar'} as {name}" for name in FIELDS)
        database.sql(f"select {fields}").write_parquet(str(path))
    with pytest.raises(UsageFileError, match=said):
        reckon(contract, path)


def test_a_trace_of_machines(tmp_path: Path) -> None:
    """Usage begins where a sample begins; a machine without cores is off; hours are exact."""
    mapping = tmp_path / "map.toml"
    tenants = "".join(
        f'[[tenants]]\nprovider = "alpha"\nlot = "{lot}"\nsubject = "EP"\nregion = "be-brussels"\n' for lot in (1, 2)
    )
    mapping.write_text('format = "opendc"\nshift_to = 2016-03-01\n[items]\nvcpu = "vm"\nmemory = "disk"\n' + tenants)
    made = [each for batch in events([str(BITBRAINS)], None, read_mapping(mapping)) for each in batch]
    sent = [each for each in made if isinstance(each, UsageEvent)]
    assert len(sent) == len(made) == 2 * 276_688
    assert len({each.id for each in sent}) == len(sent)
    by_id = {each.id: each for each in sent}
    first = by_id["1019-1376314846-v"]  # 13:40:46, five minutes of one core
    assert (first.time, first.quantity, first.item) == ("2016-03-01T13:35:46Z", "0.083333333", "vm")
    assert by_id["1019-1376314846-m"].quantity == "0.014412562"  # 181,352 KiB x 300 s / 2^20 / 3,600 s
    assert min(each.time for each in sent) == "2016-03-01T13:35:46Z"
    assert max(each.time for each in sent) < "2016-03-31T21:59:59Z"
    assert Counter(each.lot for each in sent).keys() == {"1", "2"}


def test_a_trace_without_a_mapping_says_what_is_missing(contract: Contract) -> None:
    with pytest.raises(UsageFileError, match="--map"):
        reckon(contract, BITBRAINS)


def test_mistakes_in_a_mapping_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text('format = "opendc"\nshift = 1\n[items]\nvcpu = "a b"\n')
    with pytest.raises(UsageFileError) as raised:
        read_mapping(path)
    for said in ("tenants", "shift", "items.vcpu"):
        assert said in str(raised.value)
    path.write_text("format = 7")
    with pytest.raises(UsageFileError, match="one of focus, opendc"):
        read_mapping(path)


# What is written.


def test_what_is_written(contract: Contract, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "usage.csv", [row(1, "EC/DIGIT", "vm", "1.5"), row(2, "EP", "tape", "1")])
    out = tmp_path / "out"
    (out / "2016-03").mkdir(parents=True)
    (out / "2016-03" / "EC.csv").write_text("old")
    earlier = write_csv(
        tmp_path / "earlier.csv", [row(1, "EDA", "vm", "1"), row(2, "EP", "vm", "1", time="2016-02-05T10:00:00Z")]
    )
    with workplace() as place:
        usage = read_usage(place, [str(earlier)])
        write(out, contract, usage, bill(contract, usage, NOW))
    (out / "notes.txt").write_text("mine")
    (out / "2016-03" / "mine.csv").write_text("mine")
    with workplace() as place:
        usage = read_usage(place, [str(path)])
        files, gone = write(out, contract, usage, bill(contract, usage, NOW))
    assert gone == 5  # EDA's two, February's three
    assert not (out / "2016-02").exists()
    (out / "notes.txt").unlink()
    (out / "2016-03" / "mine.csv").unlink()
    made = sorted(str(each.relative_to(out)) for each in out.rglob("*") if each.is_file())
    wanted = [
        "2016-03/EC.csv",
        "2016-03/EC.json",
        "2016-03/statements.csv",
        "ceilings.csv",
        "rejections.csv",
        "summary.json",
    ]
    assert made == wanted
    assert files == len(wanted)
    assert [*out.iterdir()] == [each for each in out.iterdir() if not each.name.startswith(".")]
    with (out / "2016-03" / "EC.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == [
            {
                "month": "2016-03", "institution": "EC", "institution_name": "European Commission",
                "department": "DIGIT", "department_name": "Informatics", "pool": "", "pool_name": "",
                "award": "1/ALPHA", "supplier_name": "Alpha", "item": "vm", "item_name": "Virtual machine",
                "unit": "hour", "usage_month": "2016-03", "tariff": "2016-01-01", "quantity": "1.5",
                "price_currency": "", "price_amount": "", "rate": "", "rate_month": "", "exact_amount": "0.15", "amount": "0.15", "currency": "EUR",
            }
        ]  # fmt: skip
    statement = json.loads((out / "2016-03" / "EC.json").read_text("utf-8"))
    assert (statement["total"], statement["exact_total"], len(statement["lines"])) == ("0.15", "0.15", 1)
    with (out / "rejections.csv").open(encoding="utf-8", newline="") as file:
        refused = list(csv.DictReader(file))
    assert [(each["line"], each["reason"], each["id"], each["item"]) for each in refused] == [
        ("3", "unknown_item", "2", "tape")
    ]
    with (out / "ceilings.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file)) == {
            "level": "contract", "code": "small", "ceiling": "1000", "spent": "0.15", "left": "999.85", "per_cent": "0.02",
            "currency": "EUR",
        }  # fmt: skip


# The commands.

app = typer.Typer()
app.command("bill")(bill_command)
app.command("price")(price_command)


def run(*arguments: object, standard_input: bytes | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(each) for each in arguments], input=standard_input)
    return result.exit_code, result.output


def test_bill_fails_where_nothing_of_the_usage_could_be_billed_but_not_without_usage(tmp_path: Path) -> None:
    words = ["bill", "--contract", SMALL, "--out", tmp_path / "out", "--usage"]
    assert run(*words, write_csv(tmp_path / "none.csv", []))[0] == 0
    assert run(*words, write_csv(tmp_path / "tape.csv", [row(1, "EP", "tape", "1")]))[0] == 1


def test_bill_reads_standard_input_and_writes_one_month(tmp_path: Path) -> None:
    rows = [row(1, "EP", "vm", "1"), row(2, "EP", "vm", "2", time="2016-02-05T10:00:00Z"), row(3, "EP", "tape", "1")]
    lines = write_lines(tmp_path / "usage", rows).read_bytes()
    for content in (lines, gzip.compress(lines), write_csv(tmp_path / "csv", rows).read_bytes()):
        out = tmp_path / "out"
        status, said = run(
            "bill", "--contract", SMALL, "--usage", "-", "--month", "2016-03", "--out", out, "--json",
            standard_input=content,
        )  # fmt: skip
        assert status == 0, said
        summary: dict[str, Any] = json.loads(said)
        assert [each["month"] for each in summary["statements"]] == ["2016-03"]
        assert summary["statements"][0]["institutions"] == {"EP": "0.10"}
        assert summary["ceilings"][0]["spent"] == "0.3"  # ceilings count everything
        assert summary["rejected"] == {"unknown_item": 1}
        assert {each.name for each in out.iterdir()} == {"2016-03", "ceilings.csv", "rejections.csv", "summary.json"}
    status, said = run("bill", "--contract", SMALL, "--usage", tmp_path / "csv", "--out", tmp_path / "table")
    assert status == 0
    for word in ("unknown_item", "EP", "0.10", "contract", "in total"):
        assert word in said or word == "in total"


def test_bill_says_what_is_wrong_and_writes_nothing(tmp_path: Path) -> None:
    good = write_csv(tmp_path / "usage.csv", [row(1, "EP", "vm", "1")])
    out = tmp_path / "out"
    for arguments, status, said in [
        (["--contract", tmp_path / "no.toml", "--usage", good], 2, "no.toml"),
        (["--contract", SMALL, "--usage", good, "--usage", tmp_path / "no.csv"], 1, "no.csv"),
        (["--contract", SMALL, "--usage", good, "--month", "2016-3"], 2, "2016-03"),
        (["--contract", SMALL, "--usage", "-", "--usage", "-"], 1, "once"),
        (["--contract", SMALL, "--usage", good, "--map", tmp_path / "no-map.toml"], 1, "no-map.toml"),
    ]:
        code, output = run("bill", *arguments, "--out", out)
        assert (code, said in output) == (status, True), output
        assert not out.exists()


def test_price_tells_how_it_came_about() -> None:
    base = ("price", "--contract", SMALL, "--award", "2/BETA", "--item", "vm", "--date", "2016-03-01")
    status, said = run(*base, "--quantity", "400", "--before", "90.5", "--json")
    assert status == 0, said
    found = json.loads(said)
    # 9.5 x 0.06 + 390.5 x 0.05
    assert (found["amount"], found["currency"], found["before"], found["after"]) == ("20.095", "EUR", "90.5", "490.5")
    assert (found["award"], found["item"], found["tariff"]) == ("2/BETA", "vm", "2016-01-01")
    assert [(step["what"], step["quantity"], step["price"], step["amount"]) for step in found["steps"]] == [
        ("up to 100", "100", "0.06", "6"),
        ("above 100 up to 500", "390.5", "0.05", "19.525"),
    ]
    status, said = run(*base, "--quantity", "1234.5")
    assert status == 0
    assert "cost 55.38 EUR" in said  # 6 + 20 + 734.5 x 0.04


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"--award": "2/NONE"}, 1, "1/ALPHA, 2/ALPHA, 2/BETA"),
        ({"--item": "disk"}, 1, "known: traffic, vm"),
        ({"--quantity": "many"}, 2, "--quantity"),
        ({"--before": "1e99"}, 2, "--before"),
        ({"--date": "2030-01-01"}, 1, "2018-12-31"),
    ],
)
def test_price_names_what_is_unknown(changed: Row, status: int, said: str) -> None:
    words = {"--contract": str(SMALL), "--award": "2/BETA", "--item": "vm", "--quantity": "1", **changed}
    code, output = run("price", *(each for pair in words.items() for each in pair))
    assert (code, said in " ".join(output.split())) == (status, True), output
