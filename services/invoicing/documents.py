"""Statements and ceilings as files: CSV for spreadsheets, JSON for programs.

Law: an amount is written with all its digits (`exact_amount`) and, beside it, as it is due (`amount`, with the
currency's decimals); nothing else is rounded.
"""

import csv
import io
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from services.contract.model import Contract
from services.contract.money import plain
from services.invoicing.ceilings import Standing
from services.invoicing.statement import Line, Statement

LINE_COLUMNS = (
    "month", "institution", "institution_name", "department", "department_name", "pool", "pool_name", "award",
    "supplier_name", "item", "item_name", "unit", "usage_month", "tariff", "quantity",
    "price_currency", "price_amount", "rate", "rate_month", "exact_amount", "amount", "currency",
)  # fmt: skip
CEILING_COLUMNS = ("level", "code", "ceiling", "spent", "left", "per_cent", "currency")


def statement_csv(contract: Contract, statements: Iterable[Statement]) -> str:
    """Write the lines of statements as CSV (RFC 4180) with a header."""
    return table_csv(LINE_COLUMNS, (line_row(contract, each, line) for each in statements for line in each.lines))


def statement_json(contract: Contract, statement: Statement) -> dict[str, Any]:
    """Return a statement as plain data for JSON; amounts are text."""
    whole = {"month", "institution", "institution_name", "currency"}
    return {
        "contract": contract.code,
        "month": statement.month,
        "institution": statement.institution,
        "institution_name": contract.institutions[statement.institution].name,
        "currency": contract.currency,
        "total": due(contract, statement.total),
        "exact_total": plain(statement.exact),
        "lines": [
            {column: value for column, value in line_row(contract, statement, line).items() if column not in whole}
            for line in statement.lines
        ],
    }


def line_row(contract: Contract, statement: Statement, line: Line) -> dict[str, str]:
    """Return a line's fields, all text, keyed by `LINE_COLUMNS`."""
    key = line.key
    institution = contract.institutions[key.institution]
    item = contract.items[key.item]
    return {
        "month": statement.month,
        "institution": key.institution,
        "institution_name": institution.name,
        "department": key.department,
        "department_name": institution.departments[key.department] if key.department else "",
        "pool": key.pool,
        "pool_name": contract.pools[key.pool].name if key.pool else "",
        "award": key.award,
        "supplier_name": contract.suppliers[contract.awards[key.award].supplier].name,
        "item": key.item,
        "item_name": item.name,
        "unit": item.unit,
        "usage_month": key.month,
        "tariff": key.tariff,
        "quantity": plain(line.quantity),
        "price_currency": line.conversion.currency if line.conversion else "",
        "price_amount": plain(line.conversion.amount) if line.conversion else "",
        "rate": plain(line.conversion.rate) if line.conversion else "",
        "rate_month": (line.conversion.rate_month or "") if line.conversion else "",
        "exact_amount": plain(line.exact),
        "amount": due(contract, line.amount),
        "currency": contract.currency,
    }


def ceiling_row(contract: Contract, standing: Standing) -> dict[str, str]:
    """Return a ceiling's fields, all text, keyed by `CEILING_COLUMNS`; empty where no ceiling was agreed."""
    return {
        "level": standing.key.level.value,
        "code": standing.key.code,
        "ceiling": _or_empty(standing.ceiling),
        "spent": plain(standing.spent),
        "left": _or_empty(standing.left),
        "per_cent": _or_empty(standing.per_cent),
        "currency": contract.currency,
    }


def table_csv(columns: Iterable[str], rows: Iterable[dict[str, str]]) -> str:
    """Write rows as CSV with a header."""
    names = list(columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([row[name] for name in names] for row in rows)
    return text.getvalue()


def due(contract: Contract, amount: Decimal) -> str:
    """Write a rounded amount with all decimals of the currency, no minus on zero."""
    return f"{amount:z.{contract.currency_digits}f}"


def _or_empty(number: Decimal | None) -> str:
    return "" if number is None else plain(number)
