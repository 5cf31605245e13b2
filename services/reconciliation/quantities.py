"""Units that say the same in another scale: seconds and hours, GB and TB, pieces and millions.

A unit is a product of parts (`GiB-hour`), each of a dimension and a size; what only says what is counted (`vCPU`,
`messages`) has none. Two units can be converted where their dimensions are the same; others are never guessed at.
Codes are those of UN/ECE Recommendation 20.
"""

import re
from collections import Counter
from fractions import Fraction

_TIME = {
    1: "s sec second seconds seconde secondes sekunde sekunden", 60: "min minute minutes minuten",
    3600: "h hr hrs hur hour hours heure heures stunde stunden", 86400: "d day days jour jours tag tage",
    604800: "wee week weeks semaine semaines woche wochen",
}  # fmt: skip
_DATA = {
    1: "b ad byte bytes", 10**3: "kb 2p kilobyte", 10**6: "mb 4l megabyte", 10**9: "gb e34 gigabyte",
    10**12: "tb e35 terabyte", 10**15: "pb e36 petabyte", 2**10: "kib e64 kibibyte", 2**20: "mib e63 mebibyte",
    2**30: "gib e62 gibibyte", 2**40: "tib e61 tebibyte", 2**50: "pib e60 pebibyte",
}  # fmt: skip
_COUNT = {
    1: "c62 ea h87 pce xpp nar one piece pieces each unit units vcpu vcpus cpu core cores vm vms node nodes instance "
    "instances message messages request requests call calls",
    100: "cen hundred", 1000: "mil k thousand", 10**6: "mio million",
}  # fmt: skip
_MONTH = {1: "mon month months", 12: "ann year years"}
_PIECES = frozenset({"", *_COUNT[1].split()[:11]})
_SIZES = {
    name: (dimension, Fraction(size))
    for dimension, sizes in (("time", _TIME), ("data", _DATA), ("", _COUNT), ("month", _MONTH))
    for size, names in sizes.items()
    for name in names.split()
}
_BETWEEN = re.compile(r"[\s.·*×_-]+")


def factor(unit: str, wanted: str) -> Fraction | None:
    """Return how many of the wanted unit one of a unit is; None where they can't be converted."""
    if unit.casefold() == wanted.casefold():
        return Fraction(1)
    (dimensions, size), (wanted_dimensions, wanted_size) = _measure(unit), _measure(wanted)
    return size / wanted_size if dimensions == wanted_dimensions else None


def is_piece(unit: str) -> bool:
    """Tell whether a unit says nothing of a measure, as where an invoice has no code for it."""
    return unit.strip().casefold() in _PIECES


def is_count(unit: str) -> bool:
    """Tell whether a unit counts things."""
    return not _measure(unit)[0]


def scale(ratio: Fraction) -> str:
    """Name the change of scale that a ratio of two quantities looks like; empty where it looks like none."""
    for up, text in _MISTAKES.items():
        if abs(ratio / up - 1) < Fraction(1, 1000):
            return text
    return ""


_MISTAKES = {
    Fraction(3600): "seconds for hours", Fraction(60): "minutes for hours", Fraction(24): "hours for days",
    Fraction(1000): "thousands for units, or GB for TB", Fraction(1024): "GiB for TiB",
    Fraction(10**6): "single ones for millions", Fraction(2**30, 10**9): "GB for GiB",
}  # fmt: skip
_MISTAKES |= {1 / up: f"the reverse of {text}" for up, text in _MISTAKES.items()}


def _measure(unit: str) -> tuple[Counter[str], Fraction]:
    """Return the dimensions of a unit and its size in them; a part that is not known is a dimension of its own."""
    dimensions: Counter[str] = Counter()
    size = Fraction(1)
    for part in filter(None, _BETWEEN.split(unit.strip().casefold())):
        dimension, factor_of_part = _SIZES.get(part, (part, Fraction(1)))
        size *= factor_of_part
        if dimension:
            dimensions[dimension] += 1
    return dimensions, size
