"""The `plafond` command: a line a subcommand."""

import typer

from services.commands import (
    audit,
    bench,
    bill,
    chaos,
    contract,
    explain,
    keys,
    month,
    price,
    push,
    rejections,
    service,
    stack,
)

app = typer.Typer(
    name="plafond",
    help="Metering and chargeback billing for framework contracts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
app.add_typer(contract.app, name="contract")
app.command("bill")(bill.bill_command)
app.command("price")(price.price_command)
app.command("push")(push.push_command)
app.add_typer(keys.app, name="keys")
app.command("statement")(month.statement_command)
app.command("close")(month.close_command)
app.command("ceilings")(month.ceilings_command)
app.command("alerts")(month.alerts_command)
app.add_typer(rejections.app, name="rejections")
app.command("explain")(explain.explain_command)
app.command("audit")(audit.audit_command)
app.command("demo")(stack.demo_command)
app.command("up")(stack.up_command)
app.command("down")(stack.down_command)
app.command("bench")(bench.bench_command)
app.command("chaos")(chaos.chaos_command)
app.command("run")(service.run_service)
app.command("migrate")(service.migrate_database)
app.add_typer(service.topics_app, name="topics")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
