"""The documents say what is true: links lead somewhere, and every command that they name is one."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import COMMANDS, app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("schemas/*.md"),
        *ROOT.glob("deploy/**/*.md"),
    ]
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(path: Path):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_commands_and_options_exist(path: Path):
    text = re.sub(r"\\\n\s*", " ", path.read_text("utf-8"))
    for line in re.findall(r"`plafond ([^`\n]+)`|^    plafond (.+)$", text, re.MULTILINE):
        words = " ".join(line).split("#")[0].split()
        assert words[0] in COMMANDS, line
        known = help_of(words[0]) + "".join(
            help_of(words[0], word) for word in words[1:2] if word.replace("-", "").isalpha()
        )
        assert [word for word in words if word.startswith("--") and word not in known] == [], line


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_files_that_are_named_exist(path: Path):
    named = re.findall(r"`((?:services|deploy|docs|schemas|tests)/[\w./-]+)`", path.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def help_of(*words: str) -> str:
    return CliRunner().invoke(app, [*words, "--help"], prog_name="plafond", env={"COLUMNS": "200"}).output
