"""Documents over HTTP: an institution lists and fetches its own, with a key of its own.

Law: whose key it is decides what is there; what is another's is answered as what does not exist. A file's ETag is its
SHA-256 in the ledger, so what has not changed is not sent again, and what is fetched can be checked.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import asyncpg
import msgspec
from fastapi import FastAPI, Query, Request, Response

from services.delivery.documents import Documents, MissingError
from services.keys import KeyRing
from services.postgres import TRANSIENT
from services.web import PROBLEM, Problem, application, declare_key, owner_of_key

MEDIA_TYPES = {
    "pdf": "application/pdf",
    "xml": "application/xml",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}
"""By the last ending of a file's name."""
MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"

# The first form of a document is made with all others, so a number without any is not made yet.
_LIST = """
select number, issued.month, issued_at, total, corrects, form, sha256
from invoicing.issued left join invoicing.document on document.month = issued.month and name = number
where institution = $1 and ($2::text is null or issued.month = $2)
order by issued_at desc, number desc, form
"""
_FILE = """
select issued.month, sha256
from invoicing.issued left join invoicing.document on document.month = issued.month and name = number and form = $3
where institution = $1 and number = $2
"""
_DOWNLOADED = "insert into delivery.download (institution, number, form, sha256) values ($1, $2, $3, $4)"
_RESPONSES: dict[int | str, dict[str, Any]] = {
    304: {"description": "You have it already: its ETag is the one in If-None-Match."},
    401: {"description": "No valid API key.", "content": PROBLEM},
    404: {"description": "You have no such document.", "content": PROBLEM},
    503: {
        "description": "Not made yet, or can't be read now; ask again later.",
        "content": PROBLEM,
    },
}


class _File(NamedTuple):
    month: str
    sha256: bytes


def downloads(ring: KeyRing, pool: asyncpg.Pool, documents: Documents) -> FastAPI:
    """Make the application."""
    app = application("Plafond documents")
    desk = Desk(ring, pool, documents)
    app.add_api_route(
        "/v1/documents", desk.listed, methods=["GET"], summary="Your invoices and credit notes",
        responses={401: _RESPONSES[401], 503: _RESPONSES[503]},
    )  # fmt: skip
    app.add_api_route(
        "/v1/documents/{number}/{form}", desk.fetch, methods=["GET"], summary="A file of a document",
        responses=_RESPONSES,
    )  # fmt: skip
    app.add_api_route("/v1/documents/{number}/{form}", desk.fetch, methods=["HEAD"], include_in_schema=False)
    declare_key(app, "institution")
    return app


class Desk:
    """Answers institutions."""

    def __init__(self, ring: KeyRing, pool: asyncpg.Pool, documents: Documents) -> None:
        self._ring, self._pool, self._documents = ring, pool, documents

    async def listed(self, request: Request, month: Annotated[str | None, Query(pattern=MONTH)] = None) -> Response:
        """Return the institution's documents, the newest first, each with its files; `month` has those of one."""
        institution = await owner_of_key(request, self._ring, self._pool, "institution")
        try:
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(_LIST, institution, month)
        except TRANSIENT as error:
            raise _away() from error
        return Response(msgspec.json.encode({"documents": _documents(rows)}), media_type="application/json")

    async def fetch(self, request: Request, number: str, form: str) -> Response:
        """Return a file, like `CLOUD-I-2016-000012/pdf`, with its SHA-256 as ETag."""
        institution = await owner_of_key(request, self._ring, self._pool, "institution")
        if not number.isprintable() or not form.isprintable():  # PostgreSQL takes no NUL
            raise Problem(404, "No such document", "GET /v1/documents lists yours.")
        try:
            return await self._fetch(request, institution, number, form)
        except TRANSIENT as error:
            raise _away() from error

    async def _fetch(self, request: Request, institution: str, number: str, form: str) -> Response:
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_FILE, institution, number, form)
            if row is None:
                raise Problem(404, "No such document", "GET /v1/documents lists yours.")
            if row["sha256"] is None:
                raise await self._none(connection, institution, number, form)
            file = _File(row["month"], row["sha256"])
            headers = _headers(file, number, form)
            if _has_it(request.headers.get("if-none-match", ""), headers["ETag"]):
                return Response(status_code=304, headers={"ETag": headers["ETag"]})
            try:
                found = await self._documents.read(connection, file.month, institution, number, [form])
            except MissingError as error:
                raise _not_made() from error
            if request.method == "GET":
                await connection.execute(_DOWNLOADED, institution, number, form, file.sha256)
        return Response(found[form], media_type=MEDIA_TYPES[form.rpartition(".")[2]], headers=headers)

    async def _none(self, connection: Any, institution: str, number: str, form: str) -> Problem:
        """Return what is said of a file that the ledger does not have."""
        rows = await connection.fetch(_LIST, institution, None)
        forms = [row["form"] for row in rows if row["number"] == number and row["form"]]
        if not forms:
            return _not_made()
        return Problem(404, "No such file", f"{number} has no {form[:50]!r}, but: {', '.join(forms)}.")


def _documents(rows: list[asyncpg.Record]) -> list[Mapping[str, Any]]:
    documents: dict[str, dict[str, Any]] = {}
    for row in rows:
        number = row["number"]
        document = documents.setdefault(
            number,
            {"number": number, "document": "credit note" if row["total"] < 0 else "invoice", "month": row["month"],
             "issued_at": row["issued_at"], "corrects": row["corrects"], "files": []},
        )  # fmt: skip
        if row["form"] is not None:
            href = f"/v1/documents/{number}/{row['form']}"
            document["files"].append({"form": row["form"], "href": href, "sha256": row["sha256"].hex()})
    return list(documents.values())


def _headers(file: _File, number: str, form: str) -> dict[str, str]:
    return {
        "ETag": f'"{file.sha256.hex()}"',
        "Repr-Digest": f"sha-256=:{b64encode(file.sha256).decode()}:",  # RFC 9530
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{number}.{form}"',
    }


def _has_it(if_none_match: str, etag: str) -> bool:
    """Tell whether a condition names an ETag (RFC 9110, 13.1.2: any, or one of a list, weak or not)."""
    named = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return "*" in named or etag in named


def _not_made() -> Problem:
    return Problem(503, "Not made yet", "The file is being made, or the document lacks something: ask again later.")


def _away() -> Problem:
    return Problem(503, "Can't be read now", "The database does not answer.")
