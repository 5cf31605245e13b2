"""What is promised beyond single prices: reserved capacity, minimums, prepaid credit."""

import re
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.promises import keep
from services.contract.charges import ChargeKey, MeterKey, price_of, promised_meters
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import ZERO, add, total
from services.contract.months import months_between
from services.contract.succession import vanished
from services.invoicing.committed import Owed, committed, committed_lines, owes_without_usage
from services.invoicing.settle import PostingKey, Share, settle
from services.invoicing.statement import statements

SMALL = (Path(__file__).parents[1] / "data" / "small.toml").read_text("utf-8")
ITEMS = """
[[items]]
code = "short"
name = "Short of the minimum"
unit = "EUR"

[[items]]
code = "credit"
name = "Prepaid credit"
unit = "EUR"
"""
RESERVED = """
[[tariffs]]
award = "2/ALPHA"
valid_from = 2016-03-01
[tariffs.prices.vm]
model = "per_unit"
price = "0.05"
free = "10"
reserved = [{ payer = "EP", quantity = "1000", price = "0.03" }, { payer = "pool/mail", quantity = "200", price = "0.05" }]
[tariffs.prices.disk]
model = "graduated"
scope = "contract"
tiers = [{ up_to = "100", price = "0.06" }, { price = "0.05" }]
reserved = [{ quantity = "500", price = "0.02" }]
"""
FEES = """
[[items]]
code = "line"
name = "Leased line"
unit = "month"
[tariffs.prices.line]
model = "volume"
free = "2"
fee_when_unused = true
tiers = [{ up_to = "10", price = "1", fee = "5" }, { price = "0.9", fee = "4" }]
"""
MINIMUMS = """
[[minimums]]
award = "2/BETA"
item = "short"
amount = "50"
per = "month"
starts = 2016-03-01
ends = 2016-12-31

[[minimums]]
award = "1/ALPHA"
item = "short"
amount = "100"
per = "year"
payer = "EP"
"""
PREPAID = """
[[prepaid]]
award = "2/BETA"
item = "credit"
amount = "30"
cost = "25"
starts = 2016-03-01
ends = 2016-05-31

[[prepaid]]
award = "2/ALPHA"
item = "credit"
amount = "40"
payer = "EP"
starts = 2016-04-01
ends = 2016-05-31
"""
MARCH = "2016-03"
ALPHA = ("2/ALPHA", "vm", MARCH, "2016-03-01")
DISK = ("2/ALPHA", "disk", MARCH, "2016-03-01")
YEAR = months_between("2016-01", "2016-12")


def contract(*parts: str) -> Contract:
    loaded = load(SMALL + ITEMS + "".join(parts))
    assert isinstance(loaded, Contract), loaded
    return loaded


PROMISED = contract(RESERVED, MINIMUMS, PREPAID)


def reserved(quantities: Mapping[ChargeKey, Decimal], month: str = MARCH) -> dict[tuple[str, ...], Share]:
    """What is settled of the items with something reserved, by who owes it."""
    settled = settle(PROMISED, month, quantities)
    return {(key.institution, key.department, key.pool, key.item): share for key, share in settled.items()}


def test_reserved_units_come_first_and_are_due_even_if_unused():
    price = price_of(PROMISED, MeterKey(*ALPHA, "EP"))
    assert price.amount(Decimal(200)) == Decimal(6)
    assert price.amount(Decimal(1015)) == Decimal("30.25"), "1000 reserved, 10 free, 5 at 0.05"
    assert price.due(Decimal(200)) == Decimal(30)
    assert price.due(ZERO) == Decimal(30)
    assert price.due(Decimal(1015)) == Decimal("30.25")
    assert [(step.what, step.amount) for step in price.steps(Decimal(1015))] == [
        ("reserved, up to 1000", Decimal(30)), ("free, up to 10", ZERO), ("every unit", Decimal("0.25")),
    ]  # fmt: skip
    assert price_of(PROMISED, ChargeKey(*ALPHA, "EDA")).amount(Decimal(110)) == Decimal(5), "who reserved nothing"


