"""Closing a month: settle what is provisional, post the difference, number the invoices, and let nothing change.

One transaction: a close that is interrupted has not happened, and its numbers are still free.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import asyncpg

from services.contract.charges import ProvisionalRate, promised_meters
from services.contract.model import Contract
from services.contract.money import ZERO, plain
from services.contract.months import first_day, midnight, month_of, months_between, next_month
from services.contract_store import StoredContract
from services.decisions.enter import enter_close
from services.invoicing import sql
from services.invoicing.committed import owes_without_usage
from services.invoicing.credits import EntryKind, post_credits, sets_off
from services.invoicing.ledger import post
from services.invoicing.numbering import numbers, series_of
from services.invoicing.provisional import provisional
from services.invoicing.settle import Share
from services.invoicing.statement import Line, Statement
from services.invoicing.true_ups import closed_months, posted_and, true_ups
from services.postgres import Connection

BELOW_ZERO_SHOWN = 10


class CloseError(Exception):
    """The month can't be closed; the message says why and what to do."""


class Document(StrEnum):
    """What a statement is for finance."""

    STATEMENT = "statement"
    INVOICE = "invoice"
    CREDIT_NOTE = "credit note"


@dataclass(frozen=True, slots=True)
class Invoice:
    """A numbered statement: an invoice, or a credit note where less than nothing is due.

    `corrects` is the document that a credit note takes lines of back; it is one even where they come to nothing.
    """

    number: str
    statement: Statement
    corrects: str | None = None

    @property
    def document(self) -> Document:
        """What it is called; without a number it is not issued yet."""
        if self.corrects and self.statement.total == 0:
            return Document.CREDIT_NOTE
        return document_of(self.statement.total) if self.number else Document.STATEMENT


def document_of(whole: Decimal) -> Document:
    """Return what is issued where so much is due."""
    return Document.CREDIT_NOTE if whole < 0 else Document.INVOICE


async def close_month(connection: Connection, stored: StoredContract, month: str) -> list[Invoice]:
    """Close a month and return its invoices; the checklist before it is asked by `services/closing`.

    Raises CloseError when the month is not over, came before the contract, is closed already, follows one that is still
    open, when more usage was taken back than there was, or while something on the invoices has no rate of its month.
    """
    _refuse_wrong_time(stored.contract, month, datetime.now(UTC))
    async with connection.transaction():
        invoices = await settle_and_close(connection, stored, month)
        await enter_close(connection, month)
        return invoices


async def refusals(connection: Connection, stored: StoredContract, month: str) -> list[str]:
    """Return why a month can't be closed at present, whoever wants it."""
    found = []
    for refuse in (_refuse_early, _refuse_closed, _refuse_earlier_open, _refuse_wrong_usage, _refuse_missing_rates):
        try:
            await refuse(connection, stored.contract, month)
        except CloseError as error:
            found.append(str(error))
    return found


async def settle_and_close(
    connection: Connection, stored: StoredContract, month: str, at: datetime | None = None, by: str | None = None
) -> list[Invoice]:
    """Close a month in the caller's transaction, now or as it was once closed; raises CloseError as `close_month`."""
    await connection.execute(sql.TAKE_MONTHS)
    await connection.execute(sql.ENTER_MONTHS, [month])
    for refuse in (_refuse_closed, _refuse_earlier_open, _refuse_wrong_usage, _refuse_missing_rates):
        await refuse(connection, stored.contract, month)
    moved = await true_ups(connection, stored.contract, month)
    if moved:
        entry = await connection.fetchval(sql.ENTER_ENTRY, "true_up", None, month)
        await post(connection, stored.contract, entry, moved, {key.month: month for key in moved})
    made = await posted_and(connection, stored.contract, month, {})
    if not made and month > month_of(stored.contract.ends - timedelta(days=1)):
        raise CloseError(f"{month} is after the contract, and nothing came late that would be on its invoices")
    await _set_off(connection, stored.contract, month)
    invoices = await _number(connection, stored, made, at)
    await connection.execute(sql.CLOSE_MONTH, month, stored.version, at, by)
    return invoices


async def _set_off(connection: Connection, contract: Contract, month: str) -> None:
    """Post what the month's invoices set off of credits, as `preview` reckoned it with what is posted by now."""
    for borne_by, amounts in (await sets_off(connection, month, {})).items():
        moved = [(key, Share(ZERO, amount)) for key, amount in amounts.items()]
        await post_credits(connection, contract, (EntryKind.SET_OFF, None, month, borne_by), month, moved)


