"""What a closed month's documents are made of, as it stands in the books, and the SHA-256 of those that were made.

Law: of the same books the same is read, whenever that is; a hash that is kept is never replaced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services import contract_store
from services.contract.model import Contract
from services.contract.money import total
from services.documents.corrections import corrections, set_off_on
from services.documents.files import Names, Recorded, Result, Task
from services.documents.make import Issued, origins
from services.documents.model import Preceding
from services.invoicing.close import Invoice
from services.invoicing.issued import IssuedDocument, issued_since
from services.invoicing.read import invoices_of
from services.invoicing.settle import PostingKey
from services.invoicing.statement import Statement
from services.postgres import Connection

_CLOSED = "select version, closed_at from invoicing.month where month = $1 and closed_at is not null"
_ISSUED = "select number, institution, month, issued_at, total from invoicing.invoice where month <= $1"
# What was issued anew by the close of a month, of months before it, as the last that came counts.
_ANEW = """
select reissue.number, institution, month, reissue.issued_at
from invoicing.reissue join invoicing.credit_note as note on note.number = credit_note
where month < $1 and reissue.issued_at < $2 and borne_by = 'nobody' order by reissue.issued_at, reissue.number
"""
# What was credited by then and not charged again, by the month of the invoices.
_CREDITED = """
select institution, month, sum(total) as credited,
       coalesce(sum(total) filter (where borne_by = 'supplier'), 0) as of_suppliers
from (
    select institution, month, total, borne_by, issued_at from invoicing.credit_note
    union all
    select institution, month, -total, borne_by, reissue.issued_at
    from invoicing.reissue join invoicing.credit_note on credit_note.number = credit_note
) as every
where borne_by <> 'nobody' and issued_at < $1 group by institution, month
"""
_RECORDED = "select name, form, sha256, version, made_at from invoicing.document where month = $1 order by name, form"
_RECORD = """
insert into invoicing.document (month, name, form, sha256, version)
select $1, name, form, sha256, version
from unnest($2::text[], $3::text[], $4::bytea[], $5::int[]) as made(name, form, sha256, version)
on conflict do nothing
"""


class ExportError(Exception):
    """The month can't be exported; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Credited:
    """What was credited until a moment and not charged again, below zero: by institution and the month of the invoice.

    `of_suppliers` is what suppliers bear of it.
    """

    by_institution: Mapping[str, Mapping[str, Decimal]]
    of_suppliers: Decimal

    def to(self, institution: str) -> Mapping[str, Decimal]:
        """Return what was credited to an institution, by month."""
        return self.by_institution.get(institution, {})


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    """A closed month: its invoices, what corrects them, when all were issued, and what was exported before, by name.

    `credited` is what was credited by the close; `set_off` is what lines have been raised by, since it was credited
    before, and `not_of_suppliers` undoes what of that is between the coordinator and the institutions.
    """

    month: str
    version: int
    newest: int
    names: Names
    invoices: list[Invoice]
    since: list[IssuedDocument]
    issued: Mapping[str, Mapping[str, Preceding]]
    credited: Credited
    set_off: Mapping[PostingKey, Decimal]
    not_of_suppliers: Statement
    recorded: Mapping[str, Mapping[str, Recorded]]


async def read_month(connection: Connection, month: str) -> ClosedMonth:
    """Read a closed month; raises ExportError while it is open."""
    closed = await connection.fetchrow(_CLOSED, month)
    if closed is None:
        raise ExportError(
            f"{month} is not closed, so it has no invoices yet: `plafond close {month}` closes it, "
            f"`plafond statement {month}` shows it as it stands"
        )
    version = closed["version"]
    contract = await contract_store.load_version(connection, version, as_of=closed["closed_at"])
    newest = await contract_store.newest(connection)
    assert newest is not None, "a month was closed under a version"
    recorded = await _recorded(connection, month)
    parties = {newest.version: newest.contract, version: contract}
    since = await issued_since(connection, month)
    used = {first.version for forms in recorded.values() for first in forms.values()}
    used |= {each.version for each in since if each.anew and each.version}
    for each in used - parties.keys():
        parties[each] = await contract_store.load_version(connection, each)
    invoices = await invoices_of(connection, month)
    days = await issued_until(connection, contract, month, closed["closed_at"])
    return ClosedMonth(
        month, version, newest.version, Names(contract, parties), invoices, since, days,
        await credited_until(connection, closed["closed_at"]),
        *await set_off_on(connection, month), recorded,
    )  # fmt: skip