def test_a_month_owes_what_is_reserved_and_unused():
    assert {meter.scope for meter in promised_meters(PROMISED, MARCH)} == {"EP", "pool/mail", "*"}
    assert promised_meters(PROMISED, "2016-02") == []
    assert promised_meters(PROMISED, "2019-01") == [], "the contract is over"
    nothing = reserved({})
    assert nothing["EP", "", "", "vm"] == Share(ZERO, Decimal(30))
    assert {key[0]: share.amount for key, share in nothing.items() if key[2] == "mail"} == {
        "EP": Decimal(5), "EDA": Decimal(3), "EC": Decimal(2),
    }  # fmt: skip
    disks = {key[0]: share.amount for key, share in nothing.items() if key[3] == "disk"}
    assert sorted(disks) == ["EC", "EDA", "EP"]
    assert total(disks.values()) == Decimal(10)
    some = reserved({ChargeKey(*DISK, "EP"): Decimal(30), ChargeKey(*DISK, "EC/AGRI"): Decimal(10)})
    assert some["EP", "", "", "disk"] == Share(Decimal(30), Decimal("7.5"))
    assert some["EC", "AGRI", "", "disk"] == Share(Decimal(10), Decimal("2.5"))


QUANTITIES = st.decimals("-50", "3000", places=4)


@given(st.lists(QUANTITIES, max_size=8), st.sampled_from(["EP", "EDA", "EC/DIGIT"]))
def test_the_charges_and_what_is_unused_come_to_what_is_due(steps: list[Decimal], subject: str):
    key = ChargeKey(*ALPHA, subject)
    price = price_of(PROMISED, key)
    running, charged = ZERO, ZERO
    for step in steps:
        charged = add(charged, price.amount(add(running, step)) - price.amount(running))
        running = add(running, step)
    assert charged == price.amount(running)
    unused = price.reservation.unused(running) if price.reservation else ZERO
    assert price.due(running) == add(charged, unused)
    assert total(step.amount for step in price.steps(running)) == charged
    if running >= 1000 or subject != "EP":
        assert unused == 0


@given(st.dictionaries(st.sampled_from(sorted(PROMISED.subjects)), QUANTITIES))
def test_shares_of_promised_meters_add_up_to_what_they_come_to(uses: dict[str, Decimal]):
    quantities = {ChargeKey(*DISK, subject): quantity for subject, quantity in uses.items()}
    shares = [share.amount for key, share in settle(PROMISED, MARCH, quantities).items() if key.item == "disk"]
    assert total(shares) == price_of(PROMISED, MeterKey(*DISK, "*")).due(total(uses.values()))


FEE = contract(RESERVED, FEES)
LINE = ("2/ALPHA", "line", MARCH, "2016-03-01")


def fees(settled: Mapping[PostingKey, Share]) -> dict[tuple[str, str], Decimal]:
    return {(key.institution, key.pool): share.amount for key, share in settled.items() if key.item == "line"}


def test_a_fee_is_due_unused_by_each_institution_once():
    assert fees(settle(FEE, MARCH, {})) == {("EP", ""): 5, ("EC", ""): 5, ("EDA", ""): 5}
    used = {
        ChargeKey(*LINE, "EP"): Decimal(4),
        ChargeKey(*LINE, "EC/AGRI"): Decimal(2),
        ChargeKey(*LINE, "pool/mail"): Decimal(1),
    }
    # EP entered the tier and pays its fee with the 2 units that are not free; EC's 2 are free.
    assert fees(settle(FEE, MARCH, used)) == {
        ("EP", ""): 7, ("EC", ""): 5, ("EDA", ""): 5, ("EP", "mail"): 0, ("EC", "mail"): 0, ("EDA", "mail"): 0,
    }  # fmt: skip
    assert fees(settle(FEE, "2016-02", {})) == {}, "the tariff begins later"


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [
        ("true", '["EP", "pool/mail"]', {("EP", ""): 5, ("EP", "mail"): Decimal("2.5"), ("EDA", "mail"): Decimal("1.5"),
                                         ("EC", "mail"): 1}),
        ("true", 'true\nscope = "contract"', {("EP", ""): Decimal(5) / 3, ("EC", ""): Decimal(5) / 3, ("EDA", ""): Decimal(5) / 3}),
        ("true", '["EC/AGRI"]\nscope = "department"', {("EC", ""): 5}),
        ("true", "false", {}),
    ],
)  # fmt: skip
def test_who_owes_a_fee_unused(old: str, new: str, due: dict[tuple[str, str], Decimal]):
    found = fees(settle(contract(RESERVED, FEES.replace(old, new)), MARCH, {}))
    assert {whose: round(amount, 9) for whose, amount in found.items()} == {
        whose: round(Decimal(amount), 9) for whose, amount in due.items()
    }


