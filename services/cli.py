"""The `plafond` command: a line a subcommand."""

import typer

from services.commands import contract

app = typer.Typer(
    name="plafond",
    help="Metering and chargeback billing for framework contracts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
app.add_typer(contract.app, name="contract")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
