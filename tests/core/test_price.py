"""`plafond price` on a file with one price: the reckoning of a quantity, and many meters at once."""

import csv
import io
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import app
from services.contract.money import round_half_up
from services.stack.demo import CONTRACT

OFFER = """
model = "graduated"
free = "10"
percent_of_list = "92.5"
tiers = [{ up_to = "100", price = "0.06" }, { price = "0.05", fee = "2" }]
"""


@pytest.fixture
def offer(tmp_path: Path) -> Path:
    path = tmp_path / "offer.toml"
    path.write_text(OFFER)
    return path


def price(*words: object, given: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["price", *map(str, words)], input=given, prog_name="plafond")
    return done.exit_code, done.output


def test_the_reckoning_adds_up(offer: Path):
    status, said = price("--tariff", offer, "--quantity", "250", "--before", "90", "--json")
    assert status == 0
    found = json.loads(said)
    assert found["amount"] == "13.5975"  # 20 x 0.0555 + 230 x 0.04625 + 1.85
    assert [(each["what"], each["quantity"], each["price"], each["per"]) for each in found["steps"]] == [
        ("free, up to 10", "10", "0", "unit"), ("up to 100", "100", "0.0555", "unit"),
        ("above 100", "230", "0.04625", "unit"), ("fee, above 100", "1", "1.85", "fee"),
    ]  # fmt: skip
    status, said = price("--tariff", offer, "--quantity", "250", "--before", "90")
    assert "fee, above 100" in said
    assert "250 units cost" in said


def test_the_json_is_as_documented():
    documented = (Path(__file__).parents[2] / "docs" / "tariffs.md").read_text("utf-8")
    table = documented.partition("## The reckoning as JSON")[2].partition("A step says")[0]
    keys = {
        key for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for key in re.findall("`([a-z_]+)`", row)
    }
    words = ["--contract", CONTRACT, "--award", "2/COMPAREX", "--item", "vm.small", "--date", "2016-03-01", "--json"]
    found = json.loads(price(*words, "--quantity", "1000", "--before", "10")[1])
    assert found.keys() == keys
    for step in found["steps"] + found["steps_before"]:
        assert step.keys() == {"what", "quantity", "price", "amount", "per", "listed"}
        assert Decimal(step["quantity"]) * Decimal(step["price"]) == Decimal(step["amount"])
    sums = {name: sum(Decimal(each["amount"]) for each in found[name]) for name in ("steps", "steps_before")}
    conversion = found["conversion"]
    assert (sums["steps"], sums["steps_before"]) == tuple(Decimal(conversion[each]) for each in ("after", "before"))
    assert conversion["of_month"] == "2016-03"
    after, before = (round_half_up(each / Decimal(conversion["rate"]), 12) for each in sums.values())
    assert Decimal(found["amount"]) == after - before