@given(
    st.lists(QUANTITIES, max_size=8),
    st.sampled_from(["EP", "EDA", "EC/AGRI", "pool/mail"]),
    st.sampled_from(["graduated", "volume"]),
)
def test_a_fee_is_charged_or_due_at_the_close_and_never_both(steps: list[Decimal], subject: str, model: str):
    price = price_of(contract(RESERVED, FEES.replace("volume", model)), ChargeKey(*LINE, subject))
    running, charged = ZERO, ZERO
    for step in steps:
        charged = add(charged, price.amount(add(running, step)) - price.amount(running))
        running = add(running, step)
    assert charged == price.amount(running)
    entered = running > price.free
    assert price.due(running) - charged == (5 if not entered and not subject.startswith("pool/") else 0)
    assert sum(step.per == "fee" for step in price.steps(running)) == (
        1 + (running > 12 and model == "graduated") if entered else 0
    )


@given(st.dictionaries(st.sampled_from(sorted(PROMISED.subjects)), QUANTITIES))
def test_shares_of_a_fee_that_is_due_unused_add_up(uses: dict[str, Decimal]):
    together = contract(RESERVED, FEES.replace("true", 'true\nscope = "contract"'))
    settled = settle(together, MARCH, {ChargeKey(*LINE, subject): quantity for subject, quantity in uses.items()})
    shares = [share.amount for key, share in settled.items() if key.item == "line"]
    assert total(shares) == price_of(together, MeterKey(*LINE, "*")).due(total(uses.values()))


def lines(owed: Owed, months: list[str] = YEAR) -> dict[tuple[str, str, str, str], Decimal]:
    made = committed(PROMISED, months, owed)
    assert {(key.award, key.item) for key in made} <= committed_lines(PROMISED)
    assert all(share.quantity == share.amount or (share.quantity < 0 == share.amount) for share in made.values())
    return {(key.month, key.award, key.item, key.institution): share.amount for key, share in made.items()}


def test_what_is_short_of_a_months_minimum_is_shared_by_use():
    owed = {("2016-03", "2/BETA"): {"EP": Decimal(30), "EC": Decimal(10)}, ("2016-04", "2/BETA"): {"EP": Decimal(80)}}
    short = {key: amount for key, amount in lines(owed).items() if key[1:3] == ("2/BETA", "short")}
    assert short["2016-03", "2/BETA", "short", "EP"] == Decimal("7.5")
    assert short["2016-03", "2/BETA", "short", "EC"] == Decimal("2.5")
    assert not [key for key in short if key[0] in {"2016-02", "2016-04"}]
    june = [amount for key, amount in short.items() if key[0] == "2016-06"]
    assert len(june) == 3
    assert total(june) == 50, "nobody used anything: in equal parts"


