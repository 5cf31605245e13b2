"""What `plafond explain` says of a usage event."""

from typing import Any

from rich.markup import escape

from services.commands.steps import of_month, show_steps
from services.contract.model import payer
from services.contract.money import HUNDRED
from services.contract.tariff.reserved import EVERYONE
from services.output import Column, console, show, text


def show_event(found: dict[str, Any]) -> None:
    """Print all that is known of an event."""
    console.print(f"[bold]Event {escape(found['id'])} of {escape(found['provider'])}[/bold]")
    if "event" in found:
        _facts(found["event"], found["price"], found["rerated"])
        if found["corrects"] is not None:
            _corrects(found["corrects"], found["corrected_is_in"], found["provider"])
        _taken_back(found, found["price"]["currency"])
        _reckoning(found["price"])
        _shares(found)
    _came_again(found)


def _facts(event: dict[str, Any], price: dict[str, Any], rerated: dict[str, Any] | None) -> None:
    place = f"{event['topic']} partition {event['raw_partition']} offset {event['raw_offset']}"
    used = f"{text(event['quantity'])} of {event['item']} by {event['subject']} in {event['region']}"
    meter = "the whole contract" if price["meter_scope"] == EVERYONE else price["meter_scope"]
    rows = [
        ("received", f"{text(event['received_at'])}, {place}"),
        ("accepted", f"{text(event['accepted_at'])}, in batch {event['batch']}"),
        ("rated", text(event["rated_at"])),
        ("used", f"{used} at {text(event['time'])}"),
        ("resource", event["resource"]),
        ("billing month", event["month"]),
        ("tariff", price["tariff"]),
        ("charge model", f"{price['model']}, meter of {meter}"),
        ("charge", f"{text(price['amount'])} {price['currency']}"),
    ]
    if price["percent_of_list"] != HUNDRED:
        rows.insert(-1, ("of the list", f"{text(price['percent_of_list'])} % are due"))
    for each in price["indexed"]:
        rows.insert(-1, ("indexation", f"{text(each['percent'])} % from {each['valid_from']}"))
    if price["rate"] is not None:
        rate = f"{text(price['rate'])} {price['currency_of_price']} for 1 {price['currency']}{of_month(price)}"
        rows.insert(-1, ("converted", f"prices in {price['currency_of_price']}, {rate}"))
    if event["billed"] != event["quantity"]:
        rows.insert(-1, ("billed for", text(event["billed"])))
    if rerated is not None:
        at = f"re-rating {rerated['rerating']}, {text(rerated['applied_at'])}"
        currency, scope = price["currency"], rerated["meter_scope"]
        whose = "all" if scope == EVERYONE else scope
        together = (
            f"all that {whose} used, {text(rerated['meter_quantity'])}: {text(rerated['meter_amount'])} {currency}"
        )
        alone = "" if rerated["amount"] is None else f"{text(rerated['amount'])} {currency}, and "
        rows += [
            (
                "priced again",
                f"billed for {text(rerated['billed'])} under {rerated['tariff']}: {rerated['price']} ({at})",
            ),
            ("costs now", f"{alone}{together}"),
        ]
    for name, value in rows:
        console.print(f"  {name:<14} {escape(value)}", highlight=False, soft_wrap=True)


def _corrects(corrected: str, is_in: bool, provider: str) -> None:
    what = ", which counts nothing" if is_in else f": no such event of {provider} has been taken yet"
    console.print(f"  corrects       {escape(corrected + what)}", highlight=False, soft_wrap=True)


def _taken_back(found: dict[str, Any], currency: str) -> None:
    taken, by = found["taken_back"], found["corrected_by"]
    if taken is None:
        return
    why = (
        ("too late", f"it corrects {by}, of a month past the contract's limit: {by} counts, it counts nothing itself")
        if found["too_late"]
        else ("corrected by", f"{by}: it counts nothing itself")
    )
    move = f"{text(taken['quantity'])}, the meter from {text(taken['meter_before'])} to {text(taken['meter_after'])}"
    rows = [
        why,
        ("taken back", f"{text(taken['amount'])} {currency}, in batch {taken['batch']}, {text(taken['rated_at'])}"),
        ("", move),
    ]
    for name, value in rows:
        console.print(f"  {name:<14} {escape(value)}", highlight=False, soft_wrap=True)


def _reckoning(price: dict[str, Any]) -> None:
    show_steps(price["steps_before"], title=f"\nMeter before: {text(price['meter_before'])}")
    show_steps(price["steps_after"], title=f"\nMeter after: {text(price['meter_after'])}")


def _shares(found: dict[str, Any]) -> None:
    columns = [Column("payer", "who pays"), Column("key", "by"), Column("amount", "amount", right=True),
               Column("invoice_month", "invoice month"), Column("invoice", "invoice")]  # fmt: skip
    show([{**row, "invoice": _invoice(row)} for row in found["payers"]], columns, title="\nShares")
    if found["taken_back"]:
        said = f"taken back since: {found['corrected_by']} counts in its stead"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    subject = found["event"]["subject"]
    if found["payers"] and (found["price"]["meter_scope"] != subject or subject.startswith("pool/")):
        first = found["payers"][0]
        month = first["invoice_month"] or found["event"]["month"]
        place = first["invoice"] or f"{month} --institution {payer(first['payer'])}"
        said = f"what each pays in the end is settled at the close: plafond explain {place} --line N"
        console.print(said, markup=False, highlight=False, soft_wrap=True)


def _invoice(row: dict[str, Any]) -> str:
    """Say on which invoice a share is; of a month that is closed there may be none, where nothing was due."""
    if row["invoice"] is not None:
        return str(row["invoice"])
    return {None: "not posted yet", False: "open", True: "closed, none issued"}[row["is_closed"]]


def _came_again(found: dict[str, Any]) -> None:
    for row in found["came_again"]:
        kind = "as a conflict, with other content" if row["conflict"] else "as a repeat, which costs nothing"
        place = f"partition {row['raw_partition']} offset {row['raw_offset']}"
        console.print(f"  came again     {text(row['received_at'])}, {place}, {kind}", highlight=False, soft_wrap=True)
    for row in found["rejected"]:
        console.print(
            f"  rejected       {text(row['received_at'])}, {row['topic']} partition {row['partition']} "
            f"offset {row['offset']}: {escape(row['explanation'])}",
            highlight=False,
            soft_wrap=True,
        )
        if said := row["said"]:
            what = f"{said['quantity']} of {said['item']} by {said['subject']} in {said['region']}, lot {said['lot']}"
            console.print(
                f"    it said      {escape(what)}, at {escape(said['time'])}", highlight=False, soft_wrap=True
            )
