"""What commands say of charges at a rate that is not their month's."""

from collections.abc import Iterable

from services.contract.charges import ProvisionalRate
from services.output import errors


def warn_of_rates(rates: Iterable[ProvisionalRate]) -> None:
    """Say on standard error what is charged at the rate of another month until its own is in the contract."""
    for each in rates:
        errors.print(f"provisional: {each}", style="yellow", markup=False, highlight=False, soft_wrap=True)