def test_what_is_short_of_a_years_minimum_is_due_once_with_its_last_month():
    owed = {(f"2016-{number:02}", "1/ALPHA"): {"EP": Decimal(5), "EC": Decimal(100)} for number in range(1, 13)}
    short = {key: amount for key, amount in lines(owed).items() if key[1:3] == ("1/ALPHA", "short")}
    assert short == {("2016-12", "1/ALPHA", "short", "EP"): Decimal(40)}
    assert not [key for key in lines(owed, YEAR[:11]) if key[1:3] == ("1/ALPHA", "short")]
    assert not [key for key in lines(owed, YEAR[1:]) if key[1:3] == ("1/ALPHA", "short")], "its period began before"


def test_prepaid_credit_is_drawn_before_anything_is_due_until_it_is_used_up():
    owed = {
        ("2016-03", "2/BETA"): {"EP": Decimal(60), "EC": Decimal(20)},  # above the minimum
        ("2016-03", "2/ALPHA"): {"EP": Decimal(5)},
        ("2016-04", "2/ALPHA"): {"EP": Decimal(30), "EC": Decimal(70)},
        ("2016-05", "2/ALPHA"): {"EP": Decimal(30)},
        ("2016-06", "2/ALPHA"): {"EP": Decimal(30)},
    }
    found = {key: amount for key, amount in lines(owed).items() if key[2] == "credit"}
    # March: it costs 25 and pays 30, both in proportion to 60 and 20.
    assert found["2016-03", "2/BETA", "credit", "EP"] == Decimal("18.75") - Decimal("22.5")
    assert found["2016-03", "2/BETA", "credit", "EC"] == Decimal("6.25") - Decimal("7.5")
    assert found["2016-04", "2/ALPHA", "credit", "EP"] == Decimal(40) - Decimal(30)
    assert found["2016-05", "2/ALPHA", "credit", "EP"] == Decimal(-10), "what was left"
    assert not [key for key in found if key[0] == "2016-06"]


def test_a_credit_that_is_sold_and_used_up_in_a_month_has_a_line():
    made = committed(PROMISED, YEAR, {("2016-04", "2/ALPHA"): {"EP": Decimal(70)}})
    sold = {key: share for key, share in made.items() if (key.award, key.item) == ("2/ALPHA", "credit")}
    assert [*sold.values()] == [Share(Decimal(-40), ZERO)]
    [statement] = statements(PROMISED, "2016-04", sold)
    assert [(line.quantity, line.amount) for line in statement.lines] == [(-40, 0)]
    [key] = sold
    kept = keep(PROMISED, key, YEAR, {("2016-04", "2/ALPHA"): {"EP": Decimal(70)}})
    assert {each.amount for each in kept.parts} == {-40, 40}


TARIFFS = (Path(__file__).parents[2] / "docs" / "tariffs.md").read_text("utf-8")


def documented(table: str, item: str) -> tuple[Contract, list[list[str]]]:
    """Return a contract with the example of a table of the documentation, and the rows of what it comes to."""
    example, rows = re.findall(rf"```toml\n(\[\[{table}\]\].*?)```.*?\n\| ---[^\n]*\n(.*?)\n\n", TARIFFS, re.DOTALL)[0]
    mine = contract(re.sub(r'"[\w.]+\.cta"', f'"{item}"', example.replace("2/CTA", "2/BETA")))
    return mine, [[cell.strip().replace("−", "-") for cell in row.strip("|").split("|")] for row in rows.splitlines()]


def test_a_years_minimum_is_as_documented():
    mine, rows = documented("minimums", "short")
    for used, due in rows:
        made = committed(mine, YEAR, {("2016-06", "2/BETA"): {"EP": Decimal(used)}})
        assert [share.amount for share in made.values()] == [Decimal(due)] * bool(Decimal(due))
        assert {key.month for key in made} <= {"2016-12"}


def test_prepaid_credit_is_drawn_as_documented():
    mine, rows = documented("prepaid", "credit")
    owed = {(month, "2/BETA"): {"EP": Decimal(row[1])} for month, row in zip(YEAR, rows, strict=False)}
    made = {key.month: share.amount for key, share in committed(mine, YEAR, owed).items()}
    assert made == {month: Decimal(row[2].rpartition("= ")[2]) for month, row in zip(YEAR, rows, strict=False)}
    assert [Decimal(row[1]) + made[month] for month, row in zip(YEAR, rows, strict=False)] == [
        Decimal(row[3]) for row in rows
    ]


