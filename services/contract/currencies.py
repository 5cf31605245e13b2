"""Currencies: how many digits stand behind the point of an amount that is due.

The codes and digits are ISO 4217's, list one, as of 1 January 2026, without metals and what has no digits; beside them
stand the withdrawn ones for which the European Central Bank published rates since 2000.
"""

from decimal import Decimal

from services.contract.money import round_half_up

_TWO = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU
CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR
NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"
_WITHDRAWN_TWO = "BGN CYP EEK HRK LTL LVL MTL ROL SIT SKK"
_WITHDRAWN_NONE = "TRL"

CURRENCY_DIGITS = {
    code: digits
    for digits, codes in ((2, _TWO + _WITHDRAWN_TWO), (0, f"{_NONE} {_WITHDRAWN_NONE}"), (3, _THREE), (4, _FOUR))
    for code in codes.split()
}
"""Minor-unit digits by currency."""


def amount_text(amount: Decimal, currency: str) -> str:
    """Write an amount for people: its currency's decimals, rounded half up, thousands apart, no minus on zero."""
    digits = CURRENCY_DIGITS[currency]
    return f"{round_half_up(amount, digits):z,.{digits}f}"


def money_text(amount: Decimal, currency: str) -> str:
    """Write an amount for people, with its currency."""
    return f"{amount_text(amount, currency)} {currency}"
