"""`plafond contract rates`: a month's rate is the last one before it, and a table must reach that day."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import app

HEADER = "Date, USD, RUB, BGN, \n"
TABLE = (
    HEADER
    + """\
2016-05-02,1.1493,N/A,1.9558,
2016-04-29,1.1403,N/A,1.9558,
2016-04-28,1.1358,73.6485,1.9558,
2016-04-01,1.1432,76.7,1.9558,
2016-03-31,1.1385,76.3051,1.9558,
2016-03-24,1.1154,75.9,1.9558,
2016-02-29,1.0888,82.1,1.9558,
"""
)


@pytest.fixture
def rates(tmp_path: Path):
    def run(table: str, *words: str) -> tuple[int, str]:
        path = tmp_path / "eurofxref-hist.csv"
        path.write_text(table)
        done = CliRunner().invoke(app, ["contract", "rates", str(path), *words], prog_name="plafond")
        return done.exit_code, " ".join(done.output.split())

    return run


def test_each_month_has_the_last_rate_before_it(rates):
    status, said = rates(TABLE, "--currency", "USD", "--from", "2016-03", "--to", "2016-05")
    assert status == 0
    found = [line for line in said.split() if line[0] == '"']
    assert found == ['"USD"', '"2016-03"', '"1.0888"', '"USD"', '"2016-04"', '"1.1385"', '"USD"', '"2016-05"', '"1.1403"']  # fmt: skip


def test_the_last_weekday_before_a_month_is_enough(rates):
    friday = TABLE.replace("2016-05-02,1.1493,N/A,1.9558,\n", "")
    status, said = rates(friday, "--currency", "USD", "--from", "2016-05", "--to", "2016-05")
    assert (status, '"1.1403"' in said) == (0, True)


@pytest.mark.parametrize(
    ("table", "currency", "month", "said"),
    [
        (TABLE[TABLE.index("2016-03-24") :], "USD", "2016-04", "no columns Date and USD"),
        (HEADER + TABLE[TABLE.index("2016-03-24") :], "USD", "2016-04", "ends with 2016-03-24; wanted a table with"),
        (HEADER + TABLE[TABLE.index("2016-04-28") :], "USD", "2016-05", "ends with 2016-04-28; wanted a table with"),
        (TABLE, "USD", "2016-06", "ends with 2016-05-02"),
        (TABLE, "RUB", "2016-05", "no rate of RUB on 2016-04-29, the last day before 2016-05"),
        (TABLE, "USD", "2016-02", "no day in the month before 2016-02"),
        (
            TABLE.replace("1.1403", "-1.1403"),
            "USD",
            "2016-05",
            "found the rate -1.1403 on 2016-04-29; wanted one from 0.000001",
        ),
        (TABLE.replace("1.1403", "0"), "USD", "2016-05", "found the rate 0 on 2016-04-29"),
        (TABLE.replace("1.1403", "NaN"), "USD", "2016-05", "found the rate NaN on 2016-04-29"),
        (TABLE.replace("1.1403", "sNaN"), "USD", "2016-05", "found the rate sNaN on 2016-04-29"),
        (TABLE.replace("1.1403", "Infinity"), "USD", "2016-05", "found the rate Infinity on 2016-04-29"),
    ],
)
def test_a_table_that_does_not_say_it_is_refused(rates, table: str, currency: str, month: str, said: str):
    status, output = rates(table, "--currency", currency, "--from", month, "--to", month)
    assert status == 1
    assert said in output
    assert "[[rates]]" not in output


def test_an_unknown_currency_is_named(rates):
    status, said = rates(TABLE, "--currency", "BFG", "--from", "2016-05", "--to", "2016-05")
    assert status == 2
    assert "'BFG'; wanted one of the 176 currencies of ISO 4217" in said
