"""A contract as plain data, and as tables for people."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from services.contract.currencies import amount_text, money_text
from services.contract.model import AllocationKey, Contract, Tariff
from services.contract.money import plain
from services.contract.tariff.per_unit import PerUnit
from services.documents.model import E_INVOICE_DIGITS, has_e_invoices
from services.output import Column, console, show


def summary(contract: Contract) -> dict[str, Any]:
    """Return a contract in brief."""
    return {
        "code": contract.code,
        "name": contract.name,
        "currency": contract.currency,
        "e_invoices": has_e_invoices(contract.currency),
        "starts": contract.starts,
        "ends": contract.ends - timedelta(days=1),
        "counts": {
            "lots": len(contract.lots),
            "suppliers": len(contract.suppliers),
            "awards": len(contract.awards),
            "providers": len(contract.providers),
            "regions": len(contract.regions),
            "items": len(contract.items),
            "tariffs": len(contract.tariffs),
            "prices": sum(len(tariff.prices) for tariff in contract.tariffs),
            "institutions": len(contract.institutions),
            "departments": sum(len(each.departments) for each in contract.institutions.values()),
            "pools": len(contract.pools),
        },
        "ceilings": {
            "contract": contract.ceiling,
            **{f"lot {lot.code}": lot.ceiling for lot in contract.lots.values()},
            **{f"award {code}": each.ceiling for code, each in contract.awards.items() if each.ceiling is not None},
        },
    }


def without_e_invoices(contract: Contract) -> str:
    """Say of a contract whose currency has no e-invoices what there is instead; empty of any other."""
    if has_e_invoices(contract.currency):
        return ""
    return (
        f"no e-invoices: amounts in {contract.currency} have {contract.currency_digits} decimals, EN 16931 allows "
        f"{E_INVOICE_DIGITS}; documents are made as PDF, CSV, XLSX, JSON and FOCUS"
    )


def as_data(contract: Contract) -> dict[str, Any]:
    """Return a whole contract; `ends` is a phase's last day, as in the file."""
    return {
        "code": contract.code,
        "name": contract.name,
        "currency": contract.currency,
        "time_zone": contract.zone.key,
        "ceiling": contract.ceiling,
        "alert_thresholds": contract.thresholds,
        "grace_days": contract.grace_days,
        "late_days": contract.late_days,
        "invoices": {"series": contract.series, "credit_series": contract.credit_series},
        "closes_itself": contract.closes_itself,
        "phases": [
            {"name": each.name, "starts": each.starts, "ends": each.ends - timedelta(days=1)}
            for each in contract.phases
        ],
        "regions": [asdict(each) for each in contract.regions.values()],
        "items": [asdict(each) for each in contract.items.values()],
        "lots": [asdict(each) for each in contract.lots.values()],
        "suppliers": [asdict(each) for each in contract.suppliers.values()],
        "providers": [asdict(each) for each in contract.providers.values()],
        "awards": [asdict(each) for each in contract.awards.values()],
        "tariffs": [_tariff(each) for each in contract.tariffs],
        "institutions": [asdict(each) for each in contract.institutions.values()],
        "pools": [asdict(each) for each in contract.pools.values()],
        "rates": [
            {"currency": currency, "month": month, "rate": rate} for (currency, month), rate in contract.rates.items()
        ],
        "equivalences": [{"item": item, "parts": parts} for item, parts in contract.equivalences.items()],
        "minimums": [
            asdict(each) | {"period": f"{each.period} months", "ends": each.ends - timedelta(days=1)}
            for each in contract.minimums
        ],
        "prepaid": [asdict(each) | {"ends": each.ends - timedelta(days=1)} for each in contract.prepaid],
    }


def _tariff(tariff: Tariff) -> dict[str, Any]:
    prices = {
        item: {
            "model": price.model.kind,
            "scope": price.scope,
            "free": price.free,
            "percent_of_list": price.percent_of_list,
            "currency": price.currency,
            "rate": None if price.currency is None else "latest" if price.latest_rate else "month",
            "minimum": price.minimum,
            "increment": price.increment,
            "fee_when_unused": sorted(price.fee_payers),
            "reserved": [{"payer": payer, **asdict(each)} for payer, each in price.reserved.items()],
            **asdict(price.model),  # type: ignore[call-overload]
        }
        for item, price in tariff.prices.items()
    }
    return {
        "award": tariff.award, "valid_from": tariff.valid_from, "own_meters": tariff.own_meters, "prices": prices,
    }  # fmt: skip


def print_contract(contract: Contract, version: int | None) -> None:
    """Print a contract as tables."""
    applied = f", version {version}" if version else ""
    console.print(f"{contract.name} ({contract.code}{applied})", style="bold", highlight=False, markup=False)
    console.print(
        f"ceiling {money_text(contract.ceiling, contract.currency)}; alerts at "
        f"{', '.join(f'{each} %' for each in contract.thresholds) or 'no threshold'}; months in {contract.zone.key}, "
        f"{'closed by itself' if contract.closes_itself else 'to be closed'} {contract.grace_days} days after their end"
        + ("" if contract.late_days is None else f", late usage taken for {contract.late_days} days"),
        highlight=False,
    )
    _print_lots(contract)
    _print_prices(contract)
    _print_promises(contract)
    _print_rates(contract)
    _print_customers(contract)


