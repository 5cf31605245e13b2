"""Identifiers of parties, checked as far as their own digits tell: VAT ids, account numbers, electronic addresses.

Law: what passes here passes the rules of EN 16931 and of Peppol for the same identifier. The checksums are
python-stdnum's, which brings in a network client: it is loaded when there is something to check.
"""

import re
from collections.abc import Callable
from functools import partial
from importlib import import_module

_EAS = """
0002 0007 0009 0060 0088 0096 0097 0106 0130 0135 0142 0151 0183 0184 0188 0190 0191 0192 0195 0196 0198 0199 0200
0201 0204 0208 0209 0210 0211 0216 0218 0221 0225 0230 0235 0240 0242 0244 0245 0246 0248 9910 9913 9914 9915 9918
9919 9920 9922 9923 9924 9925 9926 9927 9928 9929 9930 9931 9932 9933 9934 9935 9936 9937 9938 9939 9940 9941 9942
9943 9944 9945 9946 9947 9948 9949 9950 9951 9952 9953 9957 9959
"""
ADDRESS_SCHEMES = frozenset(_EAS.split())
"""The schemes of electronic addresses that Peppol knows, release 2026.5."""
REGISTER_SCHEMES = frozenset(f"{number:04}" for number in range(2, 249) if number not in {92, 103, 181, 182})
"""The schemes of legal registrations: ISO 6523 as EN 16931's rules know it."""
VAT_FORM = 'a VAT id with its country and no spaces, like "BE0203201340", whose check digits agree'
IBAN_FORM = 'an account number (IBAN) without spaces, like "BE68539007547034", whose check digits agree'
_VAT = re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,13}\Z", re.ASCII)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}\Z", re.ASCII)
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}\Z", re.ASCII)
_IDENTIFIER = re.compile(r"[!-~]{1,50}\Z", re.ASCII)
_COUNTRY_BY_PREFIX = {"EL": "gr", "XI": "gb"}


def is_vat_id(text: str) -> bool:
    """Tell whether a text is a VAT id of a country whose ids can be checked, as it is written on invoices."""
    if not _VAT.match(text):
        return False
    country = _COUNTRY_BY_PREFIX.get(text[:2], text[:2].lower())
    module = import_module("stdnum.util").get_cc_module(country, "vat")
    return module is not None and bool(module.is_valid(text))


def is_iban(text: str) -> bool:
    """Tell whether a text is an account number with right check digits."""
    return bool(_IBAN.match(text)) and bool(import_module("stdnum.iban").is_valid(text, check_country=False))


def is_email(text: str) -> bool:
    """Tell whether a text is one plain e-mail address."""
    return len(text) <= 254 and bool(_EMAIL.match(text))


def is_identifier(scheme: str, text: str) -> bool:
    """Tell whether a text can be an identifier of a scheme: its form and check digits, where the scheme has any."""
    own = _SCHEMES.get(scheme)
    return bool(_IDENTIFIER.match(text)) and (own is None or own(text))


def _numbered(module: str, form: str, text: str) -> bool:
    return re.fullmatch(form, text, re.ASCII) is not None and bool(import_module(module).is_valid(text))


def _formed(form: str, text: str) -> bool:
    return re.fullmatch(form, text, re.ASCII) is not None


_SCHEMES: dict[str, Callable[[str], bool]] = {
    "0007": partial(_numbered, "stdnum.se.orgnr", "[0-9]{10}"),
    "0088": partial(_numbered, "stdnum.ean", "[0-9]{13}"),
    "0096": partial(_formed, "[0-9]{10}"),
    "0106": partial(_formed, "[0-9]{8}"),
    "0151": partial(_numbered, "stdnum.au.abn", "[0-9]{11}"),
    "0184": partial(_formed, "(DK)?[0-9]{8}"),
    "0190": partial(_formed, "[0-9]{20}"),
    "0192": partial(_numbered, "stdnum.no.orgnr", "[0-9]{9}"),
    "0198": partial(_formed, "DK[0-9]{8}"),
    "0208": partial(_numbered, "stdnum.be.vat", "[01][0-9]{9}"),
    "0211": partial(_numbered, "stdnum.it.iva", "IT[0-9]{11}"),
    "0217": partial(_formed, "[0-9]{12}"),
    "9925": lambda text: text.startswith("BE") and is_vat_id(text),
    "9930": lambda text: text.startswith("DE") and is_vat_id(text),
    "9944": lambda text: text.startswith("NL") and is_vat_id(text),
    "9957": lambda text: text.startswith("FR") and is_vat_id(text),
}
"""What a scheme says of its identifiers; of the others only the characters are checked."""
