"""plafond audit."""

from typing import Annotated

import typer

from services.audit.run import BREACHES_SHOWN, audit
from services.commands.servers import DatabaseOption, KafkaOption, on_database
from services.output import Column, JsonOption, console, print_json, show


def audit_command(
    database_url: DatabaseOption,
    kafka: KafkaOption = "localhost:9092",
    wait: Annotated[float, typer.Option(help="Seconds to wait for what is under way.")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Check that nothing is lost, doubled or off: exit status 1 names every identity that breaks.

    Example: `plafond audit --wait 60`
    """
    findings = on_database(database_url, lambda connection: audit(connection, kafka, wait))
    broken = [finding for finding in findings if finding.breaches]
    if as_json:
        print_json({"clean": not broken, "identities": {each.identity: list(each.breaches) for each in findings}})
    else:
        rows = [
            {"identity": each.identity, "verdict": f"broken, {len(each.breaches)} times" if each.breaches else "holds"}
            for each in findings
        ]
        show(rows, [Column("identity", "identity"), Column("verdict", "verdict")], title="Audit")
        for each in broken:
            console.print(f"\n{each.identity}", style="bold red", markup=False)
            for breach in each.breaches[:BREACHES_SHOWN]:
                console.print(f"  {breach}", markup=False, highlight=False, soft_wrap=True)
            if len(each.breaches) > BREACHES_SHOWN:
                console.print(f"  and {len(each.breaches) - BREACHES_SHOWN} more")
        verdict = (
            f"{len(broken)} of {len(findings)} identities break"
            if broken
            else f"clean: all {len(findings)} identities hold"
        )
        console.print(verdict, style="bold red" if broken else "bold green")
    if broken:
        raise typer.Exit(1)
