"""plafond close, statement, ceilings, alerts: what finance and the coordinator ask for."""

from typing import Annotated

import typer

MonthArgument = Annotated[str, typer.Argument(help="The month, like 2016-03.", metavar="MONTH")]
InstitutionOption = Annotated[str | None, typer.Option(help="Only this institution.")]
