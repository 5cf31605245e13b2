"""The words of an invoice in the language of who reads it."""

from datetime import date

from services.contract.parties import Language, Tax, TaxCategory
from services.documents.model import Document
from services.documents.words import WORDS, day

_NOTE = {
    Language.ENGLISH: "Charges for {month} under the framework contract {contract}: {name}",
    Language.FRENCH: "Montants dus pour {month} au titre du contrat-cadre {contract} : {name}",
    Language.GERMAN: "Entgelte für {month} aus dem Rahmenvertrag {contract}: {name}",
}
_CORRECTS = {
    Language.ENGLISH: "Takes back lines of {of}: {reason}. {note}",
    Language.FRENCH: "Annule des lignes de {of} : {reason}. {note}",
    Language.GERMAN: "Nimmt Positionen von {of} zurück: {reason}. {note}",
}
_REPLACES = {
    Language.ENGLISH: "Replaces {of}, which {by} took back: {reason}. {note}",
    Language.FRENCH: "Remplace {of}, annulée par {by} : {reason}. {note}",
    Language.GERMAN: "Ersetzt {of}, was {by} zurücknahm: {reason}. {note}",
}
_EXEMPT = {
    Language.ENGLISH: "Exempt from VAT: Article 151(1)(aa) of Directive 2006/112/EC, Protocol 7; certificate {}",
    Language.FRENCH: (
        "Exonération de TVA : article 151, paragraphe 1, point aa), de la directive 2006/112/CE, protocole n° 7 ; "
        "certificat {}"
    ),
    Language.GERMAN: (
        "Steuerbefreit: Artikel 151 Absatz 1 Buchstabe aa der Richtlinie 2006/112/EG, Protokoll Nr. 7; Bescheinigung {}"
    ),
}
_REVERSE_CHARGE = {
    Language.ENGLISH: "Reverse charge",
    Language.FRENCH: "Autoliquidation",
    Language.GERMAN: "Steuerschuldnerschaft des Leistungsempfängers",
}
_OUTSIDE = {
    Language.ENGLISH: "Not subject to VAT",
    Language.FRENCH: "Hors du champ d'application de la TVA",
    Language.GERMAN: "Nicht steuerbar",
}
_TERMS = {
    Language.ENGLISH: "Payable by {due}",
    Language.FRENCH: "Payable au plus tard le {due}",
    Language.GERMAN: "Zahlbar bis {due}",
}
_FROM, _UNTIL = (
    {Language.ENGLISH: "from", Language.FRENCH: "du", Language.GERMAN: "vom"},
    {Language.ENGLISH: "to", Language.FRENCH: "au", Language.GERMAN: "bis"},
)


def note(document: Document) -> str:
    """Say what a document is about, and what it corrects for which reason."""
    language = document.buyer.language
    about = _NOTE[language].format(month=document.month, contract=document.contract, name=document.contract_name)
    if not document.reason:
        return about
    of, *by = (each.number for each in document.preceding)
    form = _REPLACES if document.replaces else _CORRECTS
    return form[language].format(of=of, by=", ".join(by), reason=document.reason.rstrip("."), note=about)


def payment_terms(document: Document) -> str:
    """Say until when it is to be paid; empty of a credit note."""
    language = document.buyer.language
    return _TERMS[language].format(due=_day(document.due, language)) if document.due else ""


def rounding(document: Document) -> str:
    """Say that an amount rounds another."""
    return WORDS[document.buyer.language]["rounding"]


def exemption(tax: Tax, language: Language) -> str:
    """Say why no VAT is due; empty where it is."""
    if tax.category is TaxCategory.STANDARD:
        return ""
    if tax.reason:
        return tax.reason
    if tax.category is TaxCategory.EXEMPT:
        return _EXEMPT[language].format(_certificate(tax, language))
    return (_REVERSE_CHARGE if tax.category is TaxCategory.REVERSE_CHARGE else _OUTSIDE)[language]


def _certificate(tax: Tax, language: Language) -> str:
    valid = [f"{_FROM[language]} {_day(tax.valid_from, language)}"] if tax.valid_from else []
    valid += [f"{_UNTIL[language]} {_day(tax.valid_until, language)}"] if tax.valid_until else []
    return f"{tax.certificate} ({' '.join(valid)})" if valid else tax.certificate


def _day(value: date, language: Language) -> str:
    """Write a date as a sentence has it; in English as ISO 8601 does, which no reader takes for another day."""
    return value.isoformat() if language is Language.ENGLISH else day(value, language)
