"""What `plafond explain` says of a line of an invoice."""

from collections.abc import Mapping
from typing import Any

from services.commands.steps import of_month, show_steps
from services.contract.money import HUNDRED, plain
from services.output import Column, console, counted, show, text

_USES = [Column("subject", "who"), Column("quantity", "quantity", right=True), Column("amount", "amount", right=True)]
_MEMBERS = [
    Column("member", "member"), Column("weight", "weight", right=True), Column("amount", "share", right=True),
    Column("raised", "rounding"),
]  # fmt: skip
_ON = [Column("subject", "who"), Column("item", "charges for"), Column("amount", "amount", right=True)]
_SHARES = [
    Column("institution", "institution"), Column("weight", "weight", right=True), Column("amount", "part", right=True),
]  # fmt: skip
_CREDITS = [
    Column("number", "number", whole=True), Column("line", "line", right=True), Column("issued_at", "issued"),
    Column("borne_by", "borne by"), Column("reason", "reason"), Column("amount", "amount", right=True),
]  # fmt: skip
_POSTED = [
    Column("what", "what was posted"), Column("posted_at", "last at"), Column("events", "events", right=True),
    Column("batches", "batches", right=True), Column("amount", "amount", right=True),
]  # fmt: skip


def show_line(found: Mapping[str, Any]) -> None:
    """Print how a line comes about, from what it is down to what was posted."""
    if found.get("issued"):
        _issued(found["issued"], found)
    whose = f"{found['document']} {found['invoice']}" if found["invoice"] else f"the open statement of {found['month']}"
    console.print(
        f"Line {found['line']} of {whose}, {found['institution_name']}", style="bold", markup=False, highlight=False
    )
    for name, value in _facts(found):
        console.print(f"  {name:<12} {value}", markup=False, highlight=False, soft_wrap=True)
    if found["meter"]:
        steps = found["meter"]["steps"]
        told_below = [each["what"] for each in steps] == [each["what"] for each in found["parts"][: len(steps)]]
        _meter(found["meter"], found["currency"], is_told_below=told_below)
    if found["fee"]:
        title = f"\nWhat the fee is on: {plain(found['fee']['amount'])} {found['currency']}"
        show(found["fee"]["on"], _ON, title=title)
    if found["split"]:
        _pool(found["split"], found["currency"])
    for promise in found["promises"]:
        title = f"\n{promise['why'].capitalize()}, {plain(promise['amount'])} {found['currency']}: {promise['terms']}"
        shares = promise["shares"]
        show([row | {"weight": text(row["weight"])} for row in shares], _SHARES, title=title)
    show_steps(found["parts"], title="\nThe line is made of")
    _sum(found)
    show(
        ({**row, "batches": _batches(row), "events": row["events"] or ""} for row in found["posted"]), _POSTED,
        title="\nIn the ledger",
    )  # fmt: skip
    if found["credits"]:
        show(found["credits"], _CREDITS, title="\nTaken back, and issued anew")


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("what", f"{found['item']}, {found['item_name']}, under {found['award']} of {found['supplier_name']}"),
        ("used", f"in {found['usage_month']}, prices from {found['tariff']}"),
        ("kind", found["kind"]),
        ("quantity", f"{text(found['quantity'])} {found['unit']}"),
        ("contract", f"version {found['version']}"),
    ]
    if found["department"]:
        rows.insert(0, ("department", f"{found['department']}, {found['department_name']}"))
    rows += [
        ("priced again", f"re-rating {each['rerating']}, {text(each['applied_at'])}, {each['applied_by']}")
        for each in found["reratings"]
    ]
    if not found["meter"] and not found["promises"]:
        rows.append(("due", "nothing any more: its usage was corrected, or a re-rating put it under other prices"))
    if events := found["events"]:
        first, last = events["first"], events["last"]
        corrected = f", {events['corrected']:,} of them corrected" if events["corrected"] else ""
        batches = f"{events['batches']:,} {'batch' if events['batches'] == 1 else 'batches'}"
        count = f"{counted(events['events'], 'event')}{corrected}"
        rows += [
            ("events", f"{count}, billed for {text(events['billed'])}, in {batches}"),
            ("first", f"{first['id']} at {text(first['time'])}, in batch {first['batch']}"),
            ("last", f"{last['id']} at {text(last['time'])}, in batch {last['batch']}"),
            ("list them", f"plafond explain {_words(found)} --events events.csv"),
        ]
    rows += [
        ("corrected", f"{each['id']}, {text(each['billed'])}, by {each['corrected_by']} in batch {each['batch']}")
        for each in found["corrections"]
    ]
    return rows