def test_the_keys_in_the_readme_are_prices(offer: Path):
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| [^|]+ \| (.*`(?:model|tiers).*) \|$", readme, re.MULTILINE)
    tiers = re.findall("`(tiers = [^`]+)`", rows[1])[0]
    for row in rows:
        keys = [each if "=" in each else tiers for each in re.findall("`([^`]+)`", row)]
        offer.write_text("\n".join(keys))
        status, said = price("--tariff", offer, "--quantity", "250")
        assert status == 0, said
    assert len(rows) == 7


@pytest.mark.parametrize(
    ("text", "quantity", "last"),
    [
        ('model = "percentage"\npercent = "3"\nfloor = "5"\ncap = "5"', "100", ("up to the floor", "2")),
        ('model = "percentage"\npercent = "3"\nfloor = "5"\ncap = "5"', "200", ("down to the cap", "-1")),
        ('model = "flat"\nby_days = true\nprice = "100"', "10", ("10 of 31 days of 100, rounded to 12 decimals", "32.258064516129")),
        ('model = "flat"\nby_days = true\nprice = "155"', "10", ("10 of 31 days of 155", "50")),
    ],
)  # fmt: skip
def test_the_last_step_says_what_was_cut_or_rounded(offer: Path, text: str, quantity: str, last: tuple[str, str]):
    offer.write_text(text)
    found = json.loads(price("--tariff", offer, "--quantity", quantity, "--date", "2016-03-01", "--json")[1])
    assert (found["steps"][-1]["what"], found["steps"][-1]["amount"]) == last
    assert sum(Decimal(each["amount"]) for each in found["steps"]) == Decimal(found["amount"])


def test_days_have_their_list_price(offer: Path):
    offer.write_text('model = "flat"\nby_days = true\nprice = "155"\npercent_of_list = "90"\n')
    [step] = json.loads(price("--tariff", offer, "--quantity", "10", "--date", "2016-03-01", "--json")[1])["steps"]
    assert (step["amount"], step["listed"]) == ("45", "50")


def test_many_meters_come_out_again_with_their_amounts(offer: Path, tmp_path: Path):
    meters = tmp_path / "meters.csv"
    meters.write_text('id,quantity,before\na,3,\n"b,c",200,99.5\nd,-1,11\n')
    status, said = price("--tariff", offer, "--meters", meters)
    assert status == 0
    assert [(each["id"], each["amount"]) for each in csv.DictReader(io.StringIO(said))] == [
        ("a", "0"), ("b,c", "11.197125"), ("d", "-0.0555"),
    ]  # fmt: skip
    status, again = price("--tariff", offer, "--meters", "-", "--json", given=meters.read_text())
    assert [each["amount"] for each in json.loads(again)] == ["0", "11.197125", "-0.0555"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,quantity\na,3\nb,x\n", "line 3: quantity"),
        ("id,quantity\na,3\nb\n", "line 3: not as many fields"),
        ("id,quantity\na,3,4\n", "line 2: not as many fields"),
        ("id,amount\na,3\n", "no column quantity"),
        ("", "no column quantity"),
        ("quantity,before\n1,y\n", "line 2: before"),
        ("quantity,amount\n1,2\n", "a column amount"),
        ("quantity,id,quantity\n1,2,3\n", "more than one column quantity"),
    ],
)
def test_meters_that_can_not_be_priced_are_named_and_none_is_written(offer: Path, text: str, said: str):
    status, output = price("--tariff", offer, "--meters", "-", given=text)
    assert status == 1
    assert said in output
    assert "a,3,0" not in output


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--quantity", "1"], 2, "give a --contract or a --tariff"),
        (["--tariff", "x", "--contract", "y", "--quantity", "1"], 2, "give a --contract or a --tariff"),
        (["--tariff", "x"], 2, "give a --quantity or --meters"),
        (["--tariff", "x", "--meters", "-", "--before", "1"], 2, "--before goes with --quantity"),
        (["--contract", "x", "--quantity", "1"], 2, "the --award and the --item"),
        (["--tariff", "/nowhere", "--quantity", "1"], 1, "can't be read"),
    ],
)
def test_words_that_do_not_go_together(words: list[str], status: int, said: str):
    found, output = price(*words)
    assert (found, said in " ".join(output.split())) == (status, True)


def test_every_mistake_in_a_tariff_file_is_named(tmp_path: Path):
    path = tmp_path / "bad.toml"
    path.write_text('model = "volume"\nfree = "-1"\ntiers = [{ up_to = "5", price = "1" }]\n')
    status, output = price("--tariff", path, "--quantity", "1")
    assert status == 1
    assert "free" in output
    assert "tiers[0].up_to" in output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[awards.tariffs]]\nmodel = "per_unit"\nprice = "1"\n', "without a header"),
        ('[tariffs.prices."vm"]\nmodel = "per_unit"\nprice = "1"\n', "without a header"),
        ('[offer]\nmodel = "per_unit"\nprice = "1"\n', "without a header"),
        ('model = "percentage"\npercent = "3"\nof = ["vm", "offer"]\n', "of: found 'offer', the fee itself"),
        ('model = "graduated"\ntiers = [{ price = "1" }, { price = "2" }]\n', "only the last tier is open"),
        ('model = "per_unit"\nprice = "1"\nreserved = [{ payer = "EP", quantity = "1", price = "2" }]\n', "at most 1"),
    ],
)
def test_a_slip_in_a_tariff_file_is_told(offer: Path, text: str, said: str):
    offer.write_text(text)
    status, output = price("--tariff", offer, "--quantity", "1")
    assert (status, said in " ".join(output.split())) == (1, True), output


