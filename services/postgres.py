"""PostgreSQL: connecting, and the forward-only migrations.

Every service owns one schema and writes no other. Migrations are the numbered files beside
`services/migrations`; each runs once, in order, in one transaction, under an advisory lock.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
"""A connection of one's own, or one borrowed from a pool."""

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_051_960
IDLE_IN_TRANSACTION_MS_MAX = 8_000
"""A service that is paused in the middle of a transaction would keep its locks from its successor for as long; between
two statements a service works for milliseconds. Commands may take longer, and have no successor."""
TRANSIENT = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when the connection is lost in the middle of a statement
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""Errors that go away when the same work is tried again: the server is away, starting, full, or ended a deadlock."""


class AddressError(ValueError):
    """What should say where the database is does not."""


class SchemaError(Exception):
    """The database is not at the migration this program was made for."""


def database_url() -> str:
    """Return PLAFOND_DATABASE_URL; raises SchemaError naming it when it is not set."""
    url = os.environ.get("PLAFOND_DATABASE_URL")
    if not url:
        raise SchemaError("PLAFOND_DATABASE_URL is not set: give it like postgresql://user:password@host:5432/plafond")
    return url


async def connect(url: str, **options: Any) -> asyncpg.Connection:
    """Open one connection; times are UTC. Raises AddressError where the URL is none."""
    settings = _settings(options.pop("name", "plafond"))
    try:
        return await asyncpg.connect(url, timeout=10, server_settings=settings, **options)
    except ValueError as error:
        raise _no_address(error) from error


async def open_pool(
    url: str, name: str, *, size: int = 4, first: str = "", idle_ms_max: int = IDLE_IN_TRANSACTION_MS_MAX
) -> asyncpg.Pool:
    """Open a pool of connections under an application name; `first` is run on each of them when it is made.

    A transaction in which nothing comes for `idle_ms_max` is ended by the server; 0 is for ever.
    """

    async def begin(connection: asyncpg.Connection) -> None:
        if first:
            await connection.execute(first)

    settings = _settings(name) | {"idle_in_transaction_session_timeout": str(idle_ms_max)}
    try:
        return await asyncpg.create_pool(
            url, min_size=1, max_size=size, timeout=10, server_settings=settings, init=begin
        )
    except ValueError as error:
        raise _no_address(error) from error


def _no_address(error: ValueError) -> AddressError:
    return AddressError(
        f"the database's URL can't be used ({error}): give --database-url or PLAFOND_DATABASE_URL like "
        "postgresql://user:password@host:5432/plafond"
    )


async def copy_in(
    connection: Connection, table: str, columns: Sequence[str], rows: bytes, *, schema: str | None = None
) -> str:
    """Copy rows in COPY's text form into a table and return the command's tag.

    asyncpg takes bytes for a file's name and keeps a file-like object, with all it holds, in a reference cycle; a view
    it sends as it is.
    """
    source: Any = memoryview(rows)
    tag: str = await connection.copy_to_table(table, schema_name=schema, columns=columns, source=source)
    return tag


def _settings(name: str) -> dict[str, str]:
    return {"application_name": name, "timezone": "UTC", "jit": "off"}


def known_migrations() -> dict[int, Path]:
    """Return this program's migrations by number."""
    return {int(path.name[:4]): path for path in sorted(MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))}


async def migrate(connection: Connection) -> list[str]:
    """Bring the database up to date and return the names of the migrations that ran."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "create table if not exists public.plafond_migration ("
            "number int primary key, name text not null, at timestamptz not null default now())"
        )
        done = await _applied(connection)
        _refuse_newer(done)
        ran = []
        for number, path in known_migrations().items():
            if number not in done:
                await connection.execute(path.read_text("utf-8"))
                await connection.execute(
                    "insert into public.plafond_migration (number, name) values ($1, $2)", number, path.stem
                )
                ran.append(path.stem)
    return ran


async def check_schema(connection: Connection) -> None:
    """Raise SchemaError unless the database is exactly at this program's migrations."""
    exists = await connection.fetchval("select to_regclass('public.plafond_migration') is not null")
    done = await _applied(connection) if exists else set()
    _refuse_newer(done)
    missing = sorted(set(known_migrations()) - done)
    if missing:
        raise SchemaError(f"the database lacks migrations {missing}: run `plafond migrate`")


async def wait_until_ready(url: str, seconds: float = 60) -> None:
    """Wait until the server answers and its schema is ours; raises the last error when it takes too long."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            connection = await connect(url)
            try:
                await check_schema(connection)
            finally:
                await connection.close()
        except (*TRANSIENT, SchemaError, TimeoutError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def _applied(connection: Connection) -> set[int]:
    return {row["number"] for row in await connection.fetch("select number from public.plafond_migration")}


def _refuse_newer(done: set[int]) -> None:
    newer = sorted(done - set(known_migrations()))
    if newer:
        raise SchemaError(f"the database has migrations {newer} that this program does not know: run a newer one")
