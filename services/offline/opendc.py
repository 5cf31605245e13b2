"""A trace of virtual machines in OpenDC's form (Parquet) as usage: vCPU-hours and GiB-hours.

A sample says how many cores a machine had during the `duration` milliseconds up to its `timestamp`; samples
that were alike stand as one longer sample. So usage began at timestamp − duration. A machine without cores
was off: such a sample, however long, is no usage. Beside `x_trace.parquet` lies `x_meta.parquet` with each
machine's memory (KiB). The trace names no customer: the mapping's tenants take the machines in turn, in order
of their ids, and all times may be shifted by whole days so that the trace begins on a given date.
"""

from dataclasses import dataclass
from datetime import date
from typing import Self

from duckdb import DuckDBPyConnection, DuckDBPyRelation

from services.contract.reading import Section
from services.offline.source import Source
from services.offline.tables import read_parquet

TRACE = ("id", "timestamp", "duration", "cpu_count", "cpu_usage")
META = ("id", "cpu_count", "mem_capacity")
_SUFFIX, _META_SUFFIX = "_trace.parquet", "_meta.parquet"

_SET_DAYS = """
set variable opendc_days = (
    select coalesce($1::date - min("timestamp" - to_milliseconds(duration))::date, 0)
    from opendc_trace where cpu_count > 0
)
"""
_TENANTS = """
create or replace table opendc_tenant as
select unnest($1::varchar[]) as provider, unnest($2::varchar[]) as lot, unnest($3::varchar[]) as subject,
       unnest($4::varchar[]) as region, generate_subscripts($1::varchar[], 1) - 1 as place
"""
# Ids that are numbers come in the order of the numbers.
_MACHINES = """
create or replace table opendc_machine as
with machine as (
    select id, mem_capacity,
           (row_number() over (order by length(id), id) - 1) % (select count(*) from opendc_tenant) as place
    from opendc_meta
)
select machine.id, mem_capacity, provider, lot, subject, region from machine join opendc_tenant using (place)
"""
# cores x ms / 3,600,000 and KiB x ms / (2^20 x 3,600,000), in whole billionths, rounded half up.
_EVENTS = """
with sample as (
    select id, cpu_count, duration, epoch("timestamp")::bigint as ended,
           "timestamp" - to_milliseconds(duration) + to_days(getvariable('opendc_days')) as began
    from opendc_trace where cpu_count > 0 and duration > 0
), used as (
    select sample.*, machine.* exclude (id),
           unnest(['v', 'm']) as kind, unnest([getvariable('opendc_vcpu'), getvariable('opendc_memory')]) as item,
           unnest([
               (2 * cpu_count::hugeint * duration * 1_000_000_000 + 3_600_000) // 7_200_000,
               (2 * mem_capacity::hugeint * duration * 1_000_000_000 + 3_774_873_600_000) // 7_549_747_200_000
           ]) as nano
    from sample join opendc_machine machine using (id)
)
select id || '-' || ended || '-' || kind as id, '/providers/' || provider as source,
       strftime(began, '%Y-%m-%dT%H:%M:%SZ') as "time", subject, lot, item,
       (nano // 1_000_000_000) || '.' || lpad((nano % 1_000_000_000)::varchar, 9, '0') as quantity,
       region, 'vm-' || id as resource, '' as corrects
from used where item is not null
order by began, length(used.id), used.id, kind desc
"""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who a machine is counted for, and who runs it."""

    provider: str
    lot: str
    subject: str
    region: str


@dataclass(frozen=True, slots=True)
class OpenDCMap:
    """Whose the machines are, what their hours are called, and the date on which the trace is to begin."""

    tenants: tuple[Tenant, ...]
    vcpu: str | None
    memory: str | None
    shift_to: date | None

    @classmethod
    def read(cls, section: Section) -> Self:
        """Read the mapping; mistakes are noted in the section."""
        shift_to = section.day("shift_to", required=False)
        tenants = tuple(_tenant(each) for each in section.tables("tenants", at_least=1, label="subject"))
        vcpu, memory = None, None
        if items := section.child("items"):
            vcpu, memory = items.code("vcpu", required=False), items.code("memory", required=False)
            items.done()
        section.done()
        return cls(tenants, vcpu, memory, shift_to)


def usage(database: DuckDBPyConnection, source: Source, rows: DuckDBPyRelation, mapping: OpenDCMap) -> DuckDBPyRelation:
    """Return the trace's samples as usage events, oldest first."""
    if not source.path.name.endswith(_SUFFIX):
        raise source.error(f"a trace's name ends with {_SUFFIX}, so that its machines are found in …{_META_SUFFIX}")
    name = source.name.removesuffix(_SUFFIX) + _META_SUFFIX
    meta = Source(name, source.path.with_name(source.path.name.removesuffix(_SUFFIX) + _META_SUFFIX))
    if not meta.path.exists():
        raise source.error(f"{meta.path.name}, which describes its machines, is not beside it")
    machines = read_parquet(database, meta)
    if missing := [name for name in META if name not in machines.columns]:
        raise meta.error(f"no column {', '.join(missing)}")
    rows.create_view("opendc_trace", replace=True)
    machines.create_view("opendc_meta", replace=True)
    database.execute(_SET_DAYS, [mapping.shift_to])
    database.execute("set variable opendc_vcpu = $1::varchar", [mapping.vcpu])
    database.execute("set variable opendc_memory = $1::varchar", [mapping.memory])
    columns = zip(*((each.provider, each.lot, each.subject, each.region) for each in mapping.tenants), strict=True)
    database.execute(_TENANTS, [list(column) for column in columns])
    database.execute(_MACHINES)
    return database.sql(_EVENTS)


def _tenant(section: Section) -> Tenant:
    values = [section.code("provider"), section.code("lot"), section.text("subject"), section.code("region")]
    section.done()
    return Tenant(*(value or "" for value in values))