def test_a_fee_is_on_itself_by_the_name_that_is_given(offer: Path):
    offer.write_text('model = "percentage"\npercent = "3"\nof = ["support"]\n')
    assert price("--tariff", offer, "--quantity", "1")[0] == 0
    assert price("--tariff", offer, "--quantity", "1", "--item", "support")[0] == 1


def test_a_payer_that_the_contract_does_not_know_is_refused():
    words = ["--contract", CONTRACT, "--award", "2/CTA", "--item", "vm.small", "--quantity", "1", "--payer"]
    assert price(*words, "EP")[0] == 0
    status, said = price(*words, "XX")
    assert (status, "--payer: found 'XX'; wanted one of" in " ".join(said.split())) == (2, True)


def test_a_fee_that_is_due_unused_is_shown(offer: Path):
    offer.write_text('model = "volume"\nfee_when_unused = true\ntiers = [{ price = "1", fee = "5" }]\n')
    found = json.loads(price("--tariff", offer, "--quantity", "0", "--json")[1])
    assert (found["amount"], found["due_unused"]) == ("0", "5")
    found = json.loads(price("--tariff", offer, "--quantity", "1", "--json")[1])
    assert (found["amount"], found["due_unused"]) == ("6", "0")


def test_an_event_is_billed_for_a_minimum_and_increments(tmp_path: Path):
    path = tmp_path / "started.toml"
    path.write_text('model = "per_unit"\nprice = "0.10"\nminimum = "0.5"\nincrement = "1"\n')
    found = json.loads(price("--tariff", path, "--quantity", "1.5", "--json")[1])
    assert (found["quantity"], found["billed"], found["amount"]) == ("1.5", "2", "0.2")
    assert "billed for 2 units" in price("--tariff", path, "--quantity", "1.5")[1]
    said = price("--tariff", path, "--meters", "-", given="quantity\n0.1\n3\n")[1]
    assert said.splitlines() == ["quantity,amount", "0.1,0.1", "3,0.3"]


def test_a_price_in_another_currency_is_converted():
    status, said = price("--contract", CONTRACT, "--award", "2/COMPAREX", "--item", "vm.small", "--quantity", "10",
                         "--date", "2016-03-01", "--json")  # fmt: skip
    assert status == 0, said
    assert 0 < float(json.loads(said)["amount"]) < 1


def test_days_are_those_of_this_month_unless_a_date_is_given(tmp_path: Path):
    path = tmp_path / "days.toml"
    path.write_text('model = "flat"\nprice = "155"\nby_days = true\n')
    assert json.loads(price("--tariff", path, "--quantity", "31", "--json")[1])["amount"] == "155"
    assert (
        json.loads(price("--tariff", path, "--quantity", "10", "--date", "2016-03-01", "--json")[1])["amount"] == "50"
    )


RESERVED = """
model = "per_unit"
price = "0.05"
reserved = [{ payer = "EP", quantity = "1000", price = "0.03" }PAYERS]
"""


def test_a_reserved_price_is_the_payers(tmp_path: Path):
    path = tmp_path / "reserved.toml"
    path.write_text(RESERVED.replace("PAYERS", ""))
    status, said = price("--tariff", path, "--quantity", "200")
    assert (status, "unused by EP: say whose use it is with --payer" in said) == (2, True), "it may be another's use"
    found = json.loads(price("--tariff", path, "--quantity", "200", "--payer", "EP", "--json")[1])
    assert (found["amount"], found["due_unused"]) == ("6", "24")
    assert found["steps"][0]["what"] == "reserved, up to 1000"
    assert "24 are due at the close" in price("--tariff", path, "--quantity", "200", "--payer", "EP")[1]
    path.write_text(RESERVED.replace("PAYERS", ', { payer = "EDA", quantity = "5", price = "0.01" }'))
    status, said = price("--tariff", path, "--quantity", "200")
    assert status == 2
    assert "EDA, EP: say whose use it is with --payer" in said
    amounts = {
        payer: json.loads(price("--tariff", path, "--quantity", "200", "--payer", payer, "--json")[1])["amount"]
        for payer in ("EP", "EDA", "EC")
    }
    assert amounts == {"EP": "6", "EDA": "9.8", "EC": "10"}
