"""Reading a supplier's e-invoice: UBL 2.1 or CII, an invoice or a credit note.

Law: whatever bytes come, the answer is a document or an InvoiceError that names the place. No entity is resolved,
nothing is fetched, no document type is taken, and a file has at most `SIZE_MAX` bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lxml import etree

from services.contract.money import (
    ONE,
    PRICE_DIGITS,
    add,
    multiply,
    opposite,
    plain,
    quotient,
    round_half_up,
    subtract,
    total,
)
from services.contract.problems import show
from services.reconciliation import written
from services.reconciliation.model import InvoiceError, SupplierDocument, SupplierLine
from services.reconciliation.paths import FORMS, NAMESPACES, Path, Paths

SIZE_MAX = 50 * 1024 * 1024
LINES_MAX = 200_000
CREDIT_NOTES = frozenset({"81", "83", "261", "381", "396", "532"})
"""Kinds (UNTDID 1001) whose amounts are what is given back."""
_SLACK = Decimal("0.02")
"""By how much a line may differ from quantity x price, as EN 16931's rules have it."""
_AWARD, _MONTH, _METERED, _UNIT = {"award", "lot"}, {"month of use", "usage month"}, "metered quantity", "unit"
_WHOSE = {"institution", "department", "customer", "cost centre"}


@dataclass(frozen=True, slots=True)
class _Reader:
    """An element tree, its file's name and where what is looked for stands in it."""

    file: str
    root: Any
    paths: Paths

    def place(self, element: Any) -> str:
        return f"{self.file}: line {element.sourceline}"

    def all(self, element: Any, path: Path) -> list[Any]:
        return [found for each in path for found in element.findall(each, NAMESPACES)]

    def texts(self, element: Any, path: Path) -> list[str]:
        return [text for each in self.all(element, path) if (text := written.text_of(each.text))]

    def text(self, element: Any, path: Path) -> str:
        return next(iter(self.texts(element, path)), "")

    def needed(self, element: Any, path: Path) -> str:
        found = self.text(element, path)
        if not found:
            raise InvoiceError(f"{self.place(element)}: nothing at {path[0]}; wanted what every e-invoice has there")
        return found

    def number(self, element: Any, path: Path) -> Decimal | None:
        for found in self.all(element, path):
            return written.number((found.text or "").strip(), self.place(found))
        return None

    def months(self, element: Any, starts: Path, ends: Path) -> tuple[str, ...]:
        """Return the months that a period reaches from and to."""
        days = [
            written.day(found[0].text or "", self.place(found[0])) if (found := self.all(element, path)) else None
            for path in (starts, ends)
        ]
        return written.months_between(*days)


def read_xml(data: bytes, file: str) -> SupplierDocument:
    """Read an e-invoice."""
    root = _parse(data, file)
    paths = FORMS.get(root.tag)
    if paths is None:
        raise InvoiceError(f"{file}: line {root.sourceline}: found {show(root.tag)}; wanted an Invoice or CreditNote "
                           "of UBL 2.1, or a CrossIndustryInvoice of CII")  # fmt: skip
    reader = _Reader(file, root, paths)
    is_credit = root.tag.endswith("}CreditNote") or reader.text(root, paths.kind) in CREDIT_NOTES
    elements = reader.all(root, paths.lines)
    if len(elements) > LINES_MAX:
        raise InvoiceError(f"{file}: found {len(elements)} lines; wanted at most {LINES_MAX}")
    issued, months = reader.all(root, paths.issued), reader.months(root, paths.starts, paths.ends)
    lines = (*(_line(reader, each) for each in elements), *_on_document(reader))
    if not lines:
        raise InvoiceError(f"{file}: no lines; wanted at least one")
    return SupplierDocument(
        file=file,
        number=reader.needed(root, paths.number),
        is_credit=is_credit,
        currency=reader.needed(root, paths.currency),
        lines=tuple(map(turned, lines)) if is_credit else lines,
        issued=written.day((issued[0].text or "").strip(), reader.place(issued[0])) if issued else None,
        month=months[0] if len(months) == 1 else "",
        months=months or tuple(sorted({month for each in elements for month in _used(reader, each)})),
        sellers=tuple(reader.texts(root, paths.sellers)),
        vat_ids=tuple(each for each in reader.texts(root, paths.tax_ids) if each[:2].isalpha()),
        buyers=tuple(reader.texts(root, paths.buyers)),
        references=tuple(reader.texts(root, paths.references)),
        problems=tuple(_problems(reader, elements, lines)),
    )


def _parse(data: bytes, file: str) -> Any:
    if len(data) > SIZE_MAX:
        raise InvoiceError(f"{file}: found {len(data)} bytes; wanted at most {SIZE_MAX}")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
                             remove_comments=True, remove_pis=True)  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        place = f"line {error.lineno or 1}"
        raise InvoiceError(f"{file}: {place}: it is no well-formed XML: {error.msg}") from None
    if root.getroottree().docinfo.doctype:
        raise InvoiceError(f"{file}: found a document type declaration; wanted none, as an e-invoice has none")
    return root


