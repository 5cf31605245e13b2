"""What a supplier calls things, in a file: its columns, items, units and customers, and how it writes decimals.

decimal = ","
[columns]
net = "Total facturé"
[items]
"SKU-4711" = "vm.small"
[units]
"Std." = "hour"
[institutions]
"Parlement" = "EP"
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.contract.problems import one_of, show
from services.reconciliation.model import InvoiceError

_TABLES = ("columns", "items", "units", "institutions")


@dataclass(frozen=True, slots=True)
class Names:
    """Each maps the supplier's word to ours, `columns` ours to the supplier's."""

    decimal: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    institutions: Mapping[str, str] = field(default_factory=dict)


def read_names(text: str, file: str) -> Names:
    """Read a mapping file."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvoiceError(f"{file}: it is no TOML: {error}") from None
    decimal = found.pop("decimal", "")
    if decimal not in {"", ".", ","}:
        raise InvoiceError(f"{file}: decimal: found {show(decimal)}; wanted '.' or ','")
    for name, table in found.items():
        if name not in _TABLES:
            raise InvoiceError(f"{file}: found {show(name)}; wanted {one_of(_TABLES, 'tables', name)}")
        if not isinstance(table, dict) or not all(isinstance(each, str) for each in table.values()):
            raise InvoiceError(f"{file}: {name}: found {show(table)}; wanted a table of texts")
    return Names(decimal, **found)
