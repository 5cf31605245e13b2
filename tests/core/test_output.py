"""Tables: they fit the terminal, and what is left out for that is said."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services import output
from services.commands.month import show_ceilings, show_totals
from services.commands.simulate import _row
from services.contract.currencies import amount_text
from services.invoicing.ceilings import CeilingKey, Level, Standing
from services.invoicing.close import Invoice
from services.invoicing.statement import Statement
from services.output import Column, show
from tests.documents import line, small

COLUMNS = [
    Column("item", "item", whole=True), Column("since", "prices of", whole=True, spare=True),
    Column("rate", "rate", right=True, spare=True), Column("amount", "amount", right=True),
]  # fmt: skip
ROW = {"item": "memory.gib-hour", "since": "2016-01-01", "rate": Decimal("1.0920"), "amount": "1,234,567.89"}


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    monkeypatch.setattr(output.console, "width", width)
    show([ROW], COLUMNS, title="Prices")
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("width", "left_out"), [(80, []), (48, ["rate"]), (35, ["prices of", "rate"])]
)  # fmt: skip
def test_spare_columns_go_first_and_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, left_out: list[str]
):
    out = printed(capsys, monkeypatch, width)
    assert max(map(len, out.splitlines()[:-1])) <= width
    assert "1,234,567.89" in out
    assert ("left out of the narrow table: " + ", ".join(left_out) in " ".join(out.split())) == bool(left_out)


def test_where_nothing_is_spare_numbers_go_over_several_lines_and_lose_no_digit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    out = printed(capsys, monkeypatch, 24)
    assert "…" not in out
    digits = "".join(line[15:].strip() for line in out.splitlines()[2:-1])
    assert "1,234,567.89" in digits.replace(" ", "")


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("-0.001", "EUR", "0.00"), ("-0", "EUR", "0.00"), ("-0.005", "EUR", "-0.01"), ("0.125", "EUR", "0.13"),
        ("-1234.5", "EUR", "-1,234.50"), ("317.869", "KWD", "317.869"), ("318.4", "JPY", "318"), ("-0.4", "JPY", "0"),
        ("1.00005", "CLF", "1.0001"),
    ],
)  # fmt: skip
def test_an_amount_has_its_currencys_decimals_rounded_half_up_and_nothing_has_no_sign(
    amount: str, currency: str, written: str
):
    assert amount_text(Decimal(amount), currency) == written


def test_a_change_of_nearly_nothing_has_no_minus():
    assert _row("EP", Decimal("734.9"), Decimal("734.89999"))["per_cent"] == "+0.00"
    assert _row("EP", Decimal(200), Decimal(199))["per_cent"] == "-0.50"
    assert _row("EP", Decimal(0), Decimal(1))["per_cent"] == ""


def test_commands_show_amounts_with_the_currencys_decimals(capsys: pytest.CaptureFixture[str]):
    contract = replace(small(), currency="KWD")
    statement = Statement("EP", "2016-03", (line("1", "317.869", digits=3),))
    show_totals(contract, [Invoice("N-1", statement)], title="Statements", as_json=False)
    show_ceilings(
        contract, [Standing(CeilingKey(Level.INSTITUTION, "EP"), Decimal("1.5"), Decimal(400))], as_json=False
    )
    out = capsys.readouterr().out
    assert out.count("317.869") == 2
    assert "1 institution, 317.869 KWD" in out
    assert "400.000" in out
    assert "1.500" in out
