"""A document as an e-mail to one address, in the language of its institution.

Law: a document's e-mail to an address is told from any other by its Message-ID, which is the same each time it is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from typing import Any

from services.contract.parties import Language
from services.documents.words import day, money, month, of_month

ATTACHED = {"pdf": ("application", "pdf"), "xml": ("application", "xml")}
"""What is attached, the first to be left out last: what a person reads, and what a program books."""

_ENGLISH = {
    "invoice": "Invoice", "credit note": "Credit note",
    "greeting": "Dear Sir or Madam,",
    "invoice of": "please find the invoice {number} for {of_month} under the contract {contract}.",
    "credit note of": "please find the credit note {number} for {of_month} under the contract {contract}.",
    "payable": "To be paid: {amount}", "due": "To be paid: {amount} by {due}", "credited": "Credited: {amount}",
    "attached": "Attached: {}", "elsewhere": "Too large for an e-mail, and to be fetched from us: {}",
    "pdf": "the document to read, with the e-invoice in it", "pdf alone": "the document to read",
    "xml": "the e-invoice (UBL, Peppol BIS Billing 3.0)",
    "end": "This message was sent by a program.",
}  # fmt: skip
_FRENCH = {
    "invoice": "Facture", "credit note": "Note de crédit",
    "greeting": "Madame, Monsieur,",
    "invoice of": "veuillez trouver la facture {number} {of_month}, au titre du contrat {contract}.",
    "credit note of": "veuillez trouver la note de crédit {number} {of_month}, au titre du contrat {contract}.",
    "payable": "À payer : {amount}", "due": "À payer : {amount}, au plus tard le {due}",
    "credited": "Crédité : {amount}",
    "attached": "Pièce jointe : {}", "elsewhere": "Trop volumineux pour un courriel, et à retirer chez nous : {}",
    "pdf": "le document à lire, qui contient la facture électronique", "pdf alone": "le document à lire",
    "xml": "la facture électronique (UBL, Peppol BIS Billing 3.0)",
    "end": "Ce message a été envoyé par un programme.",
}  # fmt: skip
_GERMAN = {
    "invoice": "Rechnung", "credit note": "Gutschrift",
    "greeting": "Sehr geehrte Damen und Herren,",
    "invoice of": "Sie erhalten die Rechnung {number} für {of_month} zum Vertrag {contract}.",
    "credit note of": "Sie erhalten die Gutschrift {number} für {of_month} zum Vertrag {contract}.",
    "payable": "Zu zahlen: {amount}", "due": "Zu zahlen: {amount} bis {due}", "credited": "Gutgeschrieben: {amount}",
    "attached": "Angehängt: {}", "elsewhere": "Zu groß für eine E-Mail und bei uns abzuholen: {}",
    "pdf": "das Dokument zum Lesen, mit der E-Rechnung darin", "pdf alone": "das Dokument zum Lesen",
    "xml": "die E-Rechnung (UBL, Peppol BIS Billing 3.0)",
    "end": "Diese Nachricht wurde von einem Programm gesendet.",
}  # fmt: skip
WORDS = {Language.ENGLISH: _ENGLISH, Language.FRENCH: _FRENCH, Language.GERMAN: _GERMAN}


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail as it goes out: from whom, to whom, and its bytes; `files` are the SHA-256 of what is attached."""

    sender: str
    address: str
    message: bytes
    files: Mapping[str, str]


def mail(
    document: Mapping[str, Any], files: Mapping[str, bytes], address: str, round_: int, *, sender: str,
    bytes_max: int, now: datetime,
) -> Mail:  # fmt: skip
    """Write the e-mail of a document, which is given as its own JSON has it; `files` are its forms in `ATTACHED`,
    of which one in a currency that has no e-invoices lacks the XML.

    Attachments of more than `bytes_max` bytes in all are left out, the e-invoice first, and the text says so.
    """
    attached = _that_fit(files, bytes_max)
    message = EmailMessage(policy=SMTP)
    words = WORDS[Language(document["buyer"]["language"])]
    number = document["number"]
    message["From"] = Address(document["seller"]["legal_name"], addr_spec=sender)
    message["To"] = Address(addr_spec=address)
    if (reply_to := next(iter(document["seller"]["emails"]), sender)) != sender:
        message["Reply-To"] = reply_to
    message["Subject"] = f"{words[document['document']]} {number}, {_month(document)}"
    message["Date"] = now
    message["Message-ID"] = message_id(number, address, round_, sender)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(document, words, attached, files))
    for form in attached:
        kind, subtype = ATTACHED[form]
        message.add_attachment(files[form], maintype=kind, subtype=subtype, filename=f"{number}.{form}")
    digests = {f"{number}.{form}": sha256(files[form]).hexdigest() for form in attached}
    return Mail(sender, address, message.as_bytes(), digests)


def message_id(number: str, address: str, round_: int, sender: str) -> str:
    """Return what names the e-mail of a document to an address (RFC 5322, 3.6.4)."""
    own = sha256(f"{number}\n{address}\n{round_}".encode()).hexdigest()[:32]
    return f"<{own}@{sender.rpartition('@')[2]}>"


def _that_fit(files: Mapping[str, bytes], bytes_max: int) -> list[str]:
    fitting, size = [], 0
    for form in (form for form in ATTACHED if form in files):
        if size + len(files[form]) <= bytes_max:
            fitting.append(form)
            size += len(files[form])
    return fitting


def _text(
    document: Mapping[str, Any], words: Mapping[str, str], attached: list[str], files: Mapping[str, bytes]
) -> str:
    language = Language(document["buyer"]["language"])
    amount = money(Decimal(document["totals"]["payable"]), document["currency"], language)
    due = document["due"] and day(date.fromisoformat(document["due"]), language)
    kind = "credited" if document["document"] == "credit note" else "due" if due else "payable"
    alone = {} if "xml" in files else {"pdf": "pdf alone"}
    number = document["number"]
    called = {form: f"{number}.{form}, {words[alone.get(form, form)]}" for form in files}
    lines = [
        words["greeting"],
        "",
        words[f"{document['document']} of"].format(
            number=number, of_month=of_month(document["month"], language), contract=document["contract_name"]
        ),
        "",
        words[kind].format(amount=amount, due=due),
        "",
        *(words["attached"].format(called[form]) for form in attached),
        *(words["elsewhere"].format(called[form]) for form in files if form not in attached),
        "",
        document["seller"]["legal_name"],
        *document["seller"]["emails"][:1],
        "",
        words["end"],
    ]
    return "\n".join(lines) + "\n"


def _month(document: Mapping[str, Any]) -> str:
    return month(document["month"], Language(document["buyer"]["language"]))
