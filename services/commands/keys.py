"""plafond keys: who may push over HTTP as a provider, and who may fetch an institution's documents."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

import typer

from services import keys
from services.commands.servers import DatabaseOption, on_contract, on_database
from services.contract_store import StoredContract
from services.output import Column, JsonOption, console, fail, print_json, show
from services.postgres import Connection

app = typer.Typer(
    help="API keys: of providers that push usage, and of institutions that fetch their documents.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


InstitutionOption = Annotated[str | None, typer.Option(help="Instead: the institution whose key it will be.")]
DaysOption = Annotated[int | None, typer.Option(min=1, help="After how many days it ends; never if not given.")]


@app.command("create")
def create_key(
    database_url: DatabaseOption,
    provider: Annotated[str | None, typer.Argument(help="The provider whose key it will be.")] = None,
    institution: InstitutionOption = None,
    days: DaysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it: it is stored only as a hash and can't be shown again.

    A provider's key pushes usage and reads its rejections; an institution's fetches its own invoices and credit notes.
    Two can be valid at a time.

    Examples: `plafond keys create numergy --days 365`, `plafond keys create --institution EP`
    """
    make = partial(keys.create, valid=_days(days))
    _make(database_url, provider, institution, make, as_json=as_json)


@app.command("rotate")
def rotate_key(
    database_url: DatabaseOption,
    provider: Annotated[str | None, typer.Argument(help="The provider whose key it will be.")] = None,
    institution: InstitutionOption = None,
    overlap_days: Annotated[int, typer.Option(min=0, help="How long the key before goes on.")] = 7,
    days: DaysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the next key and print it; the one before goes on for some days, so that nobody is locked out meanwhile.

    Examples: `plafond keys rotate numergy`, `plafond keys rotate --institution EP --overlap-days 30 --days 365`
    """
    make = partial(keys.rotate, overlap=timedelta(days=overlap_days), valid=_days(days))
    _make(database_url, provider, institution, make, as_json=as_json)


def _days(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _make(
    database_url: str,
    provider: str | None,
    institution: str | None,
    make: Callable[..., Awaitable[str]],
    *,
    as_json: bool,
) -> None:
    """Make a key for whoever is named, and print it."""
    if (provider is None) is (institution is None):
        fail("name a PROVIDER or an --institution", 2)

    async def work(connection: Connection, stored: StoredContract) -> str:
        contract = stored.contract
        if provider is not None:
            _refuse_unknown("provider", provider, contract.providers)
            return await make(connection, provider, keys.PROVIDERS)
        assert institution is not None, "one of them is given"
        _refuse_unknown("institution", institution, contract.institutions)
        return await make(connection, institution, keys.INSTITUTIONS)

    try:
        made = on_contract(database_url, work)
    except keys.TooManyKeysError as error:
        fail(str(error))
    if as_json:
        owner = {"provider": provider} if provider else {"institution": institution}
        print_json({**owner, "key": made})
    else:
        console.print(made, highlight=False, soft_wrap=True)
        console.print("keep it safe: it can't be shown again", style="dim")


def _refuse_unknown(what: str, name: str, known: Any) -> None:
    if name not in known:
        fail(f"the contract knows no {what} {name!r}: one of {', '.join(sorted(known))}")


@app.command("list")
def list_keys(database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Show which keys there are, without the keys themselves.

    Example: `plafond keys list`
    """

    async def work(connection: Connection) -> list[dict[str, Any]]:
        kinds = (keys.PROVIDERS, keys.INSTITUTIONS)
        return [dict(row) for kind in kinds for row in await connection.fetch(kind.listed)]

    columns = [
        Column("key_id", "id"), Column("provider", "provider"), Column("institution", "institution"),
        Column("created_at", "created"), Column("expires_at", "ends"), Column("revoked_at", "revoked"),
    ]  # fmt: skip
    show(on_database(database_url, work), columns, title="API keys", as_json=as_json)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[uuid.UUID, typer.Argument(help="The key's id, as `keys list` shows it.", metavar="KEY_ID")],
    database_url: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Take a key back; it is refused within two seconds.

    Example: `plafond keys revoke 1b4e28ba-2fa1-11d2-883f-0016d3cca427`
    """

    async def work(connection: Connection) -> dict[str, str] | None:
        if provider := await keys.revoke(connection, key_id):
            return {"provider": provider}
        institution = await keys.revoke(connection, key_id, keys.INSTITUTIONS)
        return {"institution": institution} if institution else None

    owner = on_database(database_url, work)
    if owner is None:
        fail(f"there is no valid key {key_id}")
    if as_json:
        print_json({**owner, "revoked": key_id})
    else:
        console.print(f"a key of {' '.join(owner.values())} is revoked", highlight=False)
