"""The folder of made documents, which deliveries and downloads are read from.

Law: nothing leaves it that is not, to the byte, what the ledger has the SHA-256 of. It may be emptied at any time: what
is missing is made again from the ledger.
"""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from services.apart import run_apart
from services.documents.files import digest_of
from services.postgres import Connection

log = structlog.get_logger()

_ISSUED = """
select month, count(*) as issued from invoicing.issued group by month order by month desc
"""
_RECORDED = "select form, sha256 from invoicing.document where month = $1 and name = $2"
_VERSION = "select coalesce(max(version), 0) from contract.version"


class MissingError(Exception):
    """A file does not lie in the folder as it is in the ledger; the message names it."""


class _Stand(NamedTuple):
    """What a month's documents are made of: how many were issued, and the contract that says who is who."""

    issued: int
    version: int


class Documents:
    """The folder; what is missing is made by a process of its own, since a large month takes its time and memory."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self._database_url = database_url
        self._stands: dict[str, _Stand] = {}

    async def make(self, connection: Connection) -> None:
        """Make what was issued since the last time, and all that is missing the first time, the newest month first."""
        version = await connection.fetchval(_VERSION)
        for row in await connection.fetch(_ISSUED):
            stand = _Stand(row["issued"], version)
            if self._stands.get(row["month"]) != stand and await self._export(row["month"]):
                self._stands[row["month"]] = stand

    def forget(self, month: str) -> None:
        """Look again, the next time, at what of a month lies there."""
        self._stands.pop(month, None)

    def path(self, institution: str, number: str, form: str) -> Path:
        """Return where a file of a document lies."""
        return self.folder / institution / f"{number}.{form}"

    async def read(
        self, connection: Connection, month: str, institution: str, number: str, forms: Collection[str]
    ) -> dict[str, bytes]:
        """Return a document's files by form; raises MissingError, and has the month made again."""
        recorded = {row["form"]: row["sha256"] for row in await connection.fetch(_RECORDED, month, number)}
        wanted = {form: recorded.get(form) for form in forms}
        return await asyncio.to_thread(self._read, month, institution, number, wanted)

    def _read(
        self, month: str, institution: str, number: str, recorded: Mapping[str, bytes | None]
    ) -> dict[str, bytes]:
        found = {}
        for form, digest in recorded.items():
            path = self.path(institution, number, form)
            if digest is None or digest_of(path) != digest:
                self.forget(month)
                raise MissingError(f"{path.name} is not made yet")
            found[form] = path.read_bytes()
        return found

    async def _export(self, month: str) -> bool:
        """Have a month's missing documents made; tell whether that was done, though some may lack something."""
        words = ("invoices", "export", "--month", month, "--out", str(self.folder), "--only-missing", "--json")
        done = await run_apart(self._database_url, *words)
        if done.status not in {0, 1}:
            log.warning("documents.not_made", month=month, error=done.said)
            return False
        return True
