"""Mistakes in a contract file, as values: where one is, what was found there, what would be right."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a contract file: where it is, what was found, what would be right."""

    place: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.place}: found {self.found}; wanted {self.wanted}"


def show(value: object) -> str:
    """Write what was found in a file, in brief."""
    if isinstance(value, Mapping):
        return f"a table of {len(value)} entries"
    if isinstance(value, list):
        return show_list(value)
    if isinstance(value, int) and value.bit_length() > 250:
        return "a whole number of more than 75 digits"
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def show_list(values: list[object]) -> str:
    """Write a list of plain values in brief; what is nested is only counted."""
    if len(values) > 10 or any(isinstance(each, Mapping | list) for each in values):
        return f"a list of {len(values)} entries"
    return "[" + ", ".join(show(each) for each in values) + "]"


def one_of(known: Collection[str], what: str, meant: object = None) -> str:
    """Write what would be right where a name is not known: all there are, or those most like it."""
    if not known:
        return f"one of the {what}, of which there are none"
    if len(known) <= 12:
        return f"one of the {what}: {', '.join(sorted(known))}"
    alike = difflib.get_close_matches(meant[:64], known, 3) if isinstance(meant, str) and len(known) <= 200 else []
    return (
        f"one of the {len(known)} {what}, " + ("maybe " if alike else "like ") + " or ".join(alike or sorted(known)[:3])
    )
