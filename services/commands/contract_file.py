"""A contract from a file, for commands that need no server."""

from pathlib import Path

from services.contract.load import load
from services.contract.model import Contract
from services.output import fail


def contract_in(path: Path) -> Contract:
    """Read a contract file; one that can't be read ends the command with status 2, one with mistakes with status 1."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path}: can't be read: {error}", 2)
    loaded = load(text)
    if not isinstance(loaded, Contract):
        fail("\n".join([f"{path}: the contract has {len(loaded)} mistakes", *(f"  {problem}" for problem in loaded)]))
    return loaded
