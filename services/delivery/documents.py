"""The folder of made documents, which deliveries and downloads are read from.

Law: nothing leaves it that is not, to the byte, what the ledger has the SHA-256 of. It may be emptied at any time: what
is missing is made again from the ledger.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from prometheus_client import Gauge

from services.apart import Done, run_apart
from services.documents.files import digest_of
from services.postgres import Connection

AGAIN_SECONDS = 30.0
"""So long it takes until a month is tried again whose files can't be made."""
NOT_MADE = Gauge("plafond_documents_not_made", "Documents that were issued and can't be made; 0 is right.")

log = structlog.get_logger()

_ISSUED = "select month, count(*) as issued from invoicing.issued group by month order by month desc"
_MADE = """
select number, institution, form, sha256
from invoicing.issued left join invoicing.document on document.month = issued.month and name = number
where issued.month = $1
"""
_RECORDED = "select form, sha256 from invoicing.document where month = $1 and name = $2"
_VERSION = "select coalesce(max(version), 0) from contract.version"


class MissingError(Exception):
    """A file does not lie in the folder as it is in the ledger; the message names it."""


@dataclass(frozen=True, slots=True)
class _Stand:
    """How a month stood when its files were last looked at: how many documents were issued, and which can't be made.

    Where some can't, another contract `version` may help, and after `AGAIN_SECONDS` it is tried again what went wrong.
    """

    issued: int
    lacking: Mapping[str, str]
    version: int
    looked_at: float
    failed: bool = False

    def holds(self, issued: int, version: int, now: float) -> bool:
        """Tell whether nothing is to be done."""
        if self.failed:
            return now < self.looked_at + AGAIN_SECONDS
        return self.issued == issued and (not self.lacking or self.version == version)


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
            month, issued, now = row["month"], row["issued"], time.monotonic()
            stand = self._stands.get(month)
            if stand is not None and stand.holds(issued, version, now):
                continue
            if await self._is_complete(connection, month):
                self._stands[month] = _Stand(issued, {}, version, now)
            else:
                self._stands[month] = await self._export(month, issued, version)
        NOT_MADE.set(sum(len(each.lacking) for each in self._stands.values()))

    @property
    def lacking(self) -> dict[str, str]:
        """What can't be made, by number (or month, where that is all there is), and why."""
        return {number: why for stand in self._stands.values() for number, why in stand.lacking.items()}

    def path(self, institution: str, number: str, form: str) -> Path:
        """Return where a file of a document lies."""
        return self.folder / institution / f"{number}.{form}"

    async def read(
        self, connection: Connection, month: str, institution: str, number: str, forms: Collection[str] = ()
    ) -> dict[str, bytes]:
        """Return a document's files by form, all where none is named.

        Raises MissingError, and has the month looked at again.
        """
        recorded = {row["form"]: row["sha256"] for row in await connection.fetch(_RECORDED, month, number)}
        if not recorded:
            raise MissingError(f"{number} is not made yet")
        wanted = {form: recorded.get(form) for form in forms or recorded}
        return await asyncio.to_thread(self._read, month, institution, number, wanted)

    def _read(
        self, month: str, institution: str, number: str, recorded: Mapping[str, bytes | None]
    ) -> dict[str, bytes]:
        found = {}
        for form, digest in recorded.items():
            path = self.path(institution, number, form)
            if digest is None:
                raise MissingError(f"{path.name} is not made yet")
            if digest_of(path) != digest:
                self._look_again(month)
                raise MissingError(f"{path.name} is not in the folder as it was made")
            found[form] = path.read_bytes()
        return found

    def _look_again(self, month: str) -> None:
        """Have a month looked at again, unless that has just been done and failed."""
        stand = self._stands.get(month)
        if stand is not None and not stand.failed:
            del self._stands[month]

    async def _is_complete(self, connection: Connection, month: str) -> bool:
        """Tell whether all files of a month that were made before lie there, and every document was."""
        rows = await connection.fetch(_MADE, month)
        return await asyncio.to_thread(
            lambda: all(
                row["sha256"] is not None
                and digest_of(self.path(row["institution"], row["number"], row["form"])) == row["sha256"]
                for row in rows
            )
        )

    async def _export(self, month: str, issued: int, version: int) -> _Stand:
        """Have a month's missing documents made."""
        words = ("invoices", "export", "--month", month, "--out", str(self.folder), "--only-missing", "--json")
        done = await run_apart(self._database_url, *words)
        lacking, failed = _lacking(done, month)
        if failed or lacking:
            log.warning("documents.not_made", month=month, lacking=lacking)
        return _Stand(issued, lacking, version, time.monotonic(), failed)


def _lacking(done: Done, month: str) -> tuple[dict[str, str], bool]:
    """Return what could not be made and why, and whether something went wrong that another try may find mended."""
    if not done.answer.strip():
        return ({month: done.said}, True) if done.status else ({}, False)
    invoices = msgspec.json.decode(done.answer)["invoices"]
    lacking = {each["number"]: "; ".join(each["problems"]) for each in invoices if each["problems"]}
    return lacking, done.status not in {0, 1}
