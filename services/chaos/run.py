"""The chaos, from an empty folder to the verdict; nothing is left running."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from aiokafka.errors import KafkaError

from services import contract_store
from services.audit.run import audit
from services.bench.usage import Hour, Machine, machines
from services.chaos import load, verdict
from services.chaos.errors import ChaosError
from services.chaos.faults import KINDS, OPEN_MONTH, Fault, schedule
from services.chaos.flow import wait_until_it_flows
from services.chaos.fuzz import fuzz
from services.chaos.world import SERVERS, World
from services.contract.load import load as load_contract
from services.contract.model import Contract
from services.invoicing.close import CloseError, close_month
from services.kafka import Sender
from services.postgres import connect
from services.stack.plafond import SERVICES, Plafond, prepare
from services.stack.process import StackError

RECOVERY_SECONDS_MAX = 30
AUDIT_SECONDS = 60
FAILURES = (
    ChaosError, contract_store.ContractError, CloseError, StackError, asyncpg.PostgresError, KafkaError, OSError,
)  # fmt: skip
"""What may go so wrong, once everything has started, that the rest is not done: a finding, to be told as one."""
BROKEN_ON_PURPOSE = frozenset({"no message is parked", "no usage is below zero"})
EVENTS = 1_000 * 744
"""So many machines that no provider comes to the end of the contract, whatever the length of the run."""
_OVER_HTTP = 2
_PROVIDERS = 4
_DEAL_WITH_PARKED = """
with rating as (update rating.parked set resolved_at = now() where resolved_at is null),
     invoicing as (update invoicing.parked set resolved_at = now() where resolved_at is null)
select (select count(*) from rating.parked) + (select count(*) from invoicing.parked)
"""


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault and what followed: `recovery` in seconds from its end; `breaches` of the audit after it."""

    number: int
    what: str
    seconds: float
    recovery: float
    breaches: tuple[str, ...]
    took_effect: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the chaos came to.

    `restarts` names services that ended by themselves and were started again. `failure` says what went so wrong that
    the rest was not done; there is no verdict then.
    """

    happened: list[Happened]
    left_out: list[str]
    restarts: list[str]
    poison: int
    fuzzed: int
    verdict: verdict.Verdict | None
    breaches: tuple[str, ...]
    failure: str = ""

    @property
    def slowest(self) -> float:
        """Return the longest recovery in seconds."""
        return max((each.recovery for each in self.happened), default=0.0)

    @property
    def good(self) -> bool:
        """Tell whether nothing was lost, doubled, off, too slow, or ended by itself."""
        done = not self.failure and self.verdict is not None and self.verdict.good
        whole = done and not self.breaches and not self.restarts
        quick = self.slowest <= RECOVERY_SECONDS_MAX
        return whole and quick and all(each.took_effect and not each.breaches for each in self.happened)


def run_chaos(folder: Path, faults: int, seed: int, fuzzed: int, report: Callable[[Happened], None]) -> Outcome:
    """Break things so many times; raises ChaosError or StackError when it can't go on."""
    world = World(folder)
    try:
        with world.stack:
            return asyncio.run(_chaos(world, world.up(), faults, seed, fuzzed, report))
    finally:
        world.disks.unmount()


async def _chaos(
    world: World, plafond: Plafond, faults: int, seed: int, fuzzed: int, report: Callable[[Happened], None]
) -> Outcome:
    keys = await prepare(plafond, world.contract)
    await world.open()
    try:
        return await _break_things(world, plafond, keys, faults, seed, fuzzed, report)
    finally:
        await world.close()


async def _break_things(
    world: World,
    plafond: Plafond,
    keys: dict[str, str],
    faults: int,
    seed: int,
    fuzzed: int,
    report: Callable[[Happened], None],
) -> Outcome:
    await world.start(*SERVERS, *SERVICES)
    record = load.Record(world.stack.folder / "acknowledged.jsonl")
    gate = asyncio.Event()
    sender = Sender(plafond.addresses.kafka, "chaos-provider")
    async with httpx.AsyncClient(base_url=plafond.addresses.gateway, timeout=5, trust_env=False) as client:
        providers = _providers(world, keys, client, sender, record, gate, seed)
        chaos = _Chaos(world, providers, record, gate)
        world.latest = lambda: max(each.latest for each in providers)
        work = [asyncio.create_task(each.run()) for each in providers]
        work.append(asyncio.create_task(world.supervise()))
        happened: list[Happened] = []
        failure = ""
        try:
            for number, fault in enumerate(schedule(world, random.Random(seed), faults), 1):  # noqa: S311 not a secret
                try:
                    happened.append(await chaos.suffer(number, fault))
                    chaos.raise_from(work)
                except FAILURES as error:
                    failure = f"fault {number} ({fault.what}): {error or repr(error)}"
                    break
                report(happened[-1])
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await sender.stop()
            record.close()
    left_out = [kind.__doc__ or kind.__name__ for kind in KINDS if not kind.possible(world)]
    if failure:
        return Outcome(happened, left_out, world.restarts, world.poison, 0, None, (), failure)
    found: verdict.Verdict | None = None
    breaches: tuple[str, ...] = ()
    try:
        found, breaches = await chaos.compare()
        if fuzzed:
            await fuzz(plafond, keys, fuzzed, seed)
            breaches += await chaos.audit()
    except FAILURES as error:
        failure = f"after the faults: {error or repr(error)}"
    return Outcome(happened, left_out, world.restarts, world.poison, fuzzed, found, breaches, failure)


