"""The words of a printed invoice, and its numbers and dates, in the language of who reads it."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_compact_decimal, format_currency, format_decimal, format_percent, get_decimal_symbol

from services.contract.currencies import CURRENCY_DIGITS
from services.contract.money import decimals, round_half_up
from services.contract.months import first_day, month_of
from services.contract.parties import Language
from services.documents.model import DocumentKind

LOCALES = {Language.ENGLISH: "en_GB", Language.FRENCH: "fr_FR", Language.GERMAN: "de_DE"}
QUANTITY_DIGITS = 3
PRICE_DIGITS = {2: 6}
"""How many decimals of a unit price are printed in a currency of so many; all of them in any other."""
MILLION = 1_000_000

_ENGLISH = {
    "pro forma": "not an invoice", "as_of": "As of",
    "invoice": "Invoice", "credit note": "Credit note", "from": "From", "to": "To", "vat_id": "VAT id",
    "issued": "Issued", "period": "Period", "framework": "Framework contract", "buyer_reference": "Your reference",
    "order_reference": "Your order", "accounting_cost": "Accounting cost", "adjusts": "Adjusts", "account": "Account",
    "corrects": "Corrects", "reason": "Reason", "set_off": "{} set off: credited before",
    "payable": "To be paid", "credited": "To be credited", "due": "by {}", "net": "Net", "vat": "VAT",
    "by_award": "By supplier and lot", "by_department": "By department", "direct": "no department",
    "pools": "of which shares of pools", "adjustments": "of which adjustments of earlier months", "lines": "Lines",
    "line": "No.", "item": "Item", "whose": "For", "quantity": "Quantity", "price": "Unit price", "amount": "Amount",
    "pool": "pool", "lot": "Lot", "total": "Total", "page": "Page", "of_month": "used in {}",
    "rounding": "Rounding", "others": "all other lines", "by_month": "By month, without VAT",
    "last": "{}, to compare", "so_far": "Invoiced up to {}, without VAT", "budget": "of your budget of {}",
    "contract": "by all, of the contract's ceiling of {}",
    "elsewhere": "The {} largest of {} lines; all are in the workbook and the CSV file of this number.",
    "weights": "fixed weights", "equal": "equal parts", "proportional": "in proportion to direct use",
}  # fmt: skip
_FRENCH = {
    "pro forma": "ceci n'est pas une facture", "as_of": "État au",
    "invoice": "Facture", "credit note": "Note de crédit", "from": "De", "to": "À", "vat_id": "N° TVA",
    "issued": "Émise le", "period": "Période", "framework": "Contrat-cadre", "buyer_reference": "Votre référence",
    "order_reference": "Votre commande", "accounting_cost": "Imputation comptable", "adjusts": "Rectifie",
    "corrects": "Corrige", "reason": "Motif", "set_off": "{} imputés : déjà crédités",
    "account": "Compte", "payable": "À payer", "credited": "À créditer", "due": "au plus tard le {}", "net": "Hors TVA",
    "vat": "TVA", "by_award": "Par fournisseur et lot", "by_department": "Par service", "direct": "sans service",
    "pools": "dont parts de services communs", "adjustments": "dont régularisations de mois antérieurs",
    "lines": "Lignes", "line": "N°", "item": "Article", "whose": "Pour", "quantity": "Quantité",
    "price": "Prix unitaire", "amount": "Montant", "pool": "service commun", "lot": "Lot", "total": "Total",
    "page": "Page", "of_month": "utilisé en {}",
    "rounding": "Arrondi", "others": "toutes les autres lignes", "by_month": "Par mois, hors TVA",
    "last": "{}, pour comparaison", "so_far": "Facturé jusqu'en {}, hors TVA", "budget": "sur votre budget de {}",
    "contract": "à tous, sur le plafond du contrat de {}",
    "elsewhere": "Les {} plus grandes des {} lignes ; toutes sont dans le classeur et le fichier CSV de ce numéro.",
    "weights": "pondération fixe", "equal": "parts égales", "proportional": "au prorata de l'usage direct",
}  # fmt: skip
_GERMAN = {
    "pro forma": "keine Rechnung", "as_of": "Stand vom",
    "invoice": "Rechnung", "credit note": "Gutschrift", "from": "Von", "to": "An", "vat_id": "USt-IdNr.",
    "issued": "Ausgestellt am", "period": "Zeitraum", "framework": "Rahmenvertrag", "buyer_reference": "Ihr Zeichen",
    "order_reference": "Ihre Bestellung", "accounting_cost": "Kontierung", "adjusts": "Berichtigt", "account": "Konto",
    "corrects": "Korrigiert", "reason": "Grund", "set_off": "{} verrechnet: schon gutgeschrieben",
    "payable": "Zu zahlen", "credited": "Gutzuschreiben", "due": "bis {}", "net": "Netto", "vat": "USt.",
    "by_award": "Nach Auftragnehmer und Los", "by_department": "Nach Dienststelle", "direct": "ohne Dienststelle",
    "pools": "davon Anteile an Gemeinschaftsdiensten", "adjustments": "davon Berichtigungen früherer Monate",
    "lines": "Positionen", "line": "Nr.", "item": "Artikel", "whose": "Für", "quantity": "Menge",
    "price": "Einzelpreis", "amount": "Betrag", "pool": "Gemeinschaftsdienst", "lot": "Los", "total": "Summe",
    "page": "Seite", "of_month": "genutzt im {}",
    "rounding": "Rundung", "others": "alle übrigen Positionen", "by_month": "Nach Monaten, ohne USt.",
    "last": "{}, zum Vergleich", "so_far": "Berechnet bis {}, ohne USt.", "budget": "von Ihrem Budget von {}",
    "contract": "allen zusammen, von der Obergrenze des Vertrags von {}",
    "elsewhere": "Die {} größten von {} Positionen; alle stehen in der Arbeitsmappe und der CSV-Datei dieser Nummer.",
    "weights": "feste Gewichte", "equal": "gleiche Teile", "proportional": "im Verhältnis der eigenen Nutzung",
}  # fmt: skip
WORDS: Mapping[Language, Mapping[str, str]] = {
    Language.ENGLISH: _ENGLISH,
    Language.FRENCH: _FRENCH,
    Language.GERMAN: _GERMAN,
}


def amount(number: Decimal, language: Language, digits: int) -> str:
    """Write an amount in a currency of so many decimals; one of VAT may have more, and they are not lost."""
    shown = "0" * max(digits, decimals(number))
    form = f"#,##0.{shown}" if shown else "#,##0"
    return format_decimal(number, f"{form};-{form}", locale=LOCALES[language])


def money(number: Decimal, currency: str, language: Language) -> str:
    """Write an amount with its currency's sign and all the decimals that the currency has by ISO 4217.

    Babel by itself takes CLDR's: none for the Iraqi or the Serbian dinar, which would round what is to be paid.
    """
    digits, locale = CURRENCY_DIGITS[currency], LOCALES[language]
    shown = f"0.{'0' * digits}" if digits else "0"
    form = Locale.parse(locale).currency_formats["standard"].pattern.replace("0.00", shown)
    return format_currency(number, currency, form, locale, currency_digits=False)


def compact(number: Decimal, language: Language) -> str:
    """Write an amount in few characters, for a chart; whole below a million, which German has no short form for."""
    if abs(number) < MILLION:
        return format_decimal(round_half_up(number, 0), "#,##0", locale=LOCALES[language])
    return format_compact_decimal(number, locale=LOCALES[language], fraction_digits=1)


def quantity(number: Decimal, language: Language) -> str:
    """Write a quantity, rounded for people to read."""
    return _number(round_half_up(number, QUANTITY_DIGITS), language)


def price(number: Decimal, language: Language, digits: int) -> str:
    """Write a unit price in a currency of so many decimals, rounded for people to read."""
    return _number(round_half_up(number, PRICE_DIGITS.get(digits, decimals(number))), language)


def decimal_sign(language: Language) -> str:
    """Return what stands before a number's decimals."""
    return get_decimal_symbol(LOCALES[language])


