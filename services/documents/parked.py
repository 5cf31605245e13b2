"""Invoices whose documents can't be made: parked with what they lack, until an export writes them.

Law: of a number at most one entry is open, and it says what is lacking now; nothing that was said is ever taken away.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.postgres import Connection

# What is lacking by now may be something else: then the entry before is resolved by the new one.
_RESOLVE = """
update invoicing.parked_document as parked set resolved_at = now()
from unnest($1::text[], $2::text[]) as said(number, problems)
where parked.number = said.number and resolved_at is null
      and array_to_string(parked.problems, E'\\n') is distinct from said.problems
"""
_PARK = """
insert into invoicing.parked_document (month, number, institution, problems)
select $1, number, institution, string_to_array(problems, E'\\n')
from unnest($2::text[], $3::text[], $4::text[]) as said(number, institution, problems)
where problems <> '' on conflict (number) where resolved_at is null do nothing
"""
_PARKED = """
select month, number, institution, problems, parked_at, resolved_at
from invoicing.parked_document where resolved_at is null or $1 order by parked
"""


class Parked(NamedTuple):
    """A number whose documents can't be made; `resolved_at` is when they were, or when something else was lacking."""

    month: str
    number: str
    institution: str
    problems: Sequence[str]
    parked_at: datetime
    resolved_at: datetime | None


async def park(connection: Connection, month: str, lacking: Mapping[tuple[str, str], Sequence[str]]) -> None:
    """Say what documents lack, by number and institution; those that lack nothing are resolved."""
    numbers = [number for number, _ in lacking]
    institutions = [institution for _, institution in lacking]
    problems = ["\n".join(each.replace("\n", " ") for each in said) for said in lacking.values()]
    async with connection.transaction():
        await connection.execute(_RESOLVE, numbers, problems)
        await connection.execute(_PARK, month, numbers, institutions, problems)


async def parked(connection: Connection, *, resolved: bool = False) -> list[Parked]:
    """Return what is parked, the oldest first; with `resolved`, also what was."""
    return [Parked(**row) for row in await connection.fetch(_PARKED, resolved)]
