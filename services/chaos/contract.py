"""The contract under chaos: the sample, with ceilings so low that they are reached, and prices to come added to it."""

import re
from datetime import date
from decimal import Decimal

from services.contract.load import load
from services.contract.model import Contract
from services.stack.demo import CONTRACT

SHRINK = 1_000
"""By what ceilings and budgets are divided: a run of minutes then passes most of their thresholds."""
_CEILING = re.compile(r'^(ceiling|budget) = "([\d.]+)"', re.MULTILINE)
_TARIFFS = "[[tariffs]]\n"
_PRICE = re.compile(r'\bprice = "([\d.]+)"')


def low_ceilings() -> str:
    """Return the sample contract with its ceilings and budgets divided by `SHRINK`."""
    text = CONTRACT.read_text("utf-8")
    return _CEILING.sub(lambda found: f'{found[1]} = "{Decimal(found[2]) / SHRINK}"', text)


def with_tariff(text: str, award: str, day: date, factor: Decimal) -> str | None:
    """Return a contract in which an award has other prices from a day on; None where it has some from that day already.

    These are the ones of its first tariff in the file, times a factor.
    """
    blocks = [_block(each) for each in text.split(_TARIFFS)[1:]]
    mine = [each for each in blocks if f'award = "{award}"' in each]
    if any(f"valid_from = {day}" in each for each in mine):
        return None
    dearer = _PRICE.sub(lambda found: f'price = "{(Decimal(found[1]) * factor).normalize():f}"', mine[0])
    begins = f"valid_from = {day}\nown_meters = true"  # whatever counts by the month, and whatever day that is
    dated = re.sub(r"^valid_from = .*$", begins, dearer, flags=re.MULTILINE)
    return f"{text.rstrip()}\n\n{_TARIFFS}{dated}"


def with_ceiling(text: str, place: float, factor: Decimal) -> str:
    """Return a contract in which one of its ceilings and budgets is times a factor; the same where that can't be.

    `place` chooses it: 0 is the first in the file, and below 1 the last.
    """
    found = list(_CEILING.finditer(text))
    chosen = found[int(place * len(found))]
    ceiling = f'{chosen[1]} = "{(Decimal(chosen[2]) * factor).normalize():f}"'
    changed = text[: chosen.start()] + ceiling + text[chosen.end() :]
    return changed if isinstance(load(changed), Contract) else text


def _block(text: str) -> str:
    """Return a tariff's lines up to the next table that is not part of it."""
    lines = []
    for line in text.splitlines():
        if line.startswith("[") and not line.startswith("[tariffs."):
            break
        lines.append(line)
    return "\n".join(lines) + "\n"
