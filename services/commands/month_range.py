"""The months that are given to commands: their form, and that the contract runs in them."""

from datetime import timedelta

from services.contract.model import Contract
from services.contract.months import first_day, month_of, months_between
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


def refuse_outside(contract: Contract, *months: str) -> None:
    """End the command where the contract does not run in a month: a slip must not look as if nothing were due."""
    for month in months:
        if is_outside(contract, month):
            last = contract.ends - timedelta(days=1)
            fail(f"the contract does not run in {month}: it runs from {contract.starts} to {last}")


def is_outside(contract: Contract, month: str) -> bool:
    """Tell whether a month is none of the contract's."""
    return not month_of(contract.starts) <= month <= month_of(contract.ends - timedelta(days=1))
