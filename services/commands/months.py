"""plafond months: where every month stands."""

from typing import Any

import msgspec

from services.closing.checklist import as_data
from services.closing.model import Weight, is_clean
from services.closing.months import Month, months
from services.closing.stages import Stage
from services.commands.servers import DatabaseOption, on_contract
from services.contract.currencies import amount_text
from services.contract.model import Contract
from services.contract_store import StoredContract
from services.documents.parked import Parked, parked
from services.invoicing.documents import due
from services.output import Column, JsonOption, console, counted, print_json, show
from services.postgres import Connection

_COLUMNS = [
    Column("month", "month", whole=True), Column("state", "state", whole=True), Column("since", "since", whole=True),
    Column("grace_ends", "grace ends", whole=True), Column("due", "due", right=True), Column("close", "close"),
]  # fmt: skip


def months_command(database_url: DatabaseOption, as_json: JsonOption = False) -> None:
    """Show each month: its state, since when, when its grace ends, what is due, and whether it can be closed.

    A month is open while it lasts, then in grace for so many days as the contract says, then due until it is closed.
    Below are the months that were closed although their checklist was not clean, and the invoices that are parked
    because their documents lack something.

    Example: `plafond months`
    """

    async def work(connection: Connection, stored: StoredContract) -> tuple[Contract, list[Month], list[Parked]]:
        return stored.contract, await months(connection, stored), await parked(connection)

    contract, found, waiting = on_contract(database_url, work)
    if as_json:
        print_json([_data(contract, each, waiting) for each in found])
        return
    show([_row(contract, each) for each in found], _COLUMNS, title=f"Months of {contract.code}, {contract.currency}")
    for each in found:
        if each.override:
            console.print(f"{each.month} was overridden by {each.override.by}: {each.override.reason}",
                          markup=False, highlight=False, soft_wrap=True)  # fmt: skip
            for item in msgspec.json.decode(each.override.items):
                console.print(f"  {item['check']}: {item['about']}: {item['found']}",
                              markup=False, highlight=False, soft_wrap=True)  # fmt: skip
    for entry in waiting:
        said = f"{entry.number} of {entry.institution} is parked since {entry.parked_at.date()}"
        console.print(f"{said}: {'; '.join(entry.problems)}",
                      style="red", markup=False, highlight=False, soft_wrap=True)  # fmt: skip


def _row(contract: Contract, month: Month) -> dict[str, Any]:
    zone, at = contract.zone, month.stands
    return {
        "month": month.month,
        "state": at.stage.value,
        "since": at.since.astimezone(zone).date().isoformat() if at.since else "",
        "grace_ends": at.grace_ends.astimezone(zone).date().isoformat(),
        "due": amount_text(month.due, contract.currency),
        "close": _close(month),
    }


def _close(month: Month) -> str:
    """Say whether a month can be closed."""
    if month.stands.stage is Stage.CLOSED:
        return f"by {month.closed_by}" + (", overridden" if month.override else "")
    if month.stands.stage in {Stage.OPEN, Stage.AHEAD}:
        return "not over"
    if month.checklist is None:
        return f"after {month.after}"
    if is_clean(month.checklist):
        return "can be closed"
    if any(each.weight is Weight.REFUSED for each in month.checklist):
        return f"refused, see plafond close {month.month} --check"
    held = sum(each.weight is Weight.HOLDS for each in month.checklist)
    return f"{counted(held, 'item')} on its checklist, see plafond close {month.month} --check"


def _data(contract: Contract, month: Month, waiting: list[Parked]) -> dict[str, Any]:
    at, override = month.stands, month.override
    return {
        "month": month.month,
        "state": at.stage.value,
        "since": at.since,
        "grace_ends": at.grace_ends,
        "due": due(contract, month.due),
        "currency": contract.currency,
        "closed_by": month.closed_by,
        "can_be_closed": None if month.checklist is None else is_clean(month.checklist),
        "after": month.after,
        "checklist": None if month.checklist is None else [as_data(each) for each in month.checklist],
        "override": override and {
            "reason": override.reason, "by": override.by, "items": msgspec.json.decode(override.items),
        },
        "parked": [
            {"number": each.number, "institution": each.institution, "problems": list(each.problems),
             "parked_at": each.parked_at}
            for each in waiting if each.month == month.month
        ],
    }  # fmt: skip