def _providers(
    world: World,
    keys: dict[str, str],
    client: httpx.AsyncClient,
    sender: Sender,
    record: load.Record,
    gate: asyncio.Event,
    seed: int,
) -> list[load.Provider]:
    contract = load_contract(world.contract)
    assert isinstance(contract, Contract), "the sample has no mistakes"
    fleets: dict[str, list[Machine]] = {}
    for machine in machines(contract, EVENTS, "chaos"):
        fleets.setdefault(machine.provider, []).append(machine)
    made = []
    for number, (name, fleet) in enumerate(sorted(fleets.items())[:_PROVIDERS]):
        deliver = load.over_http(client, keys[name]) if number < _OVER_HTTP else load.into_kafka(sender, name)
        made.append(load.Provider(fleet, deliver, record, gate, seed + number))
    names = {each.name for each in made}
    world.awards = sorted({award.code for (name, _), award in contract.award_by_provider.items() if name in names})
    return made


class _Chaos:
    """What is done around each fault."""

    def __init__(self, world: World, providers: list[load.Provider], record: load.Record, gate: asyncio.Event) -> None:
        self._world, self._providers, self._record, self._gate = world, providers, record, gate
        self._url = world.stack.database_url

    async def suffer(self, number: int, fault: Fault) -> Happened:
        """Let a fault happen under load, wait until usage flows again, and audit."""
        self._gate.set()
        await asyncio.sleep(0.5)
        await fault.begin()
        await asyncio.sleep(fault.seconds)
        took_effect = await fault.takes_effect()
        ended = time.monotonic()
        await fault.end()
        await self._flows_again(number, ended)
        recovery = time.monotonic() - ended
        await self._retire_seconds()
        self._gate.clear()
        await asyncio.gather(*(each.pause() for each in self._providers))
        return Happened(number, fault.what, fault.seconds, recovery, await self.audit(), took_effect)

    async def compare(self) -> tuple[verdict.Verdict, tuple[str, ...]]:
        """Close every month and compare the books with what was acknowledged; returns the audits' breaches as well."""
        connection = await connect(self._url)
        try:
            breaches = await self.audit()
            while month := await connection.fetchval(OPEN_MONTH):
                stored = await contract_store.newest(connection)
                assert stored is not None, "the contract was applied"
                await close_month(connection, stored, month)
            breaches += await self.audit()
            stored = await contract_store.newest(connection)
            assert stored is not None, "the contract was applied"
            kafka = self._world.stack.bootstrap_servers
            return await verdict.verdict(connection, kafka, stored.contract, self._record.path), breaches
        finally:
            await connection.close()

    @staticmethod
    def raise_from(work: list[asyncio.Task[Any]]) -> None:
        """Raise what a background task raised."""
        for task in work:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    async def _flows_again(self, number: int, since: float) -> None:
        """Push an event of every provider, and wait until these are posted and no partition stands still."""
        markers = [(provider, *self._marker(provider, number)) for provider in self._providers]
        await asyncio.gather(*(provider.push([message]) for provider, _, message in markers))
        wanted = [(provider.name, event_id) for provider, event_id, _ in markers]
        await wait_until_it_flows(self._url, self._world.stack.bootstrap_servers, wanted, since)

    def _marker(self, provider: load.Provider, number: int) -> tuple[str, bytes]:
        hour = Hour.number(0)._replace(code=f"marker-{number}")
        machine = provider.machines[0]
        return f"{machine.name}-{hour.code}", machine.message(hour)

    async def _retire_seconds(self) -> None:
        """Stop second workers that a fault has left."""
        seconds = [name for name in self._world.stack.running() if name.endswith("-second")]
        if seconds:
            await self._world.stop(*seconds)

    async def audit(self) -> tuple[str, ...]:
        """Return the breaches that are no work of the chaos itself.

        Poison is counted and then marked as dealt with; a mutated quantity may well be below zero.
        """
        connection = await connect(self._url)
        try:
            findings = await audit(connection, self._world.stack.bootstrap_servers, AUDIT_SECONDS)
            parked = await connection.fetchval(_DEAL_WITH_PARKED)
            breaches = [
                f"{each.identity}: {breach}"
                for each in findings
                for breach in each.breaches
                if each.identity not in BROKEN_ON_PURPOSE
            ]
            if parked != self._world.poison:
                breaches.append(f"{self._world.poison} poisoned messages sent, {parked} parked")
            return tuple(breaches)
        finally:
            await connection.close()