def day(value: date, language: Language) -> str:
    """Write a date in full; the first of a month is an ordinal in French, of which CLDR knows nothing."""
    written = format_date(value, "long", locale=LOCALES[language])
    return f"1er{written[1:]}" if language is Language.FRENCH and value.day == 1 else written


def month(value: str, language: Language) -> str:
    """Write a month in full."""
    return format_date(first_day(value), "MMMM y", locale=LOCALES[language])


def of_month(value: str, language: Language) -> str:
    """Write a month in full after what is of it; in French with the preposition: de mars, d'avril."""
    name = month(value, language)
    if language is not Language.FRENCH:
        return name
    return f"d'{name}" if name[0] in "ao" else f"de {name}"


def month_short(value: str, language: Language) -> str:
    """Write a month in few characters, for a chart."""
    return format_date(first_day(value), "LLL", locale=LOCALES[language])


def month_before(value: str, language: Language) -> str:
    """Write the month before another in full."""
    return month(month_of(first_day(value) - timedelta(days=1)), language)


def percent(part: Decimal, language: Language) -> str:
    """Write a part as a percentage with one decimal."""
    return format_percent(round_half_up(part, 3), "#,##0.0 %", locale=LOCALES[language])


def title(kind: DocumentKind, language: Language, *, is_issued: bool = True) -> str:
    """Return what a document is called."""
    return WORDS[language][kind.value] if is_issued else f"PRO FORMA – {WORDS[language]['pro forma']}"


def _number(number: Decimal, language: Language) -> str:
    return format_decimal(number, "#,##0.############", locale=LOCALES[language], decimal_quantization=False)
