"""Making a document of an invoice: what was closed, and who is who.

Law: a document says what the books say. It adds names and references from the contract, the sign that a credit note
turns, and a unit price; no amount is reckoned anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from services.contract.model import AllocationKey, Contract
from services.contract.money import add, opposite, plain, total
from services.contract.months import first_day, month_of, next_month
from services.contract.problems import Problem
from services.documents.lacking import lacking
from services.documents.model import Document, DocumentKind, DocumentLine, LimitKind, PoolShare, Preceding, Spent
from services.documents.quote import quote
from services.documents.units import PIECE, unit_code
from services.invoicing.kinds import kind_of
from services.invoicing.settle import PostingKey
from services.invoicing.statement import Line, Statement

LINES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Issued:
    """An invoice in the books: its number, day and statement, and the earlier ones of the institution, by month.

    `invoiced` is what all institutions were invoiced up to its month.
    """

    number: str
    day: date
    statement: Statement
    earlier: Mapping[str, Preceding]
    invoiced: Decimal


def document(contract: Contract, parties: Contract, issued: Issued) -> Document | list[Problem]:
    """Make the document of an invoice, or tell all that it lacks.

    `contract` is the one that its month was closed under; `parties` says who is who, and may be a later version.
    """
    statement = issued.statement
    starts = first_day(statement.month)
    ends = first_day(next_month(statement.month)) - timedelta(days=1)
    problems = lacking(parties, statement.institution, starts, ends)
    if not 1 <= len(statement.lines) <= LINES_MAX:
        wanted = f"from 1 to {LINES_MAX}, which is what a spreadsheet holds"
        problems.append(Problem(f"invoice {issued.number}", f"{len(statement.lines)} lines", wanted))
    if problems:
        return problems
    seller, buyer = parties.coordinator, parties.institutions[statement.institution].buyer
    assert seller is not None, "nothing is lacking"
    assert buyer is not None, "nothing is lacking"
    assert buyer.tax is not None, "nothing is lacking"
    kind = DocumentKind.CREDIT_NOTE if statement.total < 0 else DocumentKind.INVOICE
    describe = partial(_line, contract, statement.month, buyer.accounting_costs, _turned(kind), {})
    months = sorted({line.key.month for line in statement.lines} & issued.earlier.keys())
    return Document(
        number=issued.number,
        kind=kind,
        contract=contract.code,
        contract_name=contract.name,
        institution=statement.institution,
        month=statement.month,
        period_starts=starts,
        period_ends=ends,
        issued=issued.day,
        due=issued.day + timedelta(days=seller.payment_days)
        if issued.number and kind is DocumentKind.INVOICE
        else None,
        currency=contract.currency,
        seller=seller,
        buyer=buyer,
        tax=buyer.tax,
        preceding=tuple(issued.earlier[month] for month in months),
        last=issued.earlier.get(month_of(starts - timedelta(days=1))),
        spent=_spent(contract, issued),
        lines=tuple(describe(number, line) for number, line in enumerate(statement.lines, start=1)),
    )


def _spent(contract: Contract, issued: Issued) -> tuple[Spent, ...]:
    """Return what was invoiced so far of the institution's budget, if it has one, and of the contract's ceiling."""
    budget = contract.institutions[issued.statement.institution].budget
    mine = add(issued.statement.total, total(each.total for each in issued.earlier.values()))
    whole = Spent(LimitKind.CONTRACT, contract.ceiling, issued.invoiced)
    return (whole,) if budget is None else (Spent(LimitKind.BUDGET, budget, mine), whole)


def _turned(kind: DocumentKind) -> Callable[[Decimal], Decimal]:
    return opposite if kind is DocumentKind.CREDIT_NOTE else lambda amount: amount


def _line(
    contract: Contract,
    month: str,
    accounting_costs: Mapping[str, str],
    turned: Callable[[Decimal], Decimal],
    kinds: dict[tuple[str, str, str, str], str],
    number: int,
    line: Line,
) -> DocumentLine:
    key = line.key
    item = contract.items[key.item]
    quantity, exact, net = turned(line.quantity), turned(line.exact), turned(line.amount)
    quoted = quote(quantity, exact, net)
    place = (key.award, key.item, key.month, key.tariff)
    if place not in kinds:
        kinds[place] = kind_of(contract, key).value
    return DocumentLine(
        number=number,
        item=key.item,
        name=item.name,
        what=kinds[place],
        award=key.award,
        supplier=contract.suppliers[contract.awards[key.award].supplier].name,
        department=key.department,
        department_name=contract.institutions[key.institution].departments[key.department] if key.department else "",
        pool=pool_share(contract, key) if key.pool else None,
        month=key.month if key.month != month else "",
        tariff=key.tariff,
        quantity=quantity,
        unit=item.unit,
        unit_code=PIECE if quoted.is_lump else unit_code(item.unit),
        quote=quoted,
        exact=exact,
        net=net,
        accounting_cost=accounting_costs.get(key.department, ""),
    )


def pool_share(contract: Contract, key: PostingKey) -> PoolShare:
    """Return the pool of a line, and by which key the member has its share."""
    pool = contract.pool(key.pool, key.month)
    member = f"{key.institution}/{key.department}" if key.department else key.institution
    weight = pool.weights.get(member)
    if weight is None or pool.key is AllocationKey.PROPORTIONAL:
        share = ""
    else:
        share = plain(weight) if pool.key is AllocationKey.WEIGHTS else f"1/{len(pool.weights)}"
    return PoolShare(pool.code, pool.name, pool.key.value, share)
