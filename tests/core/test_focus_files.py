"""Documents as FOCUS: the validators find nothing against them, and the rows add up to the invoices and to the pools."""

import csv
import io
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.money import multiply, total
from services.contract.parties import Tax, TaxCategory
from services.documents.files import FORMS, Names, Result, Task, export_invoice
from services.documents.focus import COLUMNS, focus_1_2, unit
from services.documents.focus_1_4 import COLUMNS as COLUMNS_1_4
from services.documents.focus_1_4 import cost_and_usage, invoice_detail
from services.documents.make import Issued, document, origins
from services.documents.model import Document, DocumentKind, Preceding
from services.documents.month_files import write_month
from services.invoicing.statement import Statement
from tests.core.test_contract_load import SAMPLE, loaded
from tests.core.test_ubl import HARD, SCRIPTS, taxed
from tests.documents import ISSUED, MARCH, line, made, renamed, small
from tests.focus import against_1_2, against_1_4

D = Decimal
SAMPLE_ITEMS = ("vm.small", "vcpu.hour", "memory.gib-hour", "storage.block", "network.egress", "paas.queue")
BEFORE = Preceding("SMALL-2016-000001", date(2016, 3, 11), D("12.30"))
SHARED = [
    Statement("EP", MARCH, (line("150", "8.50"), line("6", "3.335", pool="mail"), line("-3", "-0.18", month="2016-02"),
                            line("0", "-1.5"))),
    Statement("EC", MARCH, (line("3", "1.667", pool="mail", institution="EC", department="DIGIT"),
                            line("7", "1.115", pool="mail", institution="EC", department="AGRI"))),
]  # fmt: skip


def rows(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def adds_up(document: Document, found: list[dict[str, str]]) -> None:
    billed = total(D(each["BilledCost"]) for each in found)
    assert billed == (document.totals.payable if document.kind is DocumentKind.INVOICE else -document.totals.payable)
    for each in found:
        if each["ContractedUnitPrice"]:
            assert multiply(D(each["ContractedUnitPrice"]), D(each["PricingQuantity"])) == D(each["ContractedCost"])
        assert all(each[name].endswith("Z") for name in ("BillingPeriodStart", "ChargePeriodEnd"))
        assert each["ChargeCategory"] in {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
        assert (each["ChargeClass"] == "Correction") == (each["x_UsageMonth"] not in {MARCH, ""})


def test_hard_months_are_valid_focus_1_2(tmp_path: Path):
    documents = [made(lines, m2016_02=BEFORE) for lines in HARD.values()]
    documents += [
        made([line("10", "0.6", institution="EC", department="DIGIT", pool="mail")], institution="EC"),
        made([line("150", "8.505", award="2/CTA", item=each) for each in SAMPLE_ITEMS], loaded(SAMPLE)),
        made([line("150", "8.50")], taxed(Tax(TaxCategory.STANDARD, D("21")))),
        made([line("150", "8.50")], renamed(small(), (SCRIPTS * 10)[:500])),
    ]
    whole = tmp_path / "focus.csv"
    texts = [focus_1_2(each) for each in documents]
    whole.write_bytes(texts[0] + b"".join(each.partition(b"\r\n")[2] for each in texts[1:]))
    assert whole.read_bytes().isascii()
    assert against_1_2(whole) == []
    broken = tmp_path / "broken.csv"
    broken.write_bytes(whole.read_bytes().replace(b",EUR,", b",EURO,"))
    assert against_1_2(broken), "what is wrong would be found"


@pytest.mark.parametrize("name", HARD)
def test_every_row_is_as_the_specification_wants_it(name: str):
    document = made(HARD[name], m2016_02=BEFORE)
    found = rows(focus_1_2(document))
    assert tuple(found[0])[: len(COLUMNS)] == COLUMNS
    assert len(COLUMNS) == 57
    adds_up(document, found)
    assert (
        {each["ProviderName"] for each in found} == {each["InvoiceIssuerName"] for each in found} == {"Beta consortium"}
    )


amounts = st.decimals(-(10**9), 10**9, places=6)


@given(st.lists(st.tuples(amounts, amounts, st.sampled_from(["", "mail"])), min_size=1, max_size=8))
def test_rows_add_up_to_the_invoice(lines: list[tuple[Decimal, Decimal, str]]):
    document = made([line(quantity, exact, pool=pool) for quantity, exact, pool in lines])
    adds_up(document, rows(focus_1_2(document)))
    adds_up(document, rows(cost_and_usage(document)))
    details = rows(invoice_detail(document))
    assert total(D(each["BilledCost"]) for each in details) == total(
        D(each["BilledCost"]) for each in rows(cost_and_usage(document))
    )
    assert len({each["InvoiceDetailId"] for each in details}) == len(details)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("hour", "Hours"), ("vCPU-hour", "vCPU-Hours"), ("GiB-month", "GiB-Months"), ("GiB", "GiB"),
        ("million messages", "1000000 messages"), ("EUR", "EUR"), ("% of 1/2", "Units"), ("", "Units"),
    ],
)  # fmt: skip
def test_units_are_written_as_the_specification_wants_them(ours: str, theirs: str):
    assert unit(ours) == theirs


def issued(statement: Statement, number: int) -> Issued:
    return Issued(f"SMALL-2016-{number:06}", ISSUED, statement, {}, D(100), origins(SHARED))


def test_a_month_is_valid_focus_1_4_and_the_parts_of_a_pool_add_up_to_it(tmp_path: Path):
    contract = small()
    results: list[Result] = []
    for number, statement in enumerate(SHARED, start=1):
        task = Task(issued(statement, number), (1,), {})
        results.append(export_invoice(Names(contract, {1: contract}), task, tmp_path))
    assert write_month(tmp_path, MARCH, contract.zone, "Coordinating body", ISSUED, results) == 4
    assert against_1_4(tmp_path / "focus-1.4") == []
    singles = [rows((tmp_path / each.institution / f"{each.number}.focus-1.2.csv").read_bytes()) for each in results]
    assert rows((tmp_path / "focus-1.2.csv").read_bytes()) == singles[0] + singles[1]
    found = rows((tmp_path / "focus-1.4" / "cost-and-usage.csv").read_bytes())
    assert len(COLUMNS_1_4) == 65
    assert len(found) == len(rows((tmp_path / "focus-1.2.csv").read_bytes()))
    parts: dict[str, list[dict[str, str]]] = defaultdict(list)
    for each in found:
        parts[each["x_SplitOriginId"]].append(each)
    shared = parts.pop(f"small/{MARCH}/mail/2/BETA/vm/2016-01-01")
    assert {each["AllocatedResourceId"] for each in shared} == {"EP", "EC/AGRI", "EC/DIGIT"}
    assert {D(each["x_SplitOriginCost"]) for each in shared} == {total(D(each["BilledCost"]) for each in shared)}
    assert set(parts) == {""}, "nothing else is shared"


def test_a_month_without_any_document_has_no_files(tmp_path: Path):
    left_out = Result("SMALL-2016-000001", "EP", 1, {}, ("no address",))
    assert write_month(tmp_path, MARCH, small().zone, "Coordinating body", ISSUED, [left_out]) == 0
    assert list(tmp_path.iterdir()) == []


def test_every_form_is_the_same_bytes_each_time():
    contract = small()
    one, other = (document(contract, contract, issued(SHARED[0], 1)) for _ in range(2))
    assert isinstance(one, Document)
    assert isinstance(other, Document)
    assert {form: write(one) for form, write in FORMS.items()} == {form: write(other) for form, write in FORMS.items()}
