"""The files of one invoice: made, compared with what was exported before, and written.

Law: a file is written whole or not at all, and only where it is what was exported the first time, to the byte.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path

from services.contract.model import Contract
from services.documents.data import as_csv, as_json
from services.documents.focus import focus_1_2
from services.documents.focus_1_4 import cost_and_usage, invoice_detail
from services.documents.make import Issued, document
from services.documents.model import Document, has_e_invoices
from services.documents.pdf import as_pdf
from services.documents.sheet import as_xlsx
from services.documents.ubl import ubl

FOCUS_1_2 = "focus-1.2.csv"
COST_AND_USAGE, INVOICE_DETAIL = "focus-1.4-cost-and-usage.csv", "focus-1.4-invoice-detail.csv"
FORMS: Mapping[str, Callable[[Document], bytes]] = {
    "xml": ubl,
    "pdf": as_pdf,
    "csv": as_csv,
    "xlsx": as_xlsx,
    "json": as_json,
    FOCUS_1_2: focus_1_2,
    COST_AND_USAGE: cost_and_usage,
    INVOICE_DETAIL: invoice_detail,
}
"""How a document is written, by the ending of the file's name."""
E_INVOICE = "xml"
PRO_FORMA_FORMS = {form: FORMS[form] for form in ("pdf", "csv", "xlsx", "json")}
"""How one is written that was not issued: never as what programs would book."""


def forms_in(currency: str) -> list[str]:
    """Return the forms that an issued document has in a currency: not all can stand on an e-invoice."""
    return [form for form in FORMS if form != E_INVOICE or has_e_invoices(currency)]


class UnwritableError(Exception):
    """A file can't be written; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was exported first: its SHA-256, when, and the contract version that said who is who."""

    sha256: bytes
    version: int
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Names:
    """The contract that a month was closed under, and by version those that may say who is who."""

    closed: Contract
    parties: Mapping[int, Contract]


@dataclass(frozen=True, slots=True)
class Task:
    """An invoice to export; `versions` are tried in turn for who is who, until nothing is lacking."""

    issued: Issued
    versions: tuple[int, ...]
    recorded: Mapping[str, Recorded]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an invoice: the SHA-256 of its files by form, or why there are none.

    `is_unwritable` says that nothing is wrong with it, and a file can't be written.
    """

    number: str
    institution: str
    version: int
    made: Mapping[str, bytes]
    problems: tuple[str, ...] = ()
    is_unwritable: bool = False


def export_invoice(names: Names, task: Task, out: Path) -> Result:
    """Write an invoice's files into its institution's folder."""
    number, institution = task.issued.number, task.issued.statement.institution
    name = number or f"pro-forma-{task.issued.statement.month}"
    problems: list[str] = []
    for version in task.versions:
        made = document(names.closed, names.parties[version], task.issued)
        if isinstance(made, Document):
            forms = forms_in(made.currency) if number else PRO_FORMA_FORMS
            texts = {form: FORMS[form](made) for form in forms}
            found, others = compare(number, texts, task.recorded)
            if others:
                return Result(number, institution, version, {}, tuple(others))
            try:
                for form, text in texts.items():
                    write_whole(out / institution / f"{name}.{form}", text)
            except UnwritableError as error:
                return Result(number, institution, version, {}, (str(error),), is_unwritable=True)
            return Result(number, institution, version, found)
        problems = [str(each) for each in made]
    return Result(number, institution, task.versions[-1], {}, tuple(problems))


def lying_there(task: Task, currency: str, out: Path) -> Result | None:
    """Return what became of an invoice whose files all lie in a folder as they were exported first; None where not."""
    number, institution = task.issued.number, task.issued.statement.institution
    forms = forms_in(currency)
    if not number or not task.recorded.keys() >= set(forms):
        return None
    found = {form: task.recorded[form].sha256 for form in forms}
    if any(digest != digest_of(out / institution / f"{number}.{form}") for form, digest in found.items()):
        return None
    return Result(number, institution, task.versions[0], found)


def digest_of(path: Path) -> bytes | None:
    """Return a file's SHA-256; None where there is no such file, or none that can be read."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").digest()
    except OSError:
        return None


def compare(
    name: str, texts: Mapping[str, bytes], recorded: Mapping[str, Recorded]
) -> tuple[dict[str, bytes], list[str]]:
    """Return the SHA-256 of files by form, and what is said of those that are not as they were exported first."""
    found = {form: sha256(text).digest() for form, text in texts.items()}
    return found, differing(found, recorded, f"{name}.")


def differing(found: Mapping[str, bytes], recorded: Mapping[str, Recorded], place: str) -> list[str]:
    """Return what is said of files that are not as they were exported first; a file's name is `place` and its form."""
    return [
        f"{place}{form}: found other bytes (SHA-256 {found[form].hex()}); wanted those that were exported on "
        f"{first.made_at.date()} (SHA-256 {first.sha256.hex()})"
        for form, first in recorded.items()
        if form in found and found[form] != first.sha256
    ]


def write_whole(path: Path, text: bytes) -> None:
    """Write a file so that nobody ever sees a part of it; raises UnwritableError where it can't be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text)
        part.replace(path)
    except OSError as error:
        raise UnwritableError(f"{path}: can't be written: {error.strerror or error}") from error
