"""Reading a supplier's file, by what it holds: XML is an e-invoice, all else CSV."""

from pathlib import Path

from services.reconciliation.electronic import SIZE_MAX, read_xml
from services.reconciliation.mapping import Names, read_names
from services.reconciliation.model import InvoiceError, SupplierDocument
from services.reconciliation.table import read_csv


def contents(path: Path) -> bytes:
    """Return a file's bytes, of which it has at most `SIZE_MAX`."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX + 1)
    except OSError as error:
        raise InvoiceError(f"{path}: can't be read: {error.strerror}") from None
    if len(data) > SIZE_MAX:
        raise InvoiceError(f"{path}: found more than {SIZE_MAX} bytes; wanted at most so many")
    return data


def read(data: bytes, file: str, names: Names) -> list[SupplierDocument]:
    """Read the invoices in a file."""
    if not data.strip():
        raise InvoiceError(f"{file}: it is empty; wanted an invoice as XML (UBL or CII) or CSV")
    if data.startswith(b"%PDF"):
        raise InvoiceError(f"{file}: found a PDF; wanted the XML that may be attached to it, or CSV")
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return [read_xml(data, file)]
    return read_csv(data, file, names)


def names_in(path: Path | None) -> Names:
    """Read a mapping file, if there is one."""
    if path is None:
        return Names()
    try:
        return read_names(contents(path).decode(), str(path))
    except UnicodeDecodeError as error:
        raise InvoiceError(f"{path}: byte {error.start} is no UTF-8; wanted a file in UTF-8") from None
