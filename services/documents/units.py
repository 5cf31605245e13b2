"""Units as an e-invoice names them: UN/ECE Recommendation 20.

What the list has no code for (a GiB-month) is invoiced by the piece; the unit's own name goes with the line.
"""

PIECE = "C62"
_CODES = {
    "hour": "HUR",
    "day": "DAY",
    "month": "MON",
    "byte": "AD",
    "kB": "2P",
    "MB": "4L",
    "GB": "E34",
    "TB": "E35",
    "PB": "E36",
    "KiB": "E64",
    "MiB": "E63",
    "GiB": "E62",
    "TiB": "E61",
    "PiB": "E60",
    "million": "MIO",
    "million messages": "MIO",
    "million requests": "MIO",
}


def unit_code(unit: str) -> str:
    """Return the code of a contract's unit."""
    return _CODES.get(unit, PIECE)
