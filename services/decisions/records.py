"""Decisions as they are published, made from what they tell of; and telling whether two are the same."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.contract.money import plain
from services.postgres import Connection

Record = dict[str, Any]
"""A record of `schemas/decision.avsc`."""

_DECISIONS = """
select decision.*, version.sha256, version.file, rerating.batch as rerating_batch, rerating.sha256 as rerating_sha256,
       rerating.file as rerating_file, rerating_rated.version as rerating_version, closed.version as closed_version,
       override.reason as override_reason, override.items::text as override_items
from decisions.decision
     left join contract.version using (version)
     left join contract.rerating using (rerating)
     left join rating.batch as rerating_rated on rerating_rated.batch = rerating.batch
     left join invoicing.month as closed on closed.month = decision.month
     left join invoicing.override on override.month = decision.month
where number = any($1::bigint[]) order by number
"""
_RERATED = """
select month, array_agg(award order by award) as awards from contract.rerated where rerating = $1 group by month
"""
_NOTE = """
select number, corrects, array_agg(corrected_line order by line) as lines, reason, borne_by, version, exact, total
from invoicing.credit_note join invoicing.credit_note_line using (number, corrects)
where number = $1 group by credit_note.number
"""
_REISSUE = """
select reissue.number, credit_note, reissue.reason, reissue.version
from invoicing.reissue left join invoicing.credit_note as note on note.number = credit_note and borne_by = 'nobody'
where reissue.number = $1 or note.number = $1
"""
_STEP = "select * from invoicing.dispute_step where step = $1"
_INVOICES = """select number, institution, total from invoicing.invoice where month = $1 order by number collate "C" """
_LINES = """
select encode(sha256(convert_to(coalesce(string_agg(concat_ws('|', number, line, department, pool, award, item,
              line.month, tariff, trim_scale(quantity), trim_scale(line.exact), trim_scale(amount)), chr(10)
              order by number collate "C", line), ''), 'UTF8')), 'hex')
from invoicing.invoice join invoicing.invoice_line as line using (number) where invoice.month = $1
"""


async def records(connection: Connection, numbers: Sequence[int]) -> list[Record]:
    """Return decisions as they are published, in the order of their numbers, made from what they tell of."""
    return [await _record(connection, row) for row in await connection.fetch(_DECISIONS, list(numbers))]


async def _record(connection: Connection, row: asyncpg.Record) -> Record:
    return {
        "number": row["number"],
        "decided_at": _microseconds(row["decided_at"]),
        "decided_by": row["decided_by"],
        "contract": _contract(row),
        "rerating": await _rerating(connection, row),
        "close": await _close(connection, row),
        "late": {"batch": str(row["batch"]), "after": row["after"]} if row["batch"] else None,
        "credit": await _credit(connection, row),
        "dispute": await _dispute(connection, row),
    }


def _contract(row: asyncpg.Record) -> Record | None:
    if row["version"] is None:
        return None
    return {"version": row["version"], "sha256": row["sha256"].hex(), "file": row["file"]}


async def _rerating(connection: Connection, row: asyncpg.Record) -> Record | None:
    if row["rerating"] is None:
        return None
    rerated = await connection.fetchrow(_RERATED, row["rerating"])
    assert rerated is not None, "a re-rating has awards"
    return {
        "rerating": row["rerating"],
        "month": rerated["month"],
        "awards": rerated["awards"],
        "version": row["rerating_version"],
        "batch": str(row["rerating_batch"]),
        "sha256": row["rerating_sha256"].hex(),
        "file": row["rerating_file"],
        "rated_until": _rated_until(row),
    }


async def _close(connection: Connection, row: asyncpg.Record) -> Record | None:
    if row["month"] is None:
        return None
    return {
        "month": row["month"],
        "version": row["closed_version"],
        **await issued(connection, row["month"]),
        "rated_until": _rated_until(row),
        "waiting": list(map(str, row["waiting"])),
        "override": row["override_reason"] and {"reason": row["override_reason"], "items": row["override_items"]},
    }


async def _credit(connection: Connection, row: asyncpg.Record) -> Record | None:
    if row["document"] is None:
        return None
    told = await credit_told(connection, row["document"])
    return {**told, "rated_until": _rated_until(row), "waiting": list(map(str, row["waiting"]))}


async def credit_told(connection: Connection, number: str) -> Record:
    """Return what a credit note or a reissue says, by the number of the first that was issued with it."""
    note, anew = await connection.fetchrow(_NOTE, number), await connection.fetchrow(_REISSUE, number)
    return {
        "credit_note": note and {
            **note, "lines": list(note["lines"]), "exact": plain(note["exact"]), "total": plain(note["total"]),
        },
        "reissue": anew and dict(anew),
    }  # fmt: skip


async def _dispute(connection: Connection, row: asyncpg.Record) -> Record | None:
    if row["dispute_step"] is None:
        return None
    step = await connection.fetchrow(_STEP, row["dispute_step"])
    assert step is not None, "a decision commits with what it tells of"
    names = ("step", "dispute", "state", "number", "line", "note", "credit_note")
    return {name: step[name] for name in names}


async def issued(connection: Connection, month: str) -> Record:
    """Return the invoices of a closed month with what they say: their totals, and a digest over all lines."""
    rows = await connection.fetch(_INVOICES, month)
    return {
        "invoices": [
            {"number": each["number"], "institution": each["institution"], "total": plain(each["total"])}
            for each in rows
        ],
        "lines": await connection.fetchval(_LINES, month),
    }


def _rated_until(row: asyncpg.Record) -> list[Record] | None:
    if row["partitions"] is None:
        return None
    return [
        {"partition": partition, "appended_at": round(until.timestamp() * 1000)}
        for partition, until in zip(row["partitions"], row["rated_until"], strict=True)
    ]


def _microseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000_000)


def same(left: Record, right: Record) -> bool:
    """Tell whether two records are about the same decision, whoever entered it, and when."""
    who = {"decided_at": 0, "decided_by": ""}
    return _told(left) | who == _told(right) | who


def _told(record: Record) -> Record:
    """Leave out up to where usage had come, since a decision that was entered again by hand has another place; and an
    override, which was not published in the beginning.
    """
    return {
        key: {name: each for name, each in value.items() if name not in {"rated_until", "waiting", "override"}}
        if isinstance(value, dict)
        else value
        for key, value in record.items()
    }


def named(record: Record) -> str:
    """Say in words what was decided."""
    if version := record["contract"]:
        return f"contract version {version['version']} (SHA-256 {version['sha256']})"
    if rerating := record["rerating"]:
        return f"re-rating {rerating['rerating']} of {rerating['month']} (SHA-256 {rerating['sha256']})"
    if close := record["close"]:
        return f"the close of {close['month']} with {len(close['invoices'])} invoices"
    if credit := record["credit"]:
        note, anew = credit["credit_note"], credit["reissue"]
        what = [f"credit note {note['number']} on {note['corrects']}"] if note else []
        what += [f"the lines of {anew['credit_note']} anew as {anew['number']}"] if anew else []
        return ", ".join(what)
    if dispute := record["dispute"]:
        return f"dispute {dispute['dispute']} {dispute['state']}"
    return f"charges that came late, batch {record['late']['batch']}"
