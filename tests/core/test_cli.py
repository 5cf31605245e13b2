"""The command line as a whole: every command is found, explains itself, and loads no more than it needs."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from services import output
from services.cli import COMMANDS, app
from services.kafka import in_sync_min


def plafond(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words, prog_name="plafond")
    return done.exit_code, done.output


def test_the_help_names_every_command():
    status, said = plafond("--help")
    assert status == 0
    assert [name for name in COMMANDS if f" {name} " not in said] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str):
    status, said = plafond(name, "--help")
    assert status == 0
    assert f"plafond {name}" in said


def test_a_word_that_is_no_command():
    assert plafond("bil")[0] == 2
    assert "Did you mean bill?" in plafond("bil")[1]


def test_the_version():
    status, said = plafond("--version")
    assert (status, said.split()[0]) == (0, "plafond")


def test_a_command_without_servers_loads_none_of_their_libraries():
    code = "import sys, services.commands.bill; print([each for each in ('faust', 'fastapi', 'httpx') if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_table_that_is_too_wide_loses_no_digit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    narrow = Console(width=60)
    monkeypatch.setattr(output, "console", narrow)
    amount = "0.782908585196894341226991926"
    columns = [output.Column("what", "what"), *(output.Column(name, name, right=True) for name in ("a", "b"))]
    output.show([{"what": "settled at the close", "a": amount, "b": amount}], columns, title="T")
    said = capsys.readouterr().out
    assert "settled" in said
    assert sum(each.isdigit() for each in said) == 2 * sum(each.isdigit() for each in amount)
    assert max(map(len, said.splitlines())) <= 60


@pytest.mark.parametrize("name", ["up", "down", "demo", "bench", "chaos"])
def test_a_folder_that_can_not_be_is_told(name: str, tmp_path: Path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        status, said = plafond(name, "--folder", str(folder))
        assert (status, "is no folder" in said) == (2, True)
    for folder in ("", ".", ".."):  # what is emptied must not be where somebody works
        status, said = plafond(name, "--folder", folder)
        assert (status, "a folder of its own" in said) == (2, True)


def test_up_reads_its_contract_before_it_starts_anything(tmp_path: Path):
    status, said = plafond("up", "--folder", str(tmp_path / "stack"), "--contract", str(tmp_path / "none.toml"))
    assert (status, "can't be read" in said) == (2, True)
    assert not (tmp_path / "stack").exists()


def test_of_three_replicas_two_must_have_a_message():
    assert [in_sync_min(replicas) for replicas in (1, 2, 3, 5)] == [1, 1, 2, 2]
