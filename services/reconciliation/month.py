"""The month that documents invoice, as they say it themselves.

Law: nothing is guessed: documents without a period, of several months, or of different ones need someone to say it.
"""

from collections.abc import Sequence

from services.reconciliation.model import InvoiceError, SupplierDocument


def month_said(documents: Sequence[SupplierDocument]) -> str:
    """Return the one month of all documents: that of their period (BG-14), else that of their lines' periods."""
    first, *others = documents
    month = _month_of(first)
    for each in others:
        if (other := _month_of(each)) != month:
            raise InvoiceError(f"{each.file}: {each.number} is for {other} and {first.number} for {month}; wanted "
                               "documents of one month at a time, or --month with the one they are for")  # fmt: skip
    return month


def _month_of(document: SupplierDocument) -> str:
    months = document.months
    if len(months) == 1:
        return months[0]
    said = f"is for {months[0]} to {months[-1]}" if months else "tells no month, neither as a whole nor by its lines"
    raise InvoiceError(f"{document.file}: {document.number} {said}; wanted --month with the one it is for, "
                       "like --month 2016-03")  # fmt: skip
