"""A PDF/A-3 that says of itself that it is a Factur-X invoice: the metadata that readers look for.

Typst embeds the file and writes the metadata of PDF/A; what Factur-X 1.0 adds (section 6.1: four properties, and the
extension schema that PDF/A wants for them) is appended as a later state of that one object, an incremental update (ISO
32000-1, 7.5.6). Law: all bytes of the PDF stay as they are, and the same PDF gives the same bytes.
"""

import re

_SCHEMA = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_PROPERTIES = {
    "DocumentFileName": ("factur-x.xml", "name of the embedded XML invoice file"),
    "DocumentType": ("INVOICE", "type of the document: an invoice or a credit note"),
    "Version": ("1.0", "version of the XML schema of the embedded invoice"),
    "ConformanceLevel": ("EN 16931", "profile of the embedded invoice"),
}
_SCHEMAS = "<pdfaExtension:schemas><rdf:Bag>"
_METADATA = re.compile(rb"/Metadata (\d+) 0 R")
_TRAILER = re.compile(rb"\ntrailer\n<<(/Size .*)>>\nstartxref\n(\d+)\n%%EOF\s*\Z", re.DOTALL)


def with_factur_x(pdf: bytes) -> bytes:
    """Add Factur-X's metadata to a PDF/A-3 of Typst's that has the e-invoice embedded."""
    trailer = _TRAILER.search(pdf)
    assert trailer, "Typst ends a PDF with a trailer"
    keys, previous = trailer.groups()
    (number,) = set(_METADATA.findall(pdf))
    (told,) = re.findall(rb"\n%s 0 obj\n<<.*?>>\nstream\n(.*?)\nendstream" % number, pdf, re.DOTALL)
    metadata = _extended(told.decode()).encode()
    head = b"\n%b 0 obj\n<</Type/Metadata/Subtype/XML/Length %d>>\nstream\n" % (number, len(metadata))
    update = pdf + head + metadata + b"\nendstream\nendobj\n"
    table = b"xref\n%b 1\n%010d 00000 n\r\n" % (number, len(pdf) + 1)
    last = b"trailer\n<<%s/Prev %s>>\nstartxref\n%d\n%%%%EOF\n" % (keys, previous, len(update))
    return update + table + last


def _extended(told: str) -> str:
    """Return the metadata with Factur-X's properties, and the schema of these among those that they describe."""
    assert told.count(_SCHEMAS) == 1, "PDF/A's metadata describe their own extension schemas"
    told = told.replace(_SCHEMAS, _SCHEMAS + _described())
    return told.replace("</rdf:RDF>", f"{_said()}</rdf:RDF>")


def _said() -> str:
    properties = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (value, _) in _PROPERTIES.items())
    return f'<rdf:Description rdf:about="" xmlns:fx="{_SCHEMA}">{properties}</rdf:Description>'


def _described() -> str:
    """Describe the schema as PDF/A wants it of all that it does not know itself (ISO 19005-3, 6.6.2.3)."""
    properties = "".join(
        '<rdf:li rdf:parseType="Resource"><pdfaProperty:category>external</pdfaProperty:category>'
        f"<pdfaProperty:description>{described}</pdfaProperty:description><pdfaProperty:name>{name}</pdfaProperty:name>"
        "<pdfaProperty:valueType>Text</pdfaProperty:valueType></rdf:li>"
        for name, (_, described) in _PROPERTIES.items()
    )
    return (
        '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
        f"<pdfaSchema:namespaceURI>{_SCHEMA}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{properties}</rdf:Seq></pdfaSchema:property></rdf:li>"
    )
