"""The checklist of a month: all that is asked before it is closed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.audit.run import Finding, in_database
from services.closing import providers, sql
from services.closing.anomalies import PART_OF_ALL, TIMES, far_off
from services.closing.model import Check, Item, Weight
from services.closing.stages import grace_ends
from services.contract.currencies import amount_text, money_text
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.contract.months import first_day, month_of, next_month
from services.contract_store import StoredContract
from services.documents.lacking import lacking
from services.invoicing.close import refusals
from services.invoicing.statement import Statement
from services.invoicing.true_ups import preview
from services.postgres import Connection

WAIT_SECONDS = 10.0
"""How long to wait for what was rated and is still to be posted."""
AGAIN_SECONDS = 2.0
SHOWN = 3
_NOT_ASKED = {"no usage is below zero", "every alert is published", "every decision is published"}
"""Identities that a refusal tells of already, or that come right by themselves whether the month is closed or not."""

OfProviders = Callable[[Connection, Contract, str], Awaitable[list[Item]]]
PROVIDER_CHECKS: tuple[OfProviders, ...] = (providers.silent, providers.totals)
"""What is asked of the providers of a month."""


async def checklist(connection: Connection, stored: StoredContract, month: str) -> list[Item]:
    """Ask all that is to be asked of a month before it is closed; nothing is changed."""
    items = await of_books(connection, stored, month)
    if await connection.fetchval("select closed_at from invoicing.month where month = $1", month):
        return items
    made = await preview(connection, stored.contract, month)
    return items + await of_statements(connection, stored.contract, month, made)


async def of_books(connection: Connection, stored: StoredContract, month: str) -> list[Item]:
    """Ask what needs no statement of the month."""
    contract = stored.contract
    items = [
        Item(Check.REFUSAL, month, each, "that put right: it can't be overridden", Weight.REFUSED)
        for each in await refusals(connection, stored, month)
    ]
    items += _grace(contract, month, datetime.now(UTC))
    for check in PROVIDER_CHECKS:
        items += await check(connection, contract, month)
    items += await providers.rejections(connection, stored.contract, month)
    return items + await _audit(connection)


async def of_statements(
    connection: Connection, contract: Contract, month: str, made: Sequence[Statement]
) -> list[Item]:
    """Ask what is to be asked of a month's statements."""
    items = await _anomalies(connection, contract.currency, month, made)
    return items + _documents(contract, month, [each.institution for each in made])


def _grace(contract: Contract, month: str, now: datetime) -> list[Item]:
    over = grace_ends(contract, month)
    if now >= over:
        return []
    return [Item(Check.GRACE, month, "late usage may still come", f"a close from {over.date()} on")]


async def _anomalies(connection: Connection, currency: str, month: str, made: Sequence[Statement]) -> list[Item]:
    """Tell which institution's and which award's month is far from the one before."""
    before = month_of(first_day(month) - timedelta(days=1))
    invoiced = await connection.fetch(sql.INVOICED, before)
    then: Mapping[str, list[tuple[str, Decimal]]] = {
        of: [(row[of], row["amount"]) for row in invoiced] for of in ("institution", "award")
    }
    now = {
        "institution": [(each.institution, each.total) for each in made],
        "award": [(line.key.award, line.amount) for each in made for line in each.lines],
    }
    return [
        Item(
            Check.ANOMALY,
            f"{of} {far.code}",
            f"{amount_text(far.now, currency)} after {money_text(far.before, currency)} in {before}",
            f"at most {TIMES} times the other, or a difference below {PART_OF_ALL:.0%} of all",
        )
        for of in ("institution", "award")
        for far in far_off(_sums(then[of]), _sums(now[of]))
    ]


def _sums(amounts: list[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for code, amount in amounts:
        sums[code] = add(sums.get(code, ZERO), amount)
    return sums


async def _audit(connection: Connection) -> list[Item]:
    """Tell which identities break; while services are at work only those that still do a moment later."""
    await _wait_until_posted(connection)
    broken = await _breaking(connection)
    if broken:
        await asyncio.sleep(AGAIN_SECONDS)
        again = await _breaking(connection)
        broken = [each for each in again if each.identity in {first.identity for first in broken}]
    return [
        Item(Check.AUDIT, each.identity, _said(each.breaches), "an audit that is clean: `plafond audit`")
        for each in broken
    ]


async def _breaking(connection: Connection) -> list[Finding]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = await in_database(connection, datetime.now(UTC))
    return [each for each in found if each.breaches and each.identity not in _NOT_ASKED]


async def _wait_until_posted(connection: Connection) -> None:
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while await connection.fetchval(sql.UNDER_WAY):
        if asyncio.get_running_loop().time() > deadline:
            return
        await asyncio.sleep(0.1)


def _said(breaches: tuple[str, ...]) -> str:
    more = f" and {len(breaches) - SHOWN} more" if len(breaches) > SHOWN else ""
    return "; ".join(breaches[:SHOWN]) + more


def _documents(contract: Contract, month: str, institutions: list[str]) -> list[Item]:
    """Tell whose documents will be parked, where the contract says of anyone who is invoiced."""
    if contract.coordinator is None and not any(each.buyer for each in contract.institutions.values()):
        return []
    starts, ends = first_day(month), first_day(next_month(month)) - timedelta(days=1)
    return [
        Item(Check.DOCUMENT, f"{institution}: {problem.place}", problem.found, problem.wanted, Weight.NOTED)
        for institution in institutions
        for problem in lacking(contract, institution, starts, ends)
    ]


def as_data(item: Item) -> dict[str, str]:
    """Return an item as plain data."""
    return {name: str(value) for name, value in item._asdict().items()}
