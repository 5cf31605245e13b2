"""Documents as FOCUS: the validators find nothing against them, and the rows add up to the invoices and to the pools."""

import csv
import io
import json
import re
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.money import multiply, total
from services.contract.parties import Tax, TaxCategory
from services.documents.files import FORMS, Names, Recorded, Result, Task, UnwritableError, export_invoice
from services.documents.focus import COLUMNS, focus_1_2, unit
from services.documents.focus_1_4 import COLUMNS as COLUMNS_1_4
from services.documents.focus_1_4 import billing_period, cost_and_usage, invoice_detail
from services.documents.make import Issued, document, origins
from services.documents.model import Document, DocumentKind, Preceding
from services.documents.month_files import MONTH_FILES, write_month
from services.invoicing.statement import Statement
from tests.core.test_contract_load import SAMPLE, loaded
from tests.core.test_ubl import HARD, SCRIPTS, discounted, taxed
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
        for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"):
            assert re.fullmatch(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\dZ", each[name]), name
        for name in (name for name in COLUMNS if name.endswith("Id") and each.get(name)):
            assert not re.fullmatch(r"[-+.\d]+", each[name]), f"{name} looks like a number"
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


def test_a_part_of_the_list_has_the_lists_price_beside_its_own(tmp_path: Path):
    document = made([line("100", "5.55"), line("10", "0.90", item="traffic"), line("0", "1")], discounted())
    text = focus_1_2(document)
    machines, traffic, lump, tax = rows(text)
    assert (machines["ContractedUnitPrice"], machines["ContractedCost"]) == ("0.0555", "5.55")
    assert (machines["ListUnitPrice"], machines["ListCost"]) == ("0.06", "6.0")
    assert machines["PricingCurrencyListUnitPrice"] == "0.06"
    assert (traffic["ListUnitPrice"], traffic["ListCost"]) == (
        traffic["ContractedUnitPrice"],
        traffic["ContractedCost"],
    )
    assert (lump["ListUnitPrice"], lump["ListCost"]) == ("", "1.0")
    assert (tax["BilledCost"], tax["ListCost"]) == ("1.56", "1.66"), "21 % of 7.45, and of 7.90 by the list"
    (tmp_path / "focus.csv").write_bytes(text)
    assert against_1_2(tmp_path / "focus.csv") == []


@pytest.mark.parametrize("sign", [1, -1])
def test_what_can_be_paid_in_yen_is_what_the_rows_add_up_to(sign: int, tmp_path: Path):
    document = made([line(str(3 * sign), str(318 * sign), digits=0)], replace(small(), currency="JPY"))
    assert (document.totals.gross, document.totals.payable) == (D("384.78"), 385)
    text = focus_1_2(document)
    adds_up(document, rows(text))
    adds_up(document, rows(cost_and_usage(document)))
    rounding = rows(text)[-1]
    assert (rounding["ChargeCategory"], D(rounding["BilledCost"])) == ("Adjustment", sign * D("0.22"))
    details = rows(invoice_detail(document))
    assert total(D(each["BilledCost"]) for each in details) == 385 * sign
    assert [each["InvoiceDetailId"] for each in details] == [
        each["InvoiceDetailId"] for each in rows(cost_and_usage(document))
    ]
    (tmp_path / "focus.csv").write_bytes(text)
    assert against_1_2(tmp_path / "focus.csv") == []
    folder = tmp_path / "focus-1.4"
    folder.mkdir()
    (folder / "cost-and-usage.csv").write_bytes(cost_and_usage(document))
    (folder / "invoice-detail.csv").write_bytes(invoice_detail(document))
    (folder / "billing-period.csv").write_bytes(billing_period(MARCH, document.zone, "Coordinating body", ISSUED))
    assert against_1_4(folder) == []


def test_a_share_says_what_all_members_are_charged_also_where_some_are_left_out():
    contract = small()
    found = document(contract, contract, issued(SHARED[1], 2))
    assert isinstance(found, Document)
    shares = [each for each in rows(cost_and_usage(found)) if each["x_SplitOriginId"]]
    whole = total(each.amount for statement in SHARED for each in statement.lines if each.key.pool)
    assert {D(each["x_SplitOriginCost"]) for each in shares} == {whole}
    assert total(D(each["BilledCost"]) for each in shares) < whole


def issued(statement: Statement, number: int) -> Issued:
    return Issued(f"SMALL-2016-{number:06}", ISSUED, statement, {}, D(100), origins(SHARED))


def test_a_month_is_valid_focus_1_4_and_the_parts_of_a_pool_add_up_to_it(tmp_path: Path):
    contract = small()
    results: list[Result] = []
    for number, statement in enumerate(SHARED, start=1):
        task = Task(issued(statement, number), (1,), {})
        results.append(export_invoice(Names(contract, {1: contract}), task, tmp_path))
    whole = write_month(tmp_path, (MARCH, contract.zone), "Coordinating body", ISSUED, results, {})
    assert whole.made == {name: sha256((tmp_path / name).read_bytes()).digest() for name in MONTH_FILES}
    assert whole.number == "month/2"
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


def test_files_of_a_month_that_differ_from_what_was_exported_first_are_not_written(tmp_path: Path):
    contract = small()
    result = export_invoice(Names(contract, {1: contract}), Task(issued(SHARED[0], 1), (1,), {}), tmp_path)
    bounds = (MARCH, contract.zone)
    first = write_month(tmp_path, bounds, "Coordinating body", ISSUED, [result], {})
    recorded = {name: Recorded(digest, 1, datetime(2016, 4, 12, tzinfo=UTC)) for name, digest in first.made.items()}
    assert write_month(tmp_path, bounds, "Coordinating body", ISSUED, [result], recorded) == first
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = write_month(tmp_path, bounds, "Somebody else", ISSUED, [result], recorded)
    assert other.made == {}
    (problem,) = other.problems
    assert problem.startswith("focus-1.4/billing-period.csv: found other bytes")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_file_of_the_month_that_can_not_be_written_is_named(tmp_path: Path):
    contract = small()
    result = export_invoice(Names(contract, {1: contract}), Task(issued(SHARED[0], 1), (1,), {}), tmp_path)
    (tmp_path / "focus-1.4").write_text("a file")
    with pytest.raises(UnwritableError, match=r"focus-1.4/cost-and-usage.csv: can't be written: File exists"):
        write_month(tmp_path, (MARCH, contract.zone), "Coordinating body", ISSUED, [result], {})


shares = st.decimals(-(10**6), 10**6, places=2)


@given(st.lists(shares, min_size=2, max_size=3))
def test_parts_of_any_sign_add_up_to_what_is_split(amounts: list[Decimal]):
    members = [("EP", ""), ("EC", "DIGIT"), ("EC", "AGRI")]
    statements = [
        Statement(who, MARCH, (line(each, each, institution=who, department=department, pool="mail"),))
        for (who, department), each in zip(members, amounts, strict=False)
    ]
    contract, shared = small(), origins(statements)
    parts: dict[str, Decimal] = defaultdict(lambda: D(0))
    costs: dict[str, str] = {}
    for number, each in enumerate(statements, start=1):
        found = document(contract, contract, Issued(f"SMALL-2016-{number:06}", ISSUED, each, {}, D(100), shared))
        assert isinstance(found, Document)
        for row in rows(cost_and_usage(found)):
            if row["AllocatedMethodId"]:
                parts[row["x_SplitOriginId"]] += D(row["BilledCost"])
                costs[row["x_SplitOriginId"]] = row["x_SplitOriginCost"]
                assert bool(row["x_SplitOriginId"]) == bool(row["AllocatedMethodDetails"])
    is_split = any(amounts) and (min(amounts) >= 0 or max(amounts) <= 0)
    assert list(costs) == [f"small/{MARCH}/mail/2/BETA/vm/2016-01-01" if is_split else ""], "of all parts or of none"
    assert not is_split or {origin: D(cost) for origin, cost in costs.items()} == parts


def test_a_split_of_mixed_signs_is_valid_focus_1_4(tmp_path: Path):
    contract = small()
    statements = [
        Statement("EP", MARCH, (line("-2", "-2", pool="mail"),)),
        Statement("EC", MARCH, (line("2", "2", pool="mail", institution="EC", department="DIGIT"),)),
    ]
    shared = origins(statements)
    results = [
        export_invoice(Names(contract, {1: contract}), Task(replace(issued(each, number), origins=shared), (1,), {}), tmp_path)
        for number, each in enumerate(statements, start=1)
    ]  # fmt: skip
    write_month(tmp_path, (MARCH, contract.zone), "Coordinating body", ISSUED, results, {})
    assert against_1_4(tmp_path / "focus-1.4") == []


@pytest.mark.parametrize("name", ["\u201cA\u201d", "\uff3c", "\uff02", "\ue000", SCRIPTS])
def test_a_name_that_is_romanised_leaves_no_field_broken_or_empty(name: str):
    contract = renamed(small(), name)
    buyer = contract.institutions["EC"].buyer
    assert buyer is not None
    buyer = replace(buyer, accounting_costs={"DIGIT": name})
    institutions = contract.institutions | {"EC": replace(contract.institutions["EC"], buyer=buyer)}
    lines = [line("10", "0.6", institution="EC", department="DIGIT", pool="mail")]
    text = focus_1_2(made(lines, replace(contract, institutions=institutions), institution="EC"))
    assert text.isascii()
    found = rows(text)
    assert json.loads(found[0]["Tags"])["AccountingCost"] == name
    for column in ("BillingAccountName", "ProviderName", "ServiceName", "SkuMeter", "InvoiceIssuerName"):
        assert all(each[column] or each["ChargeCategory"] == "Tax" for each in found), column


def test_every_form_is_the_same_bytes_each_time():
    contract = small()
    one, other = (document(contract, contract, issued(SHARED[0], 1)) for _ in range(2))
    assert isinstance(one, Document)
    assert isinstance(other, Document)
    assert {form: write(one) for form, write in FORMS.items()} == {form: write(other) for form, write in FORMS.items()}
