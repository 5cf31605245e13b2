"""The `plafond` command: a line a subcommand, loaded when it is called, so that none waits for what another needs."""

from difflib import get_close_matches
from importlib import import_module, metadata
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "contract": "contract:app",
    "bill": "bill:bill_command",
    "price": "price:price_command",
    "push": "push:push_command",
    "keys": "keys:app",
    "statement": "month:statement_command",
    "months": "months:months_command",
    "close": "close:close_command",
    "invoices": "invoices:app",
    "invoice": "invoice:app",
    "delivery": "delivery:app",
    "ceilings": "month:ceilings_command",
    "alerts": "month:alerts_command",
    "simulate": "simulate:simulate_command",
    "compare": "compare:compare_command",
    "reconcile": "reconcile:reconcile_command",
    "reconcile-missing": "reconcile_missing:reconcile_missing_command",
    "reconcile-usage": "reconcile_usage:reconcile_usage_command",
    "rerate": "rerate:rerate_command",
    "rejections": "rejections:app",
    "parked": "parked:app",
    "explain": "explain:explain_command",
    "audit": "audit:audit_command",
    "demo": "stack:demo_command",
    "up": "stack:up_command",
    "down": "stack:down_command",
    "bench": "bench:bench_command",
    "chaos": "chaos:chaos_command",
    "run": "service:run_service",
    "migrate": "service:migrate_database",
    "topics": "service:topics_app",
    "recover": "recover:recover_command",
}
"""Where each command lies: a module of `services.commands`, and the function or group in it."""


class LazyGroup(TyperGroup):
    """A group that imports a command when it is asked for (click, "Complex Applications": lazily loading commands)."""

    def resolve_command(  # type: ignore[override]
        self, context: typer.Context, words: list[str]
    ) -> tuple[str | None, TyperCommand | TyperGroup | None, list[str]]:
        """Find the command that the first word names; ends the program where there is none, with the likeliest ones."""
        if words[0] not in COMMANDS and (near := get_close_matches(words[0], COMMANDS)):
            context.fail(f"No such command {words[0]!r}. Did you mean {' or '.join(near)}?")
        return super().resolve_command(context, words)  # type: ignore[return-value]

    def list_commands(self, _context: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the commands' names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, _context: typer.Context, name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        """Load a command; None where there is no such."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        found = getattr(import_module(f"services.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = name
            return group
        alone = typer.Typer(rich_markup_mode="markdown")
        alone.command(name)(found)
        return typer.main.get_group(alone).commands[name]  # type: ignore[return-value]


app = typer.Typer(
    name="plafond",
    help="Metering and chargeback billing for framework contracts.",
    cls=LazyGroup,
    no_args_is_help=True,
    invoke_without_command=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plafond {metadata.version('plafond')}")
        raise typer.Exit


@app.callback()
def plafond(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Metering and chargeback billing for framework contracts."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
