"""What commands say of usage for which another contract has no price."""

from collections.abc import Iterable
from typing import Any

from services.contract.model import payer
from services.contract.money import plain
from services.invoicing.used import Unpriced
from services.output import errors


def say_unpriced(found: Iterable[Unpriced]) -> None:
    """Say on standard error which usage has no price, and is in no sum."""
    for each in found:
        what = f"{plain(each.quantity)} of {each.item} by {each.subject} in {each.month}"
        errors.print(
            f"no price under {each.award}, left out: {what}", style="red", markup=False, highlight=False, soft_wrap=True
        )


def left_out(found: Iterable[Unpriced], institution: str, month: str | None = None) -> str:
    """Say what of an institution's sum is left out, shared pools included: of one month, or of all."""
    mine = [
        each
        for each in found
        if month in {None, each.month} and (payer(each.subject) == institution or each.subject.startswith("pool/"))
    ]
    return ", ".join(f"{each.item} of {each.award} ({plain(each.quantity)} by {each.subject})" for each in mine)


def unpriced_data(found: Iterable[Unpriced]) -> list[dict[str, Any]]:
    """Return it as plain data."""
    return [
        {
            "month": each.month,
            "award": each.award,
            "item": each.item,
            "subject": each.subject,
            "quantity": each.quantity,
        }
        for each in found
    ]
