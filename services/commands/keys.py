"""plafond keys: who may push over HTTP."""

import uuid
from typing import Annotated, Any

import typer

from services.commands.servers import DatabaseOption, on_database
from services.contract_store import newest
from services.ingest import keys
from services.output import Column, JsonOption, console, fail, print_json, show
from services.postgres import Connection

app = typer.Typer(help="API keys of the providers that push over HTTP.", no_args_is_help=True)

_LIST = "select key_id, provider, created_at, revoked_at from ingest.api_key order by provider, created_at"


@app.command("create")
def create_key(
    provider: Annotated[str, typer.Argument(help="Whose key it will be.")],
    database_url: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a provider and print it: it is stored only as a hash and can't be shown again.

    Example: `plafond keys create numergy`
    """

    async def work(connection: Connection) -> str:
        stored = await newest(connection)
        if stored is None:
            fail("no contract is applied yet: run `plafond contract apply FILE`")
        if provider not in stored.contract.providers:
            fail(f"the contract knows no provider {provider!r}: one of {', '.join(sorted(stored.contract.providers))}")
        return await keys.create(connection, provider)

    made = on_database(database_url, work)
    if as_json:
        print_json({"provider": provider, "key": made})
    else:
        console.print(made, highlight=False, soft_wrap=True)
        console.print("keep it safe: it can't be shown again", style="dim")


@app.command("list")
def list_keys(database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Show which keys there are, without the keys themselves.

    Example: `plafond keys list`
    """

    async def work(connection: Connection) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(_LIST)]

    columns = [
        Column("key_id", "id"), Column("provider", "provider"), Column("created_at", "created"),
        Column("revoked_at", "revoked"),
    ]  # fmt: skip
    show(on_database(database_url, work), columns, title="API keys", as_json=as_json)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[uuid.UUID, typer.Argument(help="The key's id, as `keys list` shows it.", metavar="KEY_ID")],
    database_url: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Take a key back; the gateway refuses it within two seconds.

    Example: `plafond keys revoke 1b4e28ba-2fa1-11d2-883f-0016d3cca427`
    """
    provider = on_database(database_url, lambda connection: keys.revoke(connection, key_id))
    if provider is None:
        fail(f"there is no valid key {key_id}")
    if as_json:
        print_json({"provider": provider, "revoked": key_id})
    else:
        console.print(f"a key of {provider} is revoked")
