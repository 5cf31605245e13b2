"""How long it takes to close a large month, and to write all documents of it."""

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from services.contract.charges import ChargeKey
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import plain
from services.contract.months import first_day, midnight, next_month
from services.contract.succession import stretches
from services.invoicing.ledger import post_charges
from services.postgres import Connection, connect, open_pool
from services.rating import sql
from services.rating.store import charge_usage, keep_charges
from services.stack.demo import CONTRACT, MONTH, Stage
from services.stack.local import LocalStack
from services.stack.plafond import Addresses, prepare, servers

BATCH = 20_000
_NO_ROUNDING = "0"
_PARTITION = "create table if not exists rating.usage_2016_03 partition of rating.usage for values in ('2016-03')"
_BATCH = """
insert into rating.batch (batch, version, accepted_at, events, rated) values ($1, 1, now(), $2, $2) returning batch_no
"""
# An event for each use, in the last hour of the month, so that no provider is silent.
_USAGE = """
insert into rating.usage (month, batch_no, position, use_no, id, time, quantity, resource, raw_partition, raw_offset,
                          received_at)
select month, $1, use_no, use_no, format('closing-%s', use_no), $2, 1 + (use_no * 7919::bigint % 100000) / 1000.0,
       'vm', 0, use_no, now()
from rating.use where use_no > $3 and use_no <= $3 + $4
"""
_KEYS = """
insert into rating.event (provider, id, digest, batch_no, position)
select provider, id, 0, batch_no, position from rating.usage join rating.use using (use_no) where batch_no = $1
"""
_SUMS = """
select award, item, use.month, tariff, subject, sum(quantity) as quantity
from rating.usage join rating.use using (use_no) where batch_no = $1 group by 1, 2, 3, 4, 5
"""
Use = tuple[str, str, str, str, str, str, object, str, str]


@dataclass(frozen=True, slots=True)
class Closing:
    """Seconds that `plafond close` and `plafond invoices export` take, the programs' start included.

    `again` is a second export, which compares with what the first wrote.
    """

    lines: int
    institutions: int
    files: int
    close: float
    export: float
    again: float


def run_closing(folder: Path, lines: int, stage: Stage) -> Closing:
    """Store a month of so many statement lines at least, close it and export it; raises StackError, RuntimeError."""
    text = CONTRACT.read_text("utf-8")
    text = with_items(text, lines)
    with LocalStack(folder) as stack:
        done = stage("starting Kafka and PostgreSQL", None)
        plafond = servers(stack)
        asyncio.run(prepare(plafond, text))
        done(1)
        contract = load(text)
        assert isinstance(contract, Contract), "the sample has no mistakes"
        uses = _uses(contract)
        asyncio.run(_store(plafond.addresses.database_url, contract, uses, stage("storing a month", len(uses))))
        done = stage("closing it", None)
        close, invoices = _timed(plafond.addresses, "close", MONTH)
        done(1)
        times = []
        for what in ("writing its documents", "writing them again"):
            done = stage(what, None)
            seconds, exported = _timed(plafond.addresses, "invoices", "export", "--month", MONTH, "--out",
                                       str(folder / "invoices"))  # fmt: skip
            times.append(seconds)
            done(1)
        made = sum(each["lines"] for each in invoices)
        return Closing(made, len(invoices), exported["files"], close, *times)


def with_items(text: str, lines: int) -> str:
    """Return the sample with so many items more that everyone's use of all of them makes that many lines."""
    contract = load(text)
    assert isinstance(contract, Contract), "the sample has no mistakes"
    count = -(-lines // (len(contract.awards) * len(_direct(contract))))
    items = "".join(
        f'\n[[items]]\ncode = "item.{number:04}"\nname = "Item {number}"\nunit = "hour"\n' for number in range(count)
    )
    prices = "".join(
        f'"item.{number:04}" = {{ model = "per_unit", price = "0.000{1 + number % 9}" }}\n' for number in range(count)
    )
    head, separator, rest = text.partition("[[lots]]")
    return head + items + "\n" + separator + rest.replace("[tariffs.prices]\n", "[tariffs.prices]\n" + prices)


def _direct(contract: Contract) -> list[str]:
    """Return all who use for themselves: institutions and their departments."""
    return sorted(each for each in contract.subjects if not each.startswith("pool/"))


def _uses(contract: Contract) -> list[Use]:
    days = (first_day(MONTH), first_day(next_month(MONTH)))
    return [
        (award.providers[0], award.code, subject, item, next(iter(contract.regions)), MONTH,
         stretches(contract, award.code, days)[-1].tariff, _NO_ROUNDING, _NO_ROUNDING)
        for award in contract.awards.values()
        for item in contract.items if item.startswith("item.")
        for subject in _direct(contract)
    ]  # fmt: skip


async def _store(url: str, contract: Contract, uses: list[Use], report: Callable[[int], None]) -> None:
    """Put usage into the tables as if it had come in batches: rated, charged, posted."""
    connection = await connect(url)
    pool = await open_pool(url, "plafond-bench", size=1)
    try:
        await connection.execute(_PARTITION)
        for before in range(0, len(uses), BATCH):
            mine = uses[before : before + BATCH]
            await _store_batch(connection, contract, mine, before)
            report(len(mine))
        for statement in ("analyze rating.usage", "analyze rating.event", "analyze rating.charge"):
            await connection.execute(statement)
        for row in await connection.fetch("select batch_no, batch from rating.batch order by batch_no"):
            await post_charges(pool, await _charge_batch(connection, row["batch_no"], row["batch"]), contract)
    finally:
        await pool.close()
        await connection.close()


async def _store_batch(connection: Connection, contract: Contract, uses: list[Use], before: int) -> None:
    ends = midnight(first_day(next_month(MONTH)), contract.zone) - timedelta(hours=1)
    async with connection.transaction():
        await connection.execute(sql.ENTER_USES, *map(list, zip(*uses, strict=True)))
        batch_no = await connection.fetchval(_BATCH, uuid.uuid4(), len(uses))
        await connection.execute(_USAGE, batch_no, ends, before, len(uses))
        await connection.execute(_KEYS, batch_no)
        quantities = {
            ChargeKey(award, item, month, tariff.isoformat(), subject): quantity
            for award, item, month, tariff, subject, quantity in await connection.fetch(_SUMS, batch_no)
        }
        await keep_charges(connection, batch_no, 1, await charge_usage(connection, contract, quantities))


async def _charge_batch(connection: Connection, batch_no: int, batch: uuid.UUID) -> dict[str, object]:
    """Return what rating would have sent of a batch."""
    rows = await connection.fetch("select * from rating.charge where batch_no = $1", batch_no)
    lines = [
        {"award": row["award"], "item": row["item"], "month": row["month"], "tariff": row["tariff"].isoformat(),
         "subject": row["subject"], "quantity": plain(row["quantity"]), "amount": plain(row["amount"])}
        for row in rows
    ]  # fmt: skip
    return {"batch": str(batch), "version": 1, "accepted_at": int(time.time() * 1e6), "lines": lines}


def _timed(addresses: Addresses, *words: str) -> tuple[float, Any]:
    command = [sys.executable, "-m", "services.cli", *words, "--database-url", addresses.database_url, "--json"]
    began = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - began
    if ended.returncode:
        raise RuntimeError(f"plafond {words[0]} ended with status {ended.returncode}")
    return seconds, msgspec.json.decode(ended.stdout)
