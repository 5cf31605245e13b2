"""The audit in a service: every so often, by one worker alone, beside the flow; metrics tell what it finds.

Law: what is under way is no breach. What had come in when a look began is waited for; where it is not through in time,
the audit is put off, since lag has a metric of its own. What breaks is asked twice. Each identity is asked in a
transaction of its own, so that no lock and no snapshot lasts longer than that.
"""

import asyncio
import time
from collections.abc import Collection
from functools import partial

import structlog
from aiokafka.errors import KafkaError
from prometheus_client import Gauge

from services import contract_store
from services.audit.run import (
    HOPS,
    Check,
    Finding,
    checks_of_database,
    checks_of_topics,
    wait_until_published,
)
from services.kafka import INGEST_GROUP
from services.offsets import Offsets
from services.postgres import Connection, connect
from services.service import forever
from services.settings import Settings

BREACHES = Gauge("plafond_audit_breaches", "Breaches of an identity in the last audit; 0 is right.", ["identity"])
LAST_AUDIT = Gauge(
    "plafond_audit_last_timestamp_seconds",
    "When an audit last came to its end, in Unix time; 0 in a worker that has made none.",
)
DURATION_SECONDS = Gauge("plafond_audit_duration_seconds", "How long the last audit took.")
WAIT_SECONDS = 60.0
"""How long to wait for what is under way."""
AGAIN_SECONDS = 5.0
ALIVE_SECONDS = 60.0
"""How often the connection that holds the lock is used, and how often another worker looks whether the lock is free."""
_ONE_WORKER = "select pg_try_advisory_lock(hashtext('audit'))"
_ONE_CORE = "set max_parallel_workers_per_gather = 0; set statement_timeout = '15min'"

log = structlog.get_logger()


async def audit_regularly(settings: Settings) -> None:
    """Audit every `audit_seconds`, not at the start, when there may be a backlog; never, where that is 0."""
    if not settings.audit_seconds:
        await asyncio.Event().wait()
    await forever(ALIVE_SECONDS, partial(_audit_alone, settings))


async def _audit_alone(settings: Settings) -> None:
    """Audit for as long as the connection lasts, unless another worker does."""
    connection = await connect(settings.database_url, name="plafond-audit")
    try:
        if not await connection.fetchval(_ONE_WORKER):
            return
        await connection.execute(_ONE_CORE)
        while True:
            await _rest(connection, settings.audit_seconds)
            await audit_once(connection, settings.kafka)
    finally:
        BREACHES.clear()
        LAST_AUDIT.set(0)
        await connection.close(timeout=ALIVE_SECONDS)


async def _rest(connection: Connection, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, ALIVE_SECONDS))
        await connection.execute("select 1")


async def audit_once(connection: Connection, kafka: str) -> None:
    """Audit, and show what was found; what was shown before stays where the audit had to be put off."""
    began = time.perf_counter()
    try:
        findings = await _beside_the_flow(connection, kafka)
    except KafkaError as error:
        log.warning("audit.put_off", error=repr(error))
        return
    if findings is None:
        log.warning("audit.put_off", error=f"what had come in was not through within {WAIT_SECONDS:.0f} s")
        return
    for each in findings:
        BREACHES.labels(each.identity).set(len(each.breaches))
        if each.breaches:
            log.error("audit.broken", identity=each.identity, breaches=len(each.breaches), first=each.breaches[0])
    LAST_AUDIT.set_to_current_time()
    DURATION_SECONDS.set(time.perf_counter() - began)


async def _beside_the_flow(connection: Connection, kafka: str) -> list[Finding] | None:
    """Return what breaks and still does a moment later; None where what had come in was not through in time."""
    async with Offsets(kafka) as offsets:
        found = await _look(connection, offsets, kafka)
        broken = [each.identity for each in found or [] if each.breaches]
        if found is None or not broken:
            return found
        await asyncio.sleep(AGAIN_SECONDS)
        again = await _look(connection, offsets, kafka, broken)
        if again is None:
            return None
        still = {each.identity: each for each in again}
        return [still.get(each.identity, each) for each in found]


async def _look(
    connection: Connection, offsets: Offsets, kafka: str, only: Collection[str] = ()
) -> list[Finding] | None:
    """Ask every identity, or `only` some, about what had come in by now."""
    read = await offsets.committed(INGEST_GROUP)
    began = await connection.fetchval("select clock_timestamp()")
    if not await _wait_until_past(offsets):
        return None
    await wait_until_published(connection, WAIT_SECONDS)
    stored = await contract_store.newest(connection)
    checks = checks_of_topics(offsets, kafka, read) | checks_of_database(stored.contract if stored else None, began)
    return [
        Finding(identity, await _alone(connection, check))
        for identity, check in checks.items()
        if not only or identity in only
    ]


async def _alone(connection: Connection, check: Check) -> tuple[str, ...]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await check(connection)


async def _wait_until_past(offsets: Offsets) -> bool:
    """Wait until each group behind ingest, in the way of the data, has read what is there; tell whether it has."""
    deadline = time.monotonic() + WAIT_SECONDS
    for group, wanted in HOPS[1:]:
        ends = {each: end for each, end in (await offsets.end(await offsets.partitions(wanted))).items() if end}
        while True:
            committed = await offsets.committed(group)
            if all(committed.get(each, 0) >= end for each, end in ends.items()):
                break
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.5)
    return True
