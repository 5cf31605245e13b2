"""A cloud bill in FOCUS form (1.0 and later, CSV) as usage: its rows' consumed quantities, to be priced by a contract.

Every row becomes an event. One without a quantity (a credit, a fee) is refused like any other event
without one, so nothing of the bill is passed over in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from duckdb import DuckDBPyConnection, DuckDBPyRelation

from services.contract.reading import Section
from services.offline.source import Source

HEADER = ("ConsumedQuantity", "ChargePeriodStart", "SkuId", "SubAccountId")
NULLS = ["", "NULL"]
_PROVIDERS = ("ProviderName", "ServiceProviderName", "PublisherName")
_OPTIONAL = ("Id", "SkuPriceId", "RegionId", "ResourceId")

# Codes have at most 64 letters, digits, '.', '_' and '-': other characters become '-', of a longer one its end stays.
# Rows that are the same in every column are counted, so that each is an event of its own.
_FIELDS = r"""
    coalesce("Id", digest || case when copy > 1 then '-' || copy else '' end) as id,
    '/providers/' || coalesce(getvariable('focus_providers')[provider], code(lower(provider)), '') as source,
    case when regexp_full_match("ChargePeriodStart", '\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?')
         then replace("ChargePeriodStart", ' ', 'T') || 'Z'
         else coalesce("ChargePeriodStart", '') end as time,
    coalesce(getvariable('focus_subjects')["SubAccountId"], code("SubAccountId"), '') as subject,
    getvariable('focus_lot') as lot,
    coalesce(code("SkuPriceId"), code("SkuId"), '') as item,
    coalesce("ConsumedQuantity", '') as quantity,
    coalesce(code("RegionId"), getvariable('focus_region')) as region,
    coalesce("ResourceId"[-256:], '') as resource,
    '' as corrects
"""
_CODE = r"""
create or replace macro code(name) as trim(regexp_replace(name, '[^A-Za-z0-9._-]+', '-', 'g')[-64:], '._-')
"""
_SET_PROVIDERS = "set variable focus_providers = map($1::varchar[], $2::varchar[])"
_SET_SUBJECTS = "set variable focus_subjects = map($1::varchar[], $2::varchar[])"
_SET_LOT = "set variable focus_lot = $1::varchar"
_SET_REGION = "set variable focus_region = $1::varchar"


@dataclass(frozen=True, slots=True)
class FocusMap:
    """What a FOCUS bill doesn't say: the lot, codes for providers and sub-accounts, a region where none is named."""

    lot: str = "1"
    providers: Mapping[str, str] | None = None
    subjects: Mapping[str, str] | None = None
    region: str = ""

    @classmethod
    def read(cls, section: Section) -> Self:
        """Read the mapping; mistakes are noted in the section."""
        made = cls(
            section.code("lot", required=False) or "1",
            _texts(section.child("providers", required=False)),
            _texts(section.child("subjects", required=False)),
            section.code("region", required=False) or "",
        )
        section.done()
        return made


def usage(database: DuckDBPyConnection, source: Source, rows: DuckDBPyRelation, mapping: FocusMap) -> DuckDBPyRelation:
    """Return the rows of a bill as usage events, in the order of the file."""
    missing = [name for name in HEADER if name not in rows.columns]
    provider = next((name for name in _PROVIDERS if name in rows.columns), None)
    if missing or provider is None:
        raise source.error(f"no column {', '.join(missing or _PROVIDERS[:1])}: not a FOCUS bill")
    providers, subjects = mapping.providers or {}, mapping.subjects or {}
    database.execute(_CODE)
    database.execute(_SET_PROVIDERS, [list(providers), list(providers.values())])
    database.execute(_SET_SUBJECTS, [list(subjects), list(subjects.values())])
    database.execute(_SET_LOT, [mapping.lot])
    database.execute(_SET_REGION, [mapping.region])
    absent = "".join(f', null::varchar as "{name}"' for name in _OPTIONAL if name not in rows.columns)
    whole = ", ".join(f'"{name}"' for name in rows.columns)
    marked = rows.project(
        f'row_number() over () as line, *{absent}, "{provider}" as provider, '
        f"md5(cast(row({whole}) as varchar)) as digest",
    )
    counted = marked.project("*, row_number() over (partition by digest order by line) as copy")
    return counted.order("line").project(_FIELDS)


def _texts(section: Section | None) -> dict[str, str]:
    if section is None:
        return {}
    return {key: value for key in section.table if (value := section.text(key)) is not None}
