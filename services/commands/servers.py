"""Options and error handling shared by the commands that need a server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import asyncpg
import typer
from aiokafka.errors import KafkaError

from services.contract_store import StoredContract, newest
from services.decisions.enter import RecoveringError
from services.kafka_security import KafkaSettingsError
from services.output import fail
from services.postgres import AddressError, Connection, SchemaError, check_schema, connect

T = TypeVar("T")

DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database-url", envvar="PLAFOND_DATABASE_URL", help="PostgreSQL, like postgresql://user@host/plafond."
    ),
]
KafkaOption = Annotated[
    str,
    typer.Option("--kafka", envvar="PLAFOND_KAFKA", help="Kafka's bootstrap servers, host:port separated by commas."),
]


def on_database(url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run work on a connection to a database of our schema; a server that is away ends the command with status 3."""

    async def session() -> T:
        connection = await connect(url)
        try:
            await check_schema(connection)
            return await work(connection)
        finally:
            await connection.close()

    return run(session())


def on_contract(url: str, work: Callable[[Connection, StoredContract], Awaitable[T]]) -> T:
    """Run work on a database as `on_database`, with the newest contract; where none is applied, the command ends."""

    async def session(connection: Connection) -> T:
        stored = await newest(connection)
        if stored is None:
            fail("no contract is applied yet: run `plafond contract apply FILE`")
        return await work(connection, stored)

    return on_database(url, session)


def run(work: Awaitable[T]) -> T:
    """Run a coroutine; a server that is away or refuses ends the command with status 3, saying which."""

    async def session() -> T:
        return await work

    try:
        return asyncio.run(session())
    except (AddressError, KafkaSettingsError) as error:
        fail(str(error), 2)
    except (SchemaError, RecoveringError) as error:
        fail(str(error), 3)
    except KafkaError as error:
        fail(f"Kafka: {error!r}", 3)
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        fail(f"a server can't be reached: {error}", 3)
    except asyncpg.InvalidCatalogNameError as error:
        fail(f"PostgreSQL: {error}", 3)
