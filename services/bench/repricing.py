"""How long it takes to price a month again: from its meters where only prices were wrong, from its events otherwise."""

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from services.bench.usage import FIRST_HOUR
from services.contract.charges import ChargeKey
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import plain
from services.contract.months import first_day, next_month
from services.contract.succession import stretches
from services.postgres import connect
from services.rating import sql
from services.rating.store import charge_usage, keep_charges
from services.stack.demo import CONTRACT, MONTH, Stage
from services.stack.local import LocalStack
from services.stack.plafond import Addresses, prepare, servers

CHUNK = 1_000_000
_PRICE = '"vm.small" = { model = "per_unit", price = "0.052" }'
_OTHER_PRICE = _PRICE.replace("0.052", "0.051")
_OTHER_INCREMENT = _PRICE.replace(" }", ', increment = "0.5" }')

_PARTITION = "create table if not exists rating.usage_2016_03 partition of rating.usage for values in ('2016-03')"
_BATCH = """
insert into rating.batch (batch, version, accepted_at, events, rated) values ($1, 1, now(), $2, $2) returning batch_no
"""
_USAGE = """
with known as (select array_agg(use_no order by use_no) as numbers, count(*)::int as many from rating.use)
insert into rating.usage (month, batch_no, position, use_no, id, time, quantity, resource, raw_partition, raw_offset,
                          received_at)
select $3, $4::bigint, n, numbers[1 + n % many], format('vm-%s-%s', n / 743, n % 743),
       $5::timestamptz + (n % 743) * interval '1 hour', (n % 64000) / 1000.0, format('vm-%s', n / 743), 0, n, now()
from known, generate_series($1::int, $2::int) as made(n)
"""
_SUMS = """
select award, item, month, tariff, subject, sum(sums.quantity) as quantity
from (select use_no, sum(rating.billed(quantity, minimum, increment)) as quantity
      from rating.usage join rating.use using (use_no) group by use_no) as sums
     join rating.use using (use_no)
group by 1, 2, 3, 4, 5
"""


@dataclass(frozen=True, slots=True)
class Repricing:
    """Seconds that `plafond rerate` takes for a month of so many events, the program's start included."""

    events: int
    charges: int
    from_meters: float
    from_events: float


def run_repricing(folder: Path, events: int, stage: Stage) -> Repricing:
    """Store a month of events, rated under the sample contract, and price it again; raises StackError, RuntimeError."""
    text = CONTRACT.read_text("utf-8")
    with LocalStack(folder) as stack:
        done = stage("starting Kafka and PostgreSQL", None)
        plafond = servers(stack)
        asyncio.run(prepare(plafond, text))
        done(1)
        url = plafond.addresses.database_url
        charged = asyncio.run(_store(url, text, events, stage("storing a month of usage", events)))
        times = []
        for what, other in (("from its meters", _OTHER_PRICE), ("from its events", _OTHER_INCREMENT)):
            done = stage(f"pricing the month again {what}", None)
            fixed = folder / "fixed.toml"
            fixed.write_text(text.replace(_PRICE, other), "utf-8")
            times.append(_rerate(plafond.addresses, fixed))
            done(1)
        return Repricing(events, charged, *times)


def _rerate(addresses: Addresses, fixed: Path) -> float:
    servers_at = ["--kafka", addresses.kafka, "--database-url", addresses.database_url]
    command = ["rerate", "--month", MONTH, "--contract", str(fixed), *servers_at, "--json"]
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, "-m", "services.cli", *command], stdout=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - began
    if ended.returncode or not msgspec.json.decode(ended.stdout)["charges"]:
        raise RuntimeError(f"plafond rerate ended with status {ended.returncode}, or found nothing to change")
    return seconds


async def _store(url: str, text: str, events: int, report: Callable[[int], None]) -> int:
    """Put usage into the tables as if it had come in one batch, and charge it; return how many charges that makes."""
    contract = load(text)
    assert isinstance(contract, Contract), "the sample has no mistakes"
    connection = await connect(url)
    try:
        await connection.execute(_PARTITION)
        await connection.execute(sql.ENTER_USES, *map(list, zip(*_uses(contract), strict=True)))
        batch_no = await connection.fetchval(_BATCH, uuid.uuid4(), events)
        for first in range(0, events, CHUNK):
            last = min(first + CHUNK, events) - 1
            await connection.execute(_USAGE, first, last, MONTH, batch_no, FIRST_HOUR)
            report(last - first + 1)
        await connection.execute("vacuum analyze rating.usage")
        async with connection.transaction():
            quantities = {
                ChargeKey(award, item, month, tariff.isoformat(), subject): quantity
                for award, item, month, tariff, subject, quantity in await connection.fetch(_SUMS)
            }
            made = await charge_usage(connection, contract, quantities)
            await keep_charges(connection, batch_no, 1, made)
        return len(made)
    finally:
        await connection.close()


def _uses(contract: Contract) -> list[tuple[str, str, str, str, str, str, date, str, str]]:
    """Return a use for every item of every award that has one tariff in the month, and every customer."""
    days = (first_day(MONTH), first_day(next_month(MONTH)))
    tariffs = {award: stretches(contract, award, days) for award in contract.awards}
    return [
        (contract.awards[award].providers[0], award, subject, item, next(iter(contract.regions)), MONTH,
         tariff.valid_from, plain(tariff.prices[item].minimum), plain(tariff.prices[item].increment))
        for award, found in tariffs.items()
        for tariff in contract.tariffs_by_award[award]
        if len(found) == 1 and tariff.valid_from == found[0].tariff
        for item in tariff.metered
        for subject in sorted(contract.subjects)
    ]  # fmt: skip