AMOUNTS = st.decimals("-20", "90", places=3)
OWED = st.dictionaries(
    st.tuples(st.sampled_from(YEAR[:7]), st.sampled_from(["1/ALPHA", "2/ALPHA", "2/BETA"])),
    st.dictionaries(st.sampled_from(["EP", "EC", "EDA"]), AMOUNTS),
)


@given(OWED)
def test_credits_and_minimums_keep_their_laws(owed: dict[tuple[str, str], dict[str, Decimal]]):
    found = lines(owed)
    sums: dict[tuple[str, str, str], Decimal] = defaultdict(lambda: ZERO)
    for (month, award, item, _), amount in found.items():
        sums[month, award, item] = add(sums[month, award, item], amount)
    for month in months_between("2016-03", "2016-12"):
        used = total(owed.get((month, "2/BETA"), {}).values())
        assert add(used, sums[month, "2/BETA", "short"]) == max(used, Decimal(50))
    for award, credit, cost in (("2/BETA", 30, 25), ("2/ALPHA", 40, 40)):
        drawn = total(-amount for (_, name, item), amount in sums.items() if (name, item) == (award, "credit")) + cost
        assert 0 <= drawn <= credit
    assert not any(award == "2/ALPHA" and institution != "EP" for _, award, _, institution in found), "EP's alone"
    for month in ("2016-04", "2016-05"):  # nobody is paid out: what is drawn is at most what is owed
        for name in ("EP", "EC", "EDA"):
            due = add(
                owed.get((month, "2/BETA"), {}).get(name, ZERO), found.get((month, "2/BETA", "short", name), ZERO)
            )
            assert add(due, found.get((month, "2/BETA", "credit", name), ZERO)) >= min(due, ZERO)


def test_which_months_owe_something_without_usage():
    assert [month for month in YEAR if owes_without_usage(PROMISED, month)] == YEAR[2:]
    assert not owes_without_usage(contract(RESERVED), MARCH)
    only_a_year = contract(
        MINIMUMS.partition("[[minimums]]")[2].partition("[[minimums]]")[2].join(["[[minimums]]", ""])
    )
    assert [month for month in YEAR if owes_without_usage(only_a_year, month)] == ["2016-12"]


def test_postings_name_the_tariff_of_the_month():
    made = committed(PROMISED, YEAR, {})
    assert PostingKey("EP", "", "", "2/ALPHA", "credit", "2016-04", "2016-03-01") in made