async def _recorded(connection: Connection, month: str) -> dict[str, dict[str, Recorded]]:
    """Return what was exported of a month before, by name and form."""
    recorded: dict[str, dict[str, Recorded]] = {}
    for row in await connection.fetch(_RECORDED, month):
        first = Recorded(row["sha256"], row["version"], row["made_at"])
        recorded.setdefault(row["name"], {})[row["form"]] = first
    return recorded


def tasks_of(books: ClosedMonth) -> list[Task]:
    """Return what is to be made: who is who by the version of the close, or by the newest where that lacks something.

    What was exported before is made by the version of then.
    """
    tasks = []
    shared = origins(each.statement for each in books.invoices)
    invoiced = invoiced_by_all(books.issued, books.credited)
    for each in books.invoices:
        forms = books.recorded.get(each.number, {})
        mine = books.issued[each.statement.institution]
        earlier = {when: preceding for when, preceding in mine.items() if when < books.month}
        credited = books.credited.to(each.statement.institution)
        day = mine[books.month].issued
        issued = Issued(each.number, day, each.statement, earlier, invoiced, shared, credited, set_off=books.set_off)
        tasks.append(Task(issued, _versions(books, each.number), forms))
    return [*tasks, *_since(books)]


def _since(books: ClosedMonth) -> list[Task]:
    """Return what is to be made of credit notes, and of what was issued anew."""
    own = {each.number: each for mine in books.issued.values() for each in mine.values()}
    return [
        Task(issued, _versions(books, issued.number), books.recorded.get(issued.number, {}))
        for issued in corrections(books.names.closed, own, books.since)
    ]


def _versions(books: ClosedMonth, number: str) -> tuple[int, ...]:
    """Return which contract versions may say who is who, the first first.

    That is the one that it was exported by before; of what was issued anew, the one of then; of a credit note, the one
    of what it takes back; else the one of the close, or the newest where that lacks something.
    """
    if forms := books.recorded.get(number):
        return tuple({first.version for first in forms.values()})
    for each in books.since:
        if each.number == number and each.anew and each.version:
            return tuple(dict.fromkeys((each.version, books.newest)))
        if each.number == number and each.corrects:
            return _versions(books, each.corrects)
    return tuple(dict.fromkeys((books.version, books.newest)))


async def issued_until(
    connection: Connection, contract: Contract, month: str, until: datetime
) -> dict[str, dict[str, Preceding]]:
    """Return all invoices up to a month, by institution and month; of those issued anew by then, the last number."""
    found: dict[str, dict[str, Preceding]] = {}
    for row in await connection.fetch(_ISSUED, month):
        day = row["issued_at"].astimezone(contract.zone).date()
        found.setdefault(row["institution"], {})[row["month"]] = Preceding(row["number"], day, row["total"])
    for row in await connection.fetch(_ANEW, month, until):
        day = row["issued_at"].astimezone(contract.zone).date()
        mine = found[row["institution"]]
        mine[row["month"]] = Preceding(row["number"], day, mine[row["month"]].total)
    return found


async def credited_until(connection: Connection, until: datetime) -> Credited:
    """Return what was credited until a moment."""
    rows = await connection.fetch(_CREDITED, until)
    found: dict[str, dict[str, Decimal]] = {}
    for row in rows:
        found.setdefault(row["institution"], {})[row["month"]] = row["credited"]
    return Credited(found, total(row["of_suppliers"] for row in rows))


def invoiced_by_all(issued: Mapping[str, Mapping[str, Preceding]], credited: Credited) -> Decimal:
    """Return what all institutions were invoiced, less what suppliers bear of credits."""
    return total((*(each.total for mine in issued.values() for each in mine.values()), credited.of_suppliers))


async def record(connection: Connection, month: str, results: Sequence[Result]) -> None:
    """Keep the SHA-256 of what was made for the first time."""
    rows = [(each.number, form, digest, each.version) for each in results for form, digest in each.made.items()]
    if rows:
        await connection.execute(_RECORD, month, *map(list, zip(*rows, strict=True)))
