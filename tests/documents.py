"""Invoices made up for tests of their documents, and the official rules that these must pass."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import round_half_up, total
from services.documents.make import Issued, document, origins
from services.documents.model import Document, Preceding
from services.invoicing.settle import PostingKey
from services.invoicing.statement import Line, Statement
from tests.conftest import SMALL

MARCH = "2016-03"
ISSUED = date(2016, 4, 11)


def small() -> Contract:
    """Return the small contract."""
    found = load(SMALL)
    assert isinstance(found, Contract)
    return found


def line(
    quantity: str | Decimal,
    exact: str | Decimal,
    *,
    institution: str = "EP",
    department: str = "",
    pool: str = "",
    award: str = "2/BETA",
    item: str = "vm",
    month: str = MARCH,
    digits: int = 2,
) -> Line:
    """Make a line of a statement, its amount rounded as the books do."""
    key = PostingKey(institution, department, pool, award, item, month, "2016-01-01")
    return Line(key, Decimal(quantity), Decimal(exact), round_half_up(Decimal(exact), digits))


def issued(lines: Sequence[Line], institution: str = "EP", month: str = MARCH, **earlier: Preceding) -> Issued:
    """Make an invoice in the books, 100 beside it for others; `earlier` are those before, by month: `m2016_02=Preceding(...)`."""
    before = {name[1:].replace("_", "-"): each for name, each in earlier.items()}
    statement = Statement(institution, month, tuple(lines))
    others = total(each.total for each in before.values())
    return Issued("SMALL-2016-000007", ISSUED, statement, before, statement.total + others + 100, origins([statement]))


def made(
    lines: Sequence[Line], contract: Contract | None = None, institution: str = "EP", **earlier: Preceding
) -> Document:
    """Make the document of lines that nothing is lacking for."""
    contract = contract or small()
    found = document(contract, contract, issued(lines, institution, **earlier))
    assert isinstance(found, Document), "\n".join(map(str, found))
    return found


def renamed(contract: Contract, name: str) -> Contract:
    """Return the contract with one name for everything that an invoice names."""
    buyers = {
        code: replace(each, name=name, buyer=each.buyer and replace(each.buyer, party=replace(each.buyer.party, legal_name=name)))
        for code, each in contract.institutions.items()
    }  # fmt: skip
    items = {code: replace(each, name=name) for code, each in contract.items.items()}
    suppliers = {code: replace(each, name=name) for code, each in contract.suppliers.items()}
    return replace(contract, name=name, items=items, suppliers=suppliers, institutions=buyers)