def test_what_was_promised_may_not_vanish():
    found = vanished(PROMISED, contract(RESERVED))
    assert {problem.place for problem in found} == {
        "minimums[2/BETA short]", "minimums[1/ALPHA short]", "prepaid[2/BETA credit]", "prepaid[2/ALPHA credit]",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        (RESERVED.replace("2016-03-01", "2016-03-15"), "tariffs[2/ALPHA 2016-03-15].prices[disk].reserved", "begins on"),
        (RESERVED + RESERVED.replace("2016-03-01", "2016-04-12").partition("reserved")[0],
         "tariffs[2/ALPHA 2016-03-01].prices[disk].reserved", "followed by another on 2016-04-12"),
        (RESERVED.replace('payer = "EP"', 'payer = "EC/AGRI"'),
         "tariffs[2/ALPHA 2016-03-01].prices[vm].reserved[EC/AGRI].payer", "'EC/AGRI'"),
        (RESERVED.replace('payer = "EP", ', ""), "tariffs[2/ALPHA 2016-03-01].prices[vm].reserved[0].payer", "nothing"),
        (RESERVED.replace('{ quantity = "500"', '{ payer = "EP", quantity = "500"'),
         "tariffs[2/ALPHA 2016-03-01].prices[disk].reserved[EP].payer", "'EP'"),
        (RESERVED.replace('"pool/mail"', '"EP"'), "tariffs[2/ALPHA 2016-03-01].prices[vm].reserved[EP].payer", "again"),
        (RESERVED.replace('quantity = "500"', 'quantity = "0"'),
         "tariffs[2/ALPHA 2016-03-01].prices[disk].reserved[0].quantity", "0"),
        (RESERVED.replace('"0.03"', '"0.06"'), "tariffs[2/ALPHA 2016-03-01].prices[vm].reserved[EP].price",
         "0.06 for each of 1000, 60 in all"),
        (RESERVED.replace('"0.02"', '"0.07"'), "tariffs[2/ALPHA 2016-03-01].prices[disk].reserved[0].price",
         "0.07 for each of 500, 35 in all"),
        (RESERVED.replace('payer = "EP"', 'payer = "*"'), "tariffs[2/ALPHA 2016-03-01].prices[vm].reserved[*].payer", "'*'"),
        (RESERVED + FEES.replace(', fee = "5"', ""), "tariffs[2/ALPHA 2016-03-01].prices[line].fee_when_unused", "true"),
        (RESERVED + FEES.replace("true", '["EP", "XX"]'), "tariffs[2/ALPHA 2016-03-01].prices[line].fee_when_unused", "'XX'"),
        (RESERVED + FEES.replace("true", '["*"]'), "tariffs[2/ALPHA 2016-03-01].prices[line].fee_when_unused", "'*'"),
        (RESERVED + FEES.replace("true", '"EP"'), "tariffs[2/ALPHA 2016-03-01].prices[line].fee_when_unused", "'EP'"),
        (RESERVED + FEES.replace("true", 'true\nscope = "department"'),
         "tariffs[2/ALPHA 2016-03-01].prices[line].fee_when_unused", "true"),
        (RESERVED + FEES.replace("true", '["EP"]\nscope = "contract"'),
         "tariffs[2/ALPHA 2016-03-01].prices[line].fee_when_unused", "['EP']"),
        (RESERVED.replace("free", "fee_when_unused = true\nfree"),
         "tariffs[2/ALPHA 2016-03-01].prices[vm].fee_when_unused", "true"),
        (MINIMUMS.replace('"month"', '"week"'), "minimums[2/BETA short].per", "'week'"),
        (MINIMUMS.replace("2016-12-31", "2016-12-30"), "minimums[2/BETA short].ends", "2016-12-30"),
        (MINIMUMS.replace("2016-03-01", "2016-03-02"), "minimums[2/BETA short].starts", "2016-03-02"),
        (MINIMUMS.replace("2016-12-31", "2026-12-31"), "minimums[2/BETA short].starts", "2026-12-31"),
        (MINIMUMS.replace('"EP"', '"XX"'), "minimums[1/ALPHA short].payer", "'XX'"),
        (MINIMUMS.replace('item = "short"', 'item = "vm"'), "minimums[2/BETA vm].item", "'vm', which 2/BETA prices"),
        (PREPAID.replace("starts = 2016-04-01\n", ""), "prepaid[2/ALPHA credit].starts", "nothing"),
        (PREPAID.replace('amount = "30"', 'amount = "-1"'), "prepaid[2/BETA credit].amount", "-1"),
        (PREPAID.replace("2/ALPHA", "2/BETA"), "prepaid[2/BETA credit].item", "again"),
        (PREPAID.replace("ends = 2016-05-31", "ends = 2016-02-29", 1), "prepaid[2/BETA credit].ends",
         "2016-02-29, before it starts"),
        (PREPAID.replace("cost", "costs"), "prepaid[2/BETA credit].costs", "an unknown key"),
    ],
)  # fmt: skip
def test_promises_that_can_not_be_kept_are_refused(text: str, place: str, found: str):
    loaded = load(SMALL + ITEMS + text)
    assert isinstance(loaded, list)
    mine = [problem for problem in loaded if problem.place == place]
    assert mine, [str(problem) for problem in loaded]
    assert found in mine[0].found
