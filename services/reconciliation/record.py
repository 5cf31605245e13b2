"""What was reconciled, kept: so that a second invoice for what was invoiced already is told.

Of an invoice that was reconciled several times (a month was closed meanwhile, a file was mended), the last time counts.
It belongs to the month that it was first reconciled for, and moves only when told to, so a mistyped one does no harm.
"""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from services.postgres import Connection
from services.reconciliation.identify import Identified
from services.reconciliation.model import Claim, ClaimKey, Reconciliation, Whose
from services.reconciliation.rows import quantity

_KNOWN = """
select distinct on (supplier, number) supplier, number, month, sha256, reconciled_at
from reconciliation.document where (supplier, number) in (select unnest($1::text[]), unnest($2::text[]))
order by supplier, number, document desc
"""
_KEPT = """
with last as (
    select distinct on (supplier, number) document, number, currency, month
    from reconciliation.document order by supplier, number, document desc
)
select number, currency, place, award, item, line.name, line.month, institution, department, quantity, net, is_whole
from last join reconciliation.line using (document)
where last.month = $1 and ($2::text[] is null or award = any($2)) and number <> all($3::text[])
order by document, line
"""
_DOCUMENT = """
insert into reconciliation.document (supplier, number, month, currency, issued, net, sha256, agrees)
values ($1, $2, $3, $4, $5, $6, $7, $8) returning document
"""
_LINES = """
insert into reconciliation.line
    (document, line, place, award, item, name, month, institution, department, quantity, net, is_whole)
select $1, line, place, award, item, name, month, institution, department, quantity, net, is_whole
from unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::numeric[], $11::numeric[], $12::bool[])
     as claim (line, place, award, item, name, month, institution, department, quantity, net, is_whole)
"""


class Earlier(NamedTuple):
    """What earlier documents of the month invoiced, and what is odd about numbers that were there before.

    `elsewhere` are the numbers of those that belong to another month, and are not to be kept for this one.
    """

    claims: list[Claim]
    problems: list[str]
    notes: list[str]
    elsewhere: frozenset[str]


async def earlier(
    connection: Connection, suppliers: Mapping[str, str], month: str, identified: Sequence[Identified],
    files: Mapping[str, bytes], *, moves: bool = False,
) -> Earlier:  # fmt: skip
    """Return what was reconciled of the documents' awards and month before; `suppliers` has each award's.

    Where it `moves`, a document that was reconciled for another month is taken out of that and counts for this one.
    """
    numbers = [each.document.number for each in identified]
    awards = sorted(frozenset().union(*(each.awards for each in identified)))
    claims = await kept(connection, month, awards, numbers)
    return Earlier(claims, *await _known(connection, suppliers, month, identified, files, moves=moves))


async def kept(
    connection: Connection, month: str, awards: Sequence[str] | None = None, without: Sequence[str] = ()
) -> list[Claim]:
    """Return what documents that are kept for a month invoiced: of some awards (None for all), but for some numbers."""
    rows = await connection.fetch(_KEPT, month, awards, without)
    return [
        Claim(
            ClaimKey(row["award"], row["item"], row["name"], row["month"]),
            Whose(row["institution"], row["department"]) if row["institution"] else None,
            row["net"], Fraction(row["quantity"]) if row["quantity"] is not None else None,
            row["number"], row["place"], (), row["is_whole"], is_earlier=True, currency=row["currency"],
        )
        for row in rows
    ]  # fmt: skip


async def _known(
    connection: Connection, suppliers: Mapping[str, str], month: str, identified: Sequence[Identified],
    files: Mapping[str, bytes], *, moves: bool,
) -> tuple[list[str], list[str], frozenset[str]]:  # fmt: skip
    """Tell which numbers were reconciled before: with other contents or for another month is a problem, else a note."""
    mine = {(supplier_of(suppliers, each), each.document.number): each for each in identified}
    problems, notes, elsewhere = [], [], set()
    for row in await connection.fetch(_KNOWN, *map(list, zip(*mine, strict=True))):
        document = mine[row["supplier"], row["number"]].document
        same = row["sha256"] == digest(files[document.file])
        said = f"{document.number} was reconciled on {row['reconciled_at']:%Y-%m-%d} for {row['month']}"
        if row["month"] != month and not moves:
            problems.append(f"{said}, where it counts; it can't be for {month}, too, and is not kept: --move-month "
                            f"makes it {month}'s")  # fmt: skip
            elsewhere.add(document.number)
        elif not same:
            problems.append(f"{said} with other contents under the same number; this file takes its place")
        elif row["month"] != month:
            notes.append(f"{said}, and is moved: from now on it counts for {month}")
        else:
            notes.append(f"{said}: the same file, which counts once")
    return problems, notes, frozenset(elsewhere)


async def keep(
    connection: Connection, suppliers: Mapping[str, str], found: Reconciliation, identified: Sequence[Identified],
    files: Mapping[str, bytes],
) -> None:  # fmt: skip
    """Keep what was reconciled, all of it or nothing."""
    async with connection.transaction():
        for each in identified:
            document = each.document
            key = await connection.fetchval(
                _DOCUMENT, supplier_of(suppliers, each), document.number, found.month, found.currency, document.issued,
                document.net, digest(files[document.file]), found.agrees,
            )  # fmt: skip
            await connection.execute(_LINES, key, *_columns(each.claims))


def supplier_of(suppliers: Mapping[str, str], identified: Identified) -> str:
    """Return whose numbers a document's is one of."""
    return suppliers[min(identified.awards)] if identified.awards else ""


def digest(data: bytes) -> bytes:
    """Return a file's SHA-256."""
    return hashlib.sha256(data).digest()


def _columns(claims: Sequence[Claim]) -> list[list[object]]:
    rows = [
        (
            line, claim.place, claim.key.award, claim.key.item, claim.key.name, claim.key.month,
            claim.whose.institution if claim.whose else None, claim.whose.department if claim.whose else None,
            Decimal(quantity(claim.quantity)) if claim.quantity is not None else None, claim.net, claim.is_whole,
        )
        for line, claim in enumerate(claims, start=1)
    ]  # fmt: skip
    return list(map(list, zip(*rows, strict=True)))
