"""Reading a supplier's invoice from a CSV file.

Rows are told apart by the number of their invoice. Where a column says that one is a credit note and its amounts come
to more than nothing, its signs are turned.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

from services.contract.money import HUNDRED, add, multiply, quotient, round_half_up, total
from services.reconciliation import written
from services.reconciliation.cells import Cells, Columns, rows_of
from services.reconciliation.electronic import turned
from services.reconciliation.mapping import Names
from services.reconciliation.model import InvoiceError, SupplierDocument, SupplierLine

COLUMNS: Columns = {
    "number": (
        "invoice_number", "invoice_no", "invoice", "document_number", "number", "numero_de_facture", "numero_facture",
        "no_facture", "n_facture", "no_de_facture", "n_de_facture", "facture", "rechnungsnummer", "rechnungs_nr",
        "rechnung_nr", "rechnung", "belegnummer",
    ),
    "currency": ("currency", "billing_currency", "devise", "monnaie", "wahrung"),
    "kind": ("document_type", "invoice_type", "kind", "type", "type_de_document", "belegart", "dokumentart"),
    "vat_id": (
        "supplier_vat_id", "vat_id", "vat_number", "numero_de_tva", "no_tva", "n_tva", "tva_intracommunautaire",
        "ust_idnr", "ust_id_nr", "ust_id", "umsatzsteuer_id",
    ),
    "supplier": ("supplier_name", "supplier", "vendor", "seller", "fournisseur", "vendeur", "lieferant", "anbieter"),
    "award": ("award",),
    "reference": (
        "contract", "contract_reference", "order", "order_reference", "contrat", "marche", "reference_contrat",
        "commande", "vertrag", "vertragsnummer", "bestellung", "bestellnummer",
    ),
    "invoice_month": ("invoice_month",),
    "month": (
        "usage_month", "month_of_use", "month", "billing_month", "period", "mois", "mois_d_utilisation", "periode",
        "monat", "nutzungsmonat", "leistungsmonat", "zeitraum",
    ),
    "starts": (
        "period_start", "start_date", "from", "billing_period_start", "date_de_debut", "date_debut", "debut", "du",
        "beginn", "von", "leistungsbeginn",
    ),
    "ends": (
        "period_end", "end_date", "to", "until", "billing_period_end", "date_de_fin", "date_fin", "fin", "au", "ende",
        "bis", "leistungsende",
    ),
    "institution": (
        "institution", "customer", "cost_centre", "cost_center", "accounting_cost", "client", "centre_de_cout", "kunde",
        "kostenstelle", "einrichtung",
    ),
    "department": ("department", "department_code", "departement", "abteilung"),
    "item": (
        "item", "item_code", "sku", "product_code", "article", "article_number", "code", "code_article",
        "artikel", "artikelnummer", "artikel_nr", "art_nr",
    ),
    "name": (
        "item_name", "description", "product", "name", "designation", "libelle", "produit", "bezeichnung",
        "beschreibung", "produkt", "leistung",
    ),
    "quantity": ("quantity", "qty", "usage_quantity", "quantite", "qte", "quantite_facturee", "menge", "anzahl"),
    "unit": ("unit", "uom", "unit_of_measure", "unit_code", "unite", "unite_de_mesure", "einheit", "mengeneinheit"),
    "net": (
        "net_amount", "amount_excl_vat", "net", "montant_net", "montant_ht", "montant_hors_taxes", "montant_hors_tva",
        "total_ht", "prix_total_ht", "nettobetrag", "netto", "betrag_netto", "summe_netto", "amount", "line_total",
        "cost", "montant", "betrag",
    ),
    "gross": (
        "gross_amount", "gross", "amount_with_vat", "amount_incl_vat", "montant_ttc", "montant_brut", "total_ttc",
        "bruttobetrag", "brutto", "betrag_brutto",
    ),
    "vat_percent": (
        "vat_percent", "vat_rate", "vat", "taux_de_tva", "taux_tva", "tva", "mwst_satz", "mwst", "ust_satz", "ust",
        "steuersatz",
    ),
}  # fmt: skip
_CREDIT = re.compile(r"\b(?:credit|avoir|gutschrift|381)", re.IGNORECASE)
_NEEDED = (("net", "gross"), ("item", "name"))


def read_csv(data: bytes, file: str, names: Names) -> list[SupplierDocument]:
    """Read the invoices in a CSV file, in the order of their first rows; one without a number is named by the file."""
    documents: dict[str, list[Cells]] = {}
    for row in rows_of(data, file, COLUMNS, _NEEDED, names):
        documents.setdefault(row.text("number") or file.rpartition("/")[2], []).append(row)
    if not documents:
        raise InvoiceError(f"{file}: no rows below the header; wanted at least one")
    return [_document(file, number, rows) for number, rows in documents.items()]


def _document(file: str, number: str, rows: Sequence[Cells]) -> SupplierDocument:
    currencies = _different(rows, "currency")
    if len(currencies) > 1:
        raise InvoiceError(f"{file}: {number}: found {', '.join(currencies)}; wanted one currency on an invoice")
    lines = tuple(map(_line, rows))
    vat_ids, said = _different(rows, "vat_id"), _invoiced(rows)
    if _CREDIT.search(" ".join(_different(rows, "kind"))) and total(line.net for line in lines) > 0:
        lines = tuple(map(turned, lines))
    return SupplierDocument(
        file=file,
        number=number,
        is_credit=total(line.net for line in lines) < 0,
        currency=currencies[0] if currencies else "",
        lines=lines,
        month=said[0] if len(said) == 1 else "",
        months=said or tuple(sorted({month for row in rows for month in _used(row)})),
        sellers=(*vat_ids, *_different(rows, "supplier")),
        vat_ids=vat_ids,
        references=_different(rows, "reference"),
    )


def _invoiced(rows: Sequence[Cells]) -> tuple[str, ...]:
    """Return the months that a column says the invoice to be for."""
    return tuple(
        sorted({written.month(row.text("invoice_month"), row.place) for row in rows if row.text("invoice_month")})
    )


def _used(row: Cells) -> tuple[str, ...]:
    """Return the months that a row's usage lies in: a column's, else those of its period."""
    if row.text("month"):
        return (written.month(row.text("month"), row.place),)
    days = [written.day(row.text(each), row.place) if row.text(each) else None for each in ("starts", "ends")]
    return written.months_between(*days)


def _line(row: Cells) -> SupplierLine:
    whose = [row.text("institution"), row.text("department")]
    used = _used(row)
    return SupplierLine(
        place=f"line {row.line}",
        name=row.text("name"),
        net=_net(row),
        codes=(row.text("item"),) if row.text("item") else (),
        quantity=row.number("quantity") if row.text("quantity") else None,
        unit=row.text("unit"),
        month=used[0] if len(used) == 1 else "",
        award=row.text("award"),
        whose=tuple(filter(None, ("/".join(whose) if all(whose) else "", whose[0] or whose[1]))),
    )


def _net(row: Cells) -> Decimal:
    """Return a row's amount without VAT: as it is given, else what the one with VAT comes to without it."""
    if row.text("net"):
        return row.number("net")
    if not row.text("gross"):
        raise InvoiceError(f"{row.place}: no amount; wanted one in every row")
    if not row.text("vat_percent"):
        raise InvoiceError(f"{row.place}: an amount with VAT and no rate of it; wanted a column vat_percent")
    percent = row._replace(fields={"vat_percent": row.text("vat_percent").rstrip("% ")}).number("vat_percent")
    if percent <= -HUNDRED:
        raise InvoiceError(f"{row.place}: vat_percent: found {percent}; wanted a rate from 0 on")
    return round_half_up(quotient(multiply(row.number("gross"), HUNDRED), add(HUNDRED, percent)), 2)


def _different(rows: Sequence[Cells], field: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.text(field) for row in rows if row.text(field)))
