"""What credits move in the ledger, and how much of them adjustments use up.

Law: a credit is no usage. It stands on accounts of its own, and what is charged and settled stays as it was, so no
close charges again what was credited. What an institution pays for a line's use is what is due less what was credited,
and never below nothing: what an adjustment would give back a second time is set off on its invoice.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from services.contract.model import Contract
from services.contract.money import ZERO, add, opposite, plain, subtract
from services.invoicing import sql
from services.invoicing.ceilings import relieved
from services.invoicing.ledger import spend
from services.invoicing.rows import posting_key
from services.invoicing.settle import PostingKey, Share
from services.postgres import Connection, copy_in

_ENTER = """
insert into invoicing.entry (kind, document, closing, borne_by) values ($1, $2, $3, $4) returning entry
"""
# What was credited for good, what of that was set off so far, and what is due for the use of the same: as it stands on
# the invoices, which have what was set off, and is posted on an open month. One pass over each table, and none where
# nothing was credited.
_CREDITED = """
with credited as materialized (
    select institution, department, pool, award, item, posting.month, tariff, borne_by,
           coalesce(sum(amount) filter (where kind <> 'set_off'), 0) as credited,
           coalesce(sum(amount) filter (where kind = 'set_off'), 0) as set_off
    from invoicing.entry join invoicing.posting using (entry)
    where borne_by in ('coordinator', 'supplier') and side = 'credited'
    group by institution, department, pool, award, item, posting.month, tariff, borne_by
), asked as materialized (
    select institution, department, pool, award, item, month, tariff, -sum(set_off) as amount
    from credited group by 1, 2, 3, 4, 5, 6, 7
), due as (
    select institution, department, pool, award, item, month, tariff, sum(amount) as due
    from (
        select * from asked
        union all
        select institution, department, pool, award, item, line.month, tariff, line.exact
        from invoicing.invoice_line as line join invoicing.invoice using (number)
        where (institution, department, pool, award, item, line.month, tariff) in (
            select institution, department, pool, award, item, month, tariff from asked)
        union all
        select institution, department, pool, award, item, month, tariff, amount
        from invoicing.posting
        where side = 'institution' and invoice_month = $1
              and (institution, department, pool, award, item, month, tariff) in (
                  select institution, department, pool, award, item, month, tariff from asked)
    ) as every
    group by 1, 2, 3, 4, 5, 6, 7
)
select * from credited join due using (institution, department, pool, award, item, month, tariff)
order by institution, department, pool, award, item, month, tariff, borne_by
"""


class BorneBy(StrEnum):
    """Who bears a credit; nobody, where the same is issued anew."""

    COORDINATOR = "coordinator"
    SUPPLIER = "supplier"
    NOBODY = "nobody"


class EntryKind(StrEnum):
    """What posts on the accounts of credits."""

    CREDIT_NOTE = "credit_note"
    REISSUE = "reissue"
    SET_OFF = "set_off"


class Credited(NamedTuple):
    """What was credited of a line's use by who bears it (below zero), and what of that was set off again."""

    borne_by: BorneBy
    credited: Decimal
    set_off: Decimal


_AGAINST = {BorneBy.COORDINATOR: "coordinator", BorneBy.SUPPLIER: "award", BorneBy.NOBODY: "reissue"}


async def post_credits(
    connection: Connection,
    contract: Contract,
    entry: tuple[EntryKind, str | None, str | None, BorneBy],
    invoice_month: str,
    moved: Iterable[tuple[PostingKey, Share]],
) -> None:
    """Post what institutions owe less (below zero) or more again, and move what is spent of whoever is relieved.

    `entry` is its kind, its document or the month that is being closed, and who bears it.
    """
    moved = list(moved)
    number = await connection.fetchval(_ENTER, *entry)
    borne_by = entry[-1]
    against: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    rows = []
    for key, share in moved:
        against[key.month, key.award] = subtract(against[key.month, key.award], share.amount)
        rows.append(
            f"{number}\tcredited\t{invoice_month}\t{key.month}\t{key.award}\t{key.institution}\t{key.department}"
            f"\t{key.pool}\t{key.item}\t{key.tariff}\t{plain(share.quantity)}\t{plain(share.amount)}\n"
        )
    rows += [
        f"{number}\t{_AGAINST[borne_by]}\t{invoice_month}\t{month}\t{award}\t\t\t\t\t\\N\t0\t{plain(amount)}\n"
        for (month, award), amount in against.items()
    ]
    await copy_in(connection, "posting", sql.POSTING_COLUMNS, "".join(rows).encode(), schema="invoicing")
    if borne_by is not BorneBy.NOBODY:
        amounts = [(key, share.amount) for key, share in moved]
        await spend(connection, contract, relieved(contract, amounts, supplier=borne_by is BorneBy.SUPPLIER))


async def sets_off(
    connection: Connection, invoice_month: str, moved: Mapping[PostingKey, Share]
) -> dict[BorneBy, dict[PostingKey, Decimal]]:
    """Return what is set off on a month's invoices, once its postings are `moved` so: by who bore the credit."""
    credited: dict[PostingKey, list[Credited]] = defaultdict(list)
    due: dict[PostingKey, Decimal] = {}
    for row in await connection.fetch(_CREDITED, invoice_month):
        key = posting_key(row)
        credited[key].append(Credited(BorneBy(row["borne_by"]), row["credited"], row["set_off"]))
        due[key] = add(row["due"], moved[key].amount) if key in moved else row["due"]
    made: dict[BorneBy, dict[PostingKey, Decimal]] = defaultdict(dict)
    for key, each in credited.items():
        for borne_by, amount in set_off(due[key], each).items():
            made[borne_by][key] = amount
    return made


def set_off(due: Decimal, credited: Iterable[Credited]) -> dict[BorneBy, Decimal]:
    """Return by how much what is set off of a line's use changes; below zero where more is due again than was.

    What is paid is what is due less what was credited, but not below zero, nor below what is due where that is less.
    """
    credited = list(credited)
    paid = due
    for each in credited:
        paid = add(paid, each.credited)
    wanted = max(ZERO, subtract(min(ZERO, due), paid))
    made = {}
    for each in credited:
        mine = min(wanted, max(ZERO, opposite(each.credited)))
        wanted = subtract(wanted, mine)
        if mine != each.set_off:
            made[each.borne_by] = subtract(mine, each.set_off)
    return made
