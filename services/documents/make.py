"""Making a document of an invoice: what was closed, and who is who.

Law: a document says what the books say. It adds names and references from the contract, the sign that a credit note
turns, and a unit price; no amount is reckoned anew.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import NamedTuple, Self

from services.contract.model import AllocationKey, Contract
from services.contract.money import ZERO, add, opposite, plain, round_half_up, total
from services.contract.months import first_day, month_of, next_month
from services.contract.problems import Problem
from services.documents.lacking import lacking
from services.documents.model import (
    Document,
    DocumentKind,
    DocumentLine,
    LimitKind,
    Month,
    PoolShare,
    Preceding,
    Spent,
)
from services.documents.quote import quote
from services.documents.units import PIECE, unit_code
from services.invoicing.kinds import kind_of, percent_of_list
from services.invoicing.settle import PostingKey
from services.invoicing.statement import Line, Statement

LINES_MAX = 1_000_000
MONTHS = 12
"""So many months stand beside each other, the document's last."""


class Origin(NamedTuple):
    """What is split among a pool's members: one item's use in one month."""

    pool: str
    award: str
    item: str
    month: str
    tariff: str

    @classmethod
    def of(cls, key: PostingKey) -> Self:
        """Return what a member's share is a share of."""
        return cls(key.pool, key.award, key.item, key.month, key.tariff)


def origins(statements: Iterable[Statement]) -> dict[Origin, Decimal]:
    """Add up what all members are charged of pools, in the rounded amounts of a month's invoices.

    What some are charged and others given back is no whole that any has a share of, and is left out for all.
    """
    parts: dict[Origin, list[Decimal]] = {}
    for statement in statements:
        for line in statement.lines:
            if line.key.pool:
                parts.setdefault(Origin.of(line.key), []).append(line.amount)
    return {
        origin: total(amounts)
        for origin, amounts in parts.items()
        if total(amounts) and (min(amounts) >= 0 or max(amounts) <= 0)
    }


@dataclass(frozen=True, slots=True)
class Correcting:
    """Whose lines a credit note takes back and why; or what an invoice `replaces`, which the last of them took back.

    `left` is what was left of the other document before, as its total is.
    """

    preceding: tuple[Preceding, ...]
    reason: str
    replaces: bool = False
    left: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """An invoice in the books: its number, day and statement, and the earlier ones of the institution, by month.

    `invoiced` is what all institutions were invoiced up to its month, less what suppliers bear of credits; `origins`
    what all members are charged of pools; `credited` what was credited to this one by then, below zero, by month;
    `set_off`, what lines were raised by for that. `correcting` says what it corrects where it is no month's own.
    """

    number: str
    day: date
    statement: Statement
    earlier: Mapping[str, Preceding]
    invoiced: Decimal
    origins: Mapping[Origin, Decimal] = field(default_factory=dict)
    credited: Mapping[str, Decimal] = field(default_factory=dict)
    correcting: Correcting | None = None
    set_off: Mapping[PostingKey, Decimal] = field(default_factory=dict)


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
    correcting = issued.correcting
    is_credit_note = statement.total < 0 or (correcting and not correcting.replaces and statement.total == 0)
    kind = DocumentKind.CREDIT_NOTE if is_credit_note else DocumentKind.INVOICE
    describe = partial(_line, contract, issued, buyer.accounting_costs, _turned(kind), {})
    months = sorted({line.key.month for line in statement.lines} & issued.earlier.keys())
    return Document(
        number=issued.number,
        kind=kind,
        contract=contract.code,
        contract_name=contract.name,
        institution=statement.institution,
        month=statement.month,
        zone=contract.zone,
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
        preceding=correcting.preceding if correcting else tuple(issued.earlier[month] for month in months),
        last=issued.earlier.get(month_of(starts - timedelta(days=1))),
        months=() if correcting else _months(issued),
        spent=() if correcting else _spent(contract, issued),
        lines=tuple(describe(number, line) for number, line in enumerate(statement.lines, start=1)),
        reason=correcting.reason if correcting else "",
        replaces=correcting is not None and correcting.replaces,
        left=None if correcting is None or correcting.left is None else opposite(_turned(kind)(correcting.left)),
    )


def _months(issued: Issued) -> tuple[Month, ...]:
    """Return what each month came to less what was credited of it, from the first of the last twelve invoiced."""
    statement = issued.statement
    months = [statement.month]
    while len(months) < MONTHS:
        months.insert(0, month_of(first_day(months[0]) - timedelta(days=1)))
    came_to = {month: each.total for month, each in issued.earlier.items()} | {statement.month: statement.total}
    first = min(each for each in months if each in came_to)
    return tuple(
        Month(each, add(came_to.get(each, ZERO), issued.credited.get(each, ZERO))) for each in months if each >= first
    )


def _spent(contract: Contract, issued: Issued) -> tuple[Spent, ...]:
    """Return what was invoiced so far of the institution's budget, if it has one, and of the contract's ceiling."""
    budget = contract.institutions[issued.statement.institution].budget
    mine = total((issued.statement.total, *(each.total for each in issued.earlier.values()), *issued.credited.values()))
    whole = Spent(LimitKind.CONTRACT, contract.ceiling, issued.invoiced)
    return (whole,) if budget is None else (Spent(LimitKind.BUDGET, budget, mine), whole)


def _turned(kind: DocumentKind) -> Callable[[Decimal], Decimal]:
    return opposite if kind is DocumentKind.CREDIT_NOTE else lambda amount: amount


def _line(
    contract: Contract,
    issued: Issued,
    accounting_costs: Mapping[str, str],
    turned: Callable[[Decimal], Decimal],
    terms: dict[tuple[str, str, str, str], tuple[str, Decimal]],
    number: int,
    line: Line,
) -> DocumentLine:
    key = line.key
    item = contract.items[key.item]
    quantity, exact, net = turned(line.quantity), turned(line.exact), turned(line.amount)
    place = (key.award, key.item, key.month, key.tariff)
    if place not in terms:
        terms[place] = kind_of(contract, key).value, percent_of_list(contract, key)
    what, percent = terms[place]
    quoted = quote(quantity, exact, net).at(percent)
    return DocumentLine(
        number=number,
        item=key.item,
        name=item.name,
        what=what,
        award=key.award,
        supplier=contract.suppliers[contract.awards[key.award].supplier].name,
        publisher=_publisher(contract, key.award),
        department=key.department,
        department_name=contract.institutions[key.institution].departments[key.department] if key.department else "",
        pool=pool_share(contract, key) if key.pool else None,
        origin=issued.origins.get(Origin.of(key)) if key.pool else None,
        month=key.month if key.month != issued.statement.month else "",
        tariff=key.tariff,
        quantity=quantity,
        unit=item.unit,
        unit_code=PIECE if quoted.is_lump else unit_code(item.unit),
        quote=quoted,
        exact=exact,
        net=net,
        accounting_cost=accounting_costs.get(key.department, ""),
        set_off=turned(round_half_up(issued.set_off.get(key, ZERO), contract.currency_digits)),
    )


def _publisher(contract: Contract, award: str) -> str:
    """Return who runs the cloud under an award: its provider, or the supplier where several do."""
    agreed = contract.awards[award]
    if len(agreed.providers) == 1:
        return contract.providers[agreed.providers[0]].name
    return contract.suppliers[agreed.supplier].name


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
