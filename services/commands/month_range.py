"""The months from --from to --to."""

from services.contract.months import first_day, months_between
from services.output import fail


def months_given(first: str, last: str) -> list[str]:
    """Return the months from the first to the last; ends the command where they are none."""
    try:
        first_day(first), first_day(last)
    except ValueError as error:
        fail(str(error), 2)
    if last < first:
        fail(f"--to {last} is before --from {first}", 2)
    return months_between(first, last)