def _line(reader: _Reader, element: Any) -> SupplierLine:
    paths = reader.paths.line
    properties = _properties(reader, element)
    quantity, unit = _quantity(reader, element, properties)
    net = reader.number(element, paths.net)
    if net is None:
        raise InvoiceError(f"{reader.place(element)}: no net amount (BT-131); wanted one on every line")
    used = _used(reader, element)
    departments = [value for name, value in properties.items() if name in _WHOSE]
    return SupplierLine(
        place=f"line {reader.text(element, paths.number) or element.sourceline}",
        name=reader.text(element, paths.name),
        net=net,
        codes=tuple(reader.texts(element, paths.codes)),
        quantity=quantity,
        unit=unit,
        month=used[0] if len(used) == 1 else "",
        award=next((properties[each] for each in properties if each in _AWARD), ""),
        whose=(*departments, *reader.texts(element, paths.whose)),
    )


def _used(reader: _Reader, element: Any) -> tuple[str, ...]:
    """Return the months that a line's usage lies in: an attribute's, else those of its period."""
    properties = _properties(reader, element)
    if used := next((properties[each] for each in properties if each in _MONTH), ""):
        return (written.month(used, reader.place(element)),)
    return reader.months(element, reader.paths.line.starts, reader.paths.line.ends)


def _properties(reader: _Reader, element: Any) -> dict[str, str]:
    paths = reader.paths.line
    return {
        reader.text(each, paths.property_name).casefold(): reader.text(each, paths.property_value)
        for each in reader.all(element, paths.properties)
    }


def _quantity(reader: _Reader, element: Any, properties: dict[str, str]) -> tuple[Decimal | None, str]:
    """Return the quantity and its unit: what was metered, where a line says that beside what it invoices."""
    if _METERED in properties and _UNIT in properties:
        return written.number(properties[_METERED], reader.place(element)), properties[_UNIT]
    found = reader.all(element, reader.paths.line.quantity)
    if not found:
        return None, ""
    return written.number((found[0].text or "").strip(), reader.place(found[0])), written.text_of(
        found[0].get("unitCode")
    )


def _on_document(reader: _Reader) -> Iterator[SupplierLine]:
    """Yield the discounts and charges on the whole document (BG-20, BG-21)."""
    for number, each in enumerate(reader.all(reader.root, reader.paths.allowances), start=1):
        reason = reader.text(each, reader.paths.reason)
        yield SupplierLine(f"document's {number}", reason, _allowance(reader, each), is_whole=True)


def _allowance(reader: _Reader, element: Any) -> Decimal:
    """Return the amount of a charge, or of an allowance with its minus."""
    amount = reader.number(element, reader.paths.allowance)
    if amount is None:
        raise InvoiceError(f"{reader.place(element)}: a discount or charge without an amount; wanted one")
    return amount if reader.text(element, reader.paths.is_charge) in {"true", "1"} else opposite(amount)


def _problems(reader: _Reader, elements: list[Any], lines: tuple[SupplierLine, ...]) -> Iterator[str]:
    """Yield what does not add up in the document itself: a line with its price, the lines with the document's net."""
    for element, line in zip(elements, lines, strict=False):
        made = _made_of(reader, element)
        if made is not None and abs(subtract(line.net, made)) > _SLACK:
            shown = plain(round_half_up(made, 2))
            yield f"{reader.place(element)}: quantity x price comes to {shown}, its net amount is {plain(line.net)}"
    stated, summed = reader.number(reader.root, reader.paths.net), total(line.net for line in lines)
    if stated is not None and stated != summed:
        yield f"{reader.file}: its lines come to {plain(summed)}, its net total is {plain(stated)}"


def _made_of(reader: _Reader, element: Any) -> Decimal | None:
    """Return what a line's quantity, price, discounts and charges come to; None where it has no quantity or price."""
    paths = reader.paths.line
    quantity, price = reader.number(element, paths.quantity), reader.number(element, paths.price)
    base = reader.number(element, paths.base) or ONE
    if quantity is None or price is None:
        return None
    around = total(_allowance(reader, each) for each in reader.all(element, paths.allowances))
    return add(round_half_up(quotient(multiply(quantity, price), base), PRICE_DIGITS), around)


def turned(line: SupplierLine) -> SupplierLine:
    """Return a credit note's line with an invoice's signs."""
    return SupplierLine(
        line.place, line.name, opposite(line.net), line.codes,
        opposite(line.quantity) if line.quantity is not None else None,
        line.unit, line.month, line.award, line.whose, line.is_whole,
    )  # fmt: skip