def _issued(own: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Say of a line that takes an invoice's back, or has it again, what it is; that line is explained below."""
    if own["corrects"]:
        bearer = "" if own["borne_by"] == "nobody" else f"; the {own['borne_by']} bears it"
        what = f"takes back what follows{bearer}"
    else:
        what = f"has again what follows, which {own['anew']} took back"
    console.print(
        f"Line {own['line']} of {own['document']} {own['number']}, {own['amount']} {found['currency']}, {what}",
        style="bold", markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    console.print(f"  {'reason':<12} {own['reason']}", markup=False, highlight=False, soft_wrap=True)
    by = f"{text(own['issued_at'])}, {own['issued_by']}"
    console.print(f"  {'issued':<12} {by}\n", markup=False, highlight=False, soft_wrap=True)


def _words(found: Mapping[str, Any]) -> str:
    place = found["invoice"] or f"{found['month']} --institution {found['institution']}"
    return f"{place} --line {found['line']}"


def _meter(meter: Mapping[str, Any], currency: str, *, is_told_below: bool) -> None:
    console.print(f"\nMeter of {meter['whose']}", style="bold", markup=False, highlight=False)
    rows = [("price", f"{meter['model']}: {meter['price']}")]
    if meter["percent_of_list"] != HUNDRED:
        rows.append(("of the list", f"{text(meter['percent_of_list'])} % are due"))
    rows += [("indexation", f"{text(each['percent'])} % from {each['valid_from']}") for each in meter["indexed"]]
    if meter["currency"]:
        rate = f"{text(meter['rate'])} {meter['currency']} for 1 {currency}{of_month(meter)}"
        rows.append(("converted", f"{text(meter['in_currency'])} {meter['currency']} at {rate}"))
    rows.append(("in all", f"{text(meter['quantity'])} cost {text(meter['amount'])} {currency}"))
    if len(meter["uses"]) > 1:
        rows.append(("shared", meter["shared"]))
    for name, value in rows:
        console.print(f"  {name:<12} {value}", markup=False, highlight=False, soft_wrap=True)
    if not is_told_below:
        show_steps(meter["steps"], title=f"\nThe price of {text(meter['steps_of'])}, {meter['currency'] or currency}")
    if len(meter["uses"]) > 1:
        show(meter["uses"], _USES, title=f"\nWho used it, {currency}")


def _pool(pool: Mapping[str, Any], currency: str) -> None:
    cost = f"{text(pool['amount'])} {currency} shared by {_KEYS[pool['key']]}"
    title = f"\nPool {pool['pool']}, {pool['name']}: {cost}"
    members = [{**row, "raised": _RAISED if row["raised"] else ""} for row in pool["members"]]
    columns = _MEMBERS if any(row["raised"] for row in members) else _MEMBERS[:-1]
    show(members, columns, title=title)


_RAISED = "last digit up: largest remainder"
_KEYS = {"weights": "fixed weights", "equal": "equal parts", "proportional": "each one's direct use of the month"}


def _sum(found: Mapping[str, Any]) -> None:
    currency = found["currency"]
    exact, rounding = text(found["exact_amount"]), found["rounding"]
    added = f"{exact} {currency}"
    if rounding:
        sign = "+" if rounding > 0 else "-"
        added += f", rounded once: {sign}{plain(abs(rounding))}"
    console.print(f"\n{added}", highlight=False, soft_wrap=True)
    console.print(f"the line says {found['amount']} {currency}", style="bold", highlight=False)


def _batches(row: Mapping[str, Any]) -> str:
    count = row.get("of_batches", len(row["batches"]))
    return f"{count:,}" if count else ""
