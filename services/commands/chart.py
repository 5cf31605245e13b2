"""A bar chart as SVG: two amounts for each name, side by side; and the files that hold it and its rows.

A row may have a note below its bars: then its second amount is not comparable, and drawn hollow.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType

from services.contract.currencies import amount_text
from services.output import fail

NOTE_LENGTH_MAX = 120
"""Characters that fit into the chart; the rows in the other file have it all."""
ROW, NOTE, BAR, LEFT, WIDE, RIGHT, TOP = 34, 16, 12, 110, 520, 130, 56
COLOURS = ("#6b7a8f", "#1f6feb")


def bars(
    title: str,
    names: tuple[str, str],
    rows: Sequence[tuple[str, Decimal, Decimal]],
    currency: str,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the chart; `names` says what the first and the second amount of each row are, `notes` go by row."""
    most = max((max(now, then) for _, now, then in rows), default=Decimal(0)) or Decimal(1)
    width, height = LEFT + WIDE + RIGHT, TOP + ROW * len(rows) + NOTE * len(notes) + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="Arial" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold" fill="#1b1f24">{escape(title)}</text>',
    ]
    for index, name in enumerate(names):
        parts.append(f'<rect x="{LEFT + 200 * index}" y="34" width="12" height="12" fill="{COLOURS[index]}"/>')
        parts.append(f'<text x="{LEFT + 18 + 200 * index}" y="44" fill="#1b1f24">{escape(name)}</text>')
    top = TOP
    for name, *amounts in rows:
        parts.append(f'<text x="{LEFT - 8}" y="{top + 18}" text-anchor="end" fill="#1b1f24">{escape(name)}</text>')
        for index, amount in enumerate(amounts):
            long = float(max(amount, Decimal(0)) / most) * WIDE
            hollow = index == 1 and name in notes
            parts += _bar(top + 2 + BAR * index, long, index, amount_text(amount, currency), hollow=hollow)
        top += ROW
        if name in notes:
            parts.append(f'<text x="{LEFT}" y="{top + 4}" font-size="10" fill="#b42318">{escape(notes[name])}</text>')
            top += NOTE
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(y: int, long: float, index: int, said: str, *, hollow: bool) -> list[str]:
    colour = COLOURS[index]
    drawn = f'fill="#ffffff" stroke="{colour}" stroke-dasharray="3 2"' if hollow else f'fill="{colour}"'
    return [
        f'<rect x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR - 1}" {drawn}/>',
        f'<text x="{LEFT + long + 6:.1f}" y="{y + 10}" font-size="10" fill="#1b1f24">{said}</text>',
    ]


def note(text: str) -> str:
    """Return as much of a text as fits below a row."""
    return shorten(text, NOTE_LENGTH_MAX, placeholder=" …")


def write(folder: Path, name: str, head: Sequence[str], rows: Iterable[Sequence[str]], chart: str) -> None:
    """Write rows as `name`.csv and a chart as `name`.svg, or end with what hinders that."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\r\n").writerows([head, *rows])
        (folder / f"{name}.svg").write_text(chart, "utf-8")
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}")
