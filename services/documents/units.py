"""Units as an e-invoice names them, by UN/ECE Recommendation 20, and as a reader does, in the reader's language.

What the list has no code for (a GiB-month) is invoiced by the piece; the unit's own name goes with the line. A unit
that we have no word for is called as the contract has it.
"""

from collections.abc import Mapping

from services.contract.parties import Language

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


_FRENCH = {
    "second": "seconde", "minute": "minute", "hour": "heure", "day": "jour", "month": "mois", "year": "an",
    "byte": "octet", "kB": "ko", "MB": "Mo", "GB": "Go", "TB": "To", "PB": "Po",
    "KiB": "Kio", "MiB": "Mio", "GiB": "Gio", "TiB": "Tio", "PiB": "Pio",
    "request": "requête", "message": "message", "user": "utilisateur", "million": "million",
    "million requests": "million de requêtes", "million messages": "million de messages",
}  # fmt: skip
_GERMAN = {
    "second": "Sekunde", "minute": "Minute", "hour": "Stunde", "day": "Tag", "month": "Monat", "year": "Jahr",
    "byte": "Byte", "request": "Anfrage", "message": "Nachricht", "user": "Benutzer", "million": "Million",
    "million requests": "Million Anfragen", "million messages": "Million Nachrichten",
}  # fmt: skip
_NAMES: Mapping[Language, Mapping[str, str]] = {
    Language.ENGLISH: {},
    Language.FRENCH: _FRENCH,
    Language.GERMAN: _GERMAN,
}


def unit_name(unit: str, language: Language) -> str:
    """Return what a contract's unit is called in a language: hour is heure, GiB-hour is Gio-heure."""
    names = _NAMES[language]
    *parts, last = unit.split("-")
    return "-".join(names.get(each, each) for each in (*parts, last)) if last in names else unit