def _print_promises(contract: Contract) -> None:
    data = as_data(contract)
    columns = [
        Column("award", "award"), Column("item", "item"), Column("payer", "by"), Column("amount", "amount", right=True),
        Column("starts", "from"), Column("ends", "to"),
    ]  # fmt: skip
    for name, title, more in (
        ("minimums", "Minimums", Column("period", "in every")),
        ("prepaid", "Prepaid credit", Column("cost", "for", right=True)),
    ):
        rows = [each | {"payer": each["payer"] or "all"} for each in data[name]]
        if rows:
            show(rows, [*columns, more], title=f"\n{title}, {contract.currency}")


def _print_rates(contract: Contract) -> None:
    if contract.rates:
        columns = [Column("currency", "currency"), Column("month", "from"), Column("rate", "rate", right=True)]
        show(as_data(contract)["rates"], columns, title=f"\nReference rates, for 1 {contract.currency}")
    if contract.equivalences:
        rows = [
            {"item": item, "parts": " + ".join(f"{plain(quantity)} {part}" for part, quantity in parts.items())}
            for item, parts in contract.equivalences.items()
        ]
        show(rows, [Column("item", "item"), Column("parts", "can be made up of")], title="\nEquivalences")


def _print_lots(contract: Contract) -> None:
    show(
        as_data(contract)["phases"],
        [Column("name", "phase"), Column("starts", "from"), Column("ends", "to")],
        title="\nPhases",
    )
    rows = []
    for lot in contract.lots.values():
        awards = [each for each in contract.awards.values() if each.lot == lot.code]
        ceiling = amount_text(lot.ceiling, contract.currency)
        rows.append({"lot": lot.code, "name": lot.name, "ceiling": ceiling, "awards": len(awards)})
    show(
        rows,
        [Column("lot", "lot"), Column("name", "name"), Column("ceiling", "ceiling", right=True),
         Column("awards", "awards", right=True)],
        title="\nLots",
    )  # fmt: skip
    show(
        [
            {
                "award": each.code, "supplier": contract.suppliers[each.supplier].name,
                "providers": ", ".join(each.providers),
                "ceiling": amount_text(each.ceiling, contract.currency) if each.ceiling is not None else "the lot's",
            }
            for each in contract.awards.values()
        ],
        [Column("award", "award"), Column("supplier", "supplier"), Column("providers", "providers"),
         Column("ceiling", "ceiling", right=True)],
        title="\nAwards",
    )  # fmt: skip
    show(
        [asdict(each) for each in contract.regions.values()],
        [Column("code", "region"), Column("name", "name"), Column("country", "country")],
        title="\nRegions",
    )


def _print_prices(contract: Contract) -> None:
    columns = [
        Column("item", "item"), Column("unit", "for a"), Column("price", contract.currency),
        Column("scope", "tiers by"),
    ]  # fmt: skip
    for code, tariffs in contract.tariffs_by_award.items():
        for tariff in tariffs:
            title = f"\nPrices of {code} from {tariff.valid_from}{_conversion(tariff)}"
            show(list(_price_rows(contract, tariff)), columns, title=title)


def _conversion(tariff: Tariff) -> str:
    """Say at which rate a tariff in another currency is converted."""
    found = {(price.currency, price.latest_rate) for price in tariff.prices.values() if price.currency}
    return "".join(
        f", in {currency} at {'the latest rate given' if is_latest else 'the rate of the month of use'}"
        for currency, is_latest in found
    )


def _price_rows(contract: Contract, tariff: Tariff) -> Iterator[dict[str, Any]]:
    for item, price in tariff.prices.items():
        tiered = not isinstance(price.model, PerUnit)
        yield {
            "item": item,
            "unit": contract.items[item].unit,
            "price": price.brief(),
            "scope": price.scope.value if tiered else "",
        }


def _print_customers(contract: Contract) -> None:
    show(
        [
            {
                "code": each.code, "name": each.name, "departments": len(each.departments) or None,
                "budget": None if each.budget is None else amount_text(each.budget, contract.currency),
            }
            for each in contract.institutions.values()
        ],
        [Column("code", "institution"), Column("name", "name"), Column("departments", "departments", right=True),
         Column("budget", "budget", right=True)],
        title="\nInstitutions",
    )  # fmt: skip
    for each in contract.institutions.values():
        if each.departments:
            rows = [{"code": f"{each.code}/{code}", "name": name} for code, name in each.departments.items()]
            show(rows, [Column("code", "department"), Column("name", "name")], title=f"\nDepartments of {each.code}")
    pools = []
    for pool in contract.pools.values():
        fixed = pool.key is AllocationKey.WEIGHTS
        members = [f"{member} {plain(weight)}" if fixed else member for member, weight in pool.weights.items()]
        pools.append(
            {"pool": f"pool/{pool.code}", "name": pool.name, "key": pool.key.value, "members": ", ".join(members)}
        )
    if pools:
        show(
            pools,
            [Column("pool", "pool"), Column("name", "name"), Column("key", "split by"), Column("members", "members")],
            title="\nPools",
        )
