"""plafond contract: checking, applying and showing the contract."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from services import contract_store
from services.commands.contract_data import as_data, print_contract, summary, without_e_invoices
from services.commands.dry_run import try_out
from services.commands.rates import rates_command
from services.commands.servers import DatabaseOption, on_database
from services.contract.load import FILE_BYTES_MAX, load
from services.contract.model import Contract
from services.contract.problems import Problem
from services.contract_store import ContractError, StoredContract, Version
from services.output import Column, JsonOption, console, counted, fail, print_json, show
from services.postgres import Connection

T = TypeVar("T")

app = typer.Typer(help="The contract: what was agreed.", no_args_is_help=True)
FileArgument = Annotated[str, typer.Argument(help="The contract file; - for standard input.", metavar="FILE")]
OptionalDatabase = Annotated[
    str | None,
    typer.Option(
        "--database-url", envvar="PLAFOND_DATABASE_URL", help="PostgreSQL, like postgresql://user@host/plafond."
    ),
]
_VERSIONS = [
    Column("version", "version", right=True), Column("code", "code"), Column("applied_at", "applied"),
    Column("applied_by", "by"), Column("sha256", "SHA-256", cut=True),
]  # fmt: skip


@app.command("check")
def check_command(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a contract file as a whole; every mistake is shown, with its place and what would be right.

    Exit status 0: the contract holds together; 1: it has mistakes; 2: the file can't be read.

    Examples:

    `plafond contract check deploy/contracts/cloud-i.toml`

    `plafond contract check - --json < draft.toml`
    """
    contract = _contract(file, as_json=as_json)
    if as_json:
        print_json({"ok": True, **summary(contract)})
        return
    console.print(f"{file}: the contract holds together", style="green", highlight=False)
    _print_summary(contract)


@app.command("apply")
def apply_command(
    file: FileArgument,
    database_url: DatabaseOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show in which months, and for whom, what would move.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Store a contract file as the newest version, which services take up within seconds.

    A file with mistakes, or one that would change what was priced already, changes nothing (exit status 1); the same
    file again makes no new version. With --dry-run, by month of use and institution, what is owed now in all and what
    would be then: of a file that can be applied what it moves, of another what usage that was priced would cost, which
    a re-rating could post. What has no price there is named.

    Examples:

    `plafond contract apply deploy/contracts/cloud-i.toml`

    `plafond contract apply cloud-i.toml --dry-run --database-url postgresql://plafond@db/plafond`
    """
    text = _text(file, as_json=as_json)
    if dry_run:
        problems = _or_problems(file, lambda: try_out(file, text, database_url, as_json=as_json), as_json=as_json)
        if problems:
            _refuse(file, problems, as_json=False)
        return

    async def work(connection: Connection) -> StoredContract:
        return await contract_store.apply(connection, text)

    stored = _or_problems(file, lambda: on_database(database_url, work), as_json=as_json)
    if as_json:
        print_json({"ok": True, "version": stored.version, "already": stored.already, **summary(stored.contract)})
        return
    done = "was applied already as" if stored.already else "is applied as"
    console.print(f"{stored.contract.code} {done} version {stored.version}", style="green", highlight=False)
    _print_summary(stored.contract)


app.command("rates")(rates_command)


@app.command("show")
def show_command(
    file: Annotated[
        str | None,
        typer.Argument(help="A contract file, - for standard input; without it, the applied one.", metavar="[FILE]"),
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="An applied version; else the newest.")] = None,
    database_url: OptionalDatabase = None,
    as_json: JsonOption = False,
) -> None:
    """Show a contract: phases, lots, awards, prices, institutions, pools.

    Examples:

    `plafond contract show deploy/contracts/cloud-i.toml`

    `plafond contract show --version 2 --json`
    """
    if file is not None:
        if version is not None:
            fail("give a FILE or --version, not both", 2)
        number, contract = None, _contract(file, as_json=as_json)
    elif database_url:
        stored = _or_problems("the database", lambda: _applied(database_url, version), as_json=as_json)
        number, contract = stored.version, stored.contract
    else:
        fail("give a FILE, or say with --database-url (PLAFOND_DATABASE_URL) where the applied contract is", 2)
    if as_json:
        print_json({"version": number, **as_data(contract)})
    else:
        print_contract(contract, number)


@app.command("versions")
def versions_command(database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """List the versions that were applied, oldest first.

    Example: `plafond contract versions`
    """

    async def work(connection: Connection) -> list[Version]:
        return await contract_store.versions(connection)

    rows = [
        {
            "version": each.version, "code": each.code, "applied_at": each.applied_at,
            "applied_by": each.applied_by, "sha256": each.sha256,
        }
        for each in on_database(database_url, work)
    ]  # fmt: skip
    show(rows, _VERSIONS, title="Applied versions", as_json=as_json)


def _text(file: str, *, as_json: bool) -> str:
    """Read a file, no more of it than a contract may have."""
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        fail(f"{file}: can't be read: {error.strerror}", 2)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{raw[error.start]:02x}, which no UTF-8 text has there"
        _refuse(file, [Problem(f"line {line}", found, "UTF-8 text")], as_json=as_json)


def _contract(file: str, *, as_json: bool) -> Contract:
    loaded = load(_text(file, as_json=as_json))
    if not isinstance(loaded, Contract):
        _refuse(file, loaded, as_json=as_json)
    return loaded


def _applied(database_url: str, version: int | None) -> StoredContract:
    async def work(connection: Connection) -> StoredContract | None:
        if version is None:
            return await contract_store.newest(connection)
        return StoredContract(version, await contract_store.load_version(connection, version))

    try:
        stored = on_database(database_url, work)
    except LookupError as error:
        fail(str(error))
    if stored is None:
        fail("no contract is applied yet: run `plafond contract apply FILE`")
    return stored


def _or_problems(where: str, work: Callable[[], T], *, as_json: bool) -> T:
    try:
        return work()
    except ContractError as error:
        _refuse(where, error.problems, as_json=as_json)


def _refuse(where: str, problems: list[Problem], *, as_json: bool) -> NoReturn:
    """Show the mistakes and end with status 1."""
    rows = [{"place": each.place, "found": each.found, "wanted": each.wanted} for each in problems]
    if as_json:
        print_json({"ok": False, "problems": rows})
    else:
        console.print(f"{where}: {counted(len(rows), 'mistake')}", style="bold", markup=False, highlight=False)
        for row in rows:
            console.print(row["place"], style="red", markup=False, highlight=False, soft_wrap=True)
            console.print(f"    found  {row['found']}", markup=False, highlight=False, soft_wrap=True)
            console.print(f"    wanted {row['wanted']}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _print_summary(contract: Contract) -> None:
    found: dict[str, Any] = summary(contract)
    for name, value in found.items():
        if name in {"counts", "ceilings"}:
            show([{"what": key, "value": each} for key, each in value.items()],
                 [Column("what", name), Column("value", "", right=True)], title="")  # fmt: skip
        elif name != "e_invoices":
            console.print(f"{name}: {value}", highlight=False)
    if said := without_e_invoices(contract):
        console.print(f"note: {said}", style="yellow", highlight=False, soft_wrap=True)