async def _refuse_early(_connection: Connection, contract: Contract, month: str) -> None:
    _refuse_wrong_time(contract, month, datetime.now(UTC))


async def _refuse_closed(connection: Connection, _contract: Contract, month: str) -> None:
    if await connection.fetchval(sql.CLOSED_AT, month) is not None:
        raise CloseError(f"{month} is closed already; what came later goes on the next open invoice")


async def _refuse_wrong_usage(connection: Connection, _contract: Contract, month: str) -> None:
    _refuse_below_zero(await connection.fetch(sql.BELOW_ZERO, month))


async def _refuse_missing_rates(connection: Connection, contract: Contract, month: str) -> None:
    _refuse_provisional(await provisional(connection, contract, month))


def _refuse_wrong_time(contract: Contract, month: str, now: datetime) -> None:
    if month < month_of(contract.starts):
        raise CloseError(f"{month} was before the contract, which starts on {contract.starts}")
    over = midnight(first_day(next_month(month)), contract.zone)
    if now < over:
        raise CloseError(f"{month} is not over before {over.isoformat()}")


async def _refuse_earlier_open(connection: Connection, contract: Contract, month: str) -> None:
    """Refuse to close a month before another that has something to invoice, be it only what was promised."""
    used = {row["month"] for row in await connection.fetch(sql.EARLIER_OPEN, month)}
    closed = await closed_months(connection)
    before = months_between(month_of(contract.starts), month)[:-1]
    promised = {each for each in before if promised_meters(contract, each) or owes_without_usage(contract, each)}
    if earlier := sorted(used | promised - closed):
        raise CloseError(f"{', '.join(earlier)} must be closed before {month}")


def _refuse_below_zero(rows: list[asyncpg.Record]) -> None:
    if rows:
        found = [
            f"{row['subject']} {row['item']} of {row['month']} under {row['award']}: {plain(row['quantity'])}"
            for row in rows
        ]
        more = f" and {len(found) - BELOW_ZERO_SHOWN} more" if len(found) > BELOW_ZERO_SHOWN else ""
        raise CloseError(
            "more usage was taken back than there was, so events are missing or wrong: "
            f"{'; '.join(found[:BELOW_ZERO_SHOWN])}{more}; its provider must send the difference"
        )


def _refuse_provisional(rates: list[ProvisionalRate]) -> None:
    if rates:
        months = sorted({each.month for each in rates})
        put_right = ", ".join(f"`plafond rerate --month {month} --contract FILE --post`" for month in months)
        raise CloseError(
            f"{'; '.join(map(str, rates))}. Add it to the contract's FILE, one of [[rates]], run {put_right} "
            'and `plafond contract apply FILE`; or apply one whose tariff has rate = "latest": the last one then holds'
        )


async def _number(
    connection: Connection, stored: StoredContract, made: list[Statement], at: datetime | None
) -> list[Invoice]:
    if not made:
        return []
    is_credit_note = [document_of(each.total) is Document.CREDIT_NOTE for each in made]
    series = [series_of(stored.contract, made[0].month, is_credit_note=each) for each in is_credit_note]
    given = await numbers(connection, series)
    invoices = [Invoice(number, each) for number, each in zip(given, made, strict=True)]
    await connection.execute(
        sql.ENTER_INVOICES,
        made[0].month,
        stored.version,
        stored.contract.currency,
        [each.number for each in invoices],
        [each.statement.institution for each in invoices],
        [plain(each.statement.exact) for each in invoices],
        [plain(each.statement.total) for each in invoices],
        at,
    )
    lines = [
        (each.number, index, line.key.department, line.key.pool, line.key.award, line.key.item, line.key.month,
         date.fromisoformat(line.key.tariff), plain(line.quantity), plain(line.exact), plain(line.amount),
         *_conversion(line))
        for each in invoices
        for index, line in enumerate(each.statement.lines, start=1)
    ]  # fmt: skip
    await connection.execute(sql.ENTER_LINES, *map(list, zip(*lines, strict=True)))
    return invoices


def _conversion(line: Line) -> tuple[str | None, str | None, str | None, str | None]:
    if line.conversion is None:
        return None, None, None, None
    made = line.conversion
    return made.currency, plain(made.rate), plain(made.amount), made.rate_month
