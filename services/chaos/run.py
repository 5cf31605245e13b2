"""The chaos, from an empty folder to the verdict; nothing is left running."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from aiokafka.errors import KafkaError

from services import contract_store
from services.audit.run import audit
from services.bench.usage import HOURS, Hour, Machine, machines
from services.chaos import load, verdict
from services.chaos.errors import ChaosError
from services.chaos.faults.contents import OPEN_MONTH
from services.chaos.faults.fault import Fault
from services.chaos.faults.kinds import KINDS, schedule
from services.chaos.flow import PATIENCE_SECONDS, wait_until_it_flows
from services.chaos.fuzz import fuzz
from services.chaos.outcome import Happened, Outcome, Plan
from services.chaos.tally import Tally
from services.chaos.world import SERVERS, World
from services.contract.load import load as load_contract
from services.contract.model import Contract
from services.invoicing.close import CloseError, close_month
from services.kafka import Sender
from services.postgres import connect
from services.stack.plafond import SERVICES, Plafond, prepare
from services.stack.process import StackError

AUDIT_SECONDS = 60
FAILURES = (
    ChaosError, contract_store.ContractError, CloseError, StackError, asyncpg.PostgresError, KafkaError, OSError,
)  # fmt: skip
"""What may go so wrong, once everything has started, that the rest is not done: a finding, to be told as one."""
BROKEN_ON_PURPOSE = frozenset({"no message is parked", "no usage is below zero"})
_OVER_HTTP = 2
_PROVIDERS = 4
_DEAL_WITH_PARKED = """
with rating as (update rating.parked set resolved_at = now() where resolved_at is null),
     invoicing as (update invoicing.parked set resolved_at = now() where resolved_at is null)
select (select count(*) from rating.parked) + (select count(*) from invoicing.parked)
"""


def run_chaos(folder: Path, plan: Plan, report: Callable[[Happened], None]) -> Outcome:
    """Break things as planned; raises ChaosError or StackError when it can't go on."""
    world = World(folder)
    try:
        with world.stack:
            return asyncio.run(_chaos(world, world.up(), plan, report))
    finally:
        world.disks.unmount()


async def _chaos(world: World, plafond: Plafond, plan: Plan, report: Callable[[Happened], None]) -> Outcome:
    keys = await prepare(plafond, world.contract)
    await world.open()
    try:
        return await _break_things(world, plafond, keys, plan, report)
    finally:
        await world.close()


async def _break_things(
    world: World,
    plafond: Plafond,
    keys: dict[str, str],
    plan: Plan,
    report: Callable[[Happened], None],
) -> Outcome:
    await world.start(*SERVERS, *SERVICES)
    record = load.Record(world.stack.folder / "acknowledged.jsonl")
    gate = asyncio.Event()
    sender = Sender(plafond.addresses.kafka, "chaos-provider")
    async with httpx.AsyncClient(base_url=plafond.addresses.gateway, timeout=5, trust_env=False) as client:
        providers = _providers(world, keys, client, sender, record, gate, plan)
        chaos = _Chaos(world, providers, record, gate)
        world.latest = lambda: max(each.latest for each in providers)
        work = [asyncio.create_task(each.run()) for each in providers]
        work.append(asyncio.create_task(world.supervise()))
        try:
            upcoming = schedule(world, random.Random(plan.seed))  # noqa: S311 not a secret
            happened, not_due, failure = await _suffer(chaos, upcoming, plan.faults, work, report)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await sender.stop()
            record.close()
    left_out = [kind.__doc__ or kind.__name__ for kind in KINDS if not kind.possible(world)]
    if failure:
        return Outcome(happened, not_due, left_out, world.restarts, world.poison, None, None, (), failure)
    found: verdict.Verdict | None = None
    tally: Tally | None = None
    breaches: tuple[str, ...] = ()
    try:
        found, breaches = await chaos.compare()
        if plan.fuzzed:
            tally = await fuzz(plafond, keys, plan.fuzzed, plan.seed)
            breaches += tally.differences() + await chaos.audit()
    except FAILURES as error:
        failure = f"after the faults: {error or repr(error)}"
    return Outcome(happened, not_due, left_out, world.restarts, world.poison, tally, found, breaches, failure)


async def _suffer(
    chaos: "_Chaos",
    faults: Iterator[Fault],
    wanted: int,
    work: list[asyncio.Task[Any]],
    report: Callable[[Happened], None],
) -> tuple[list[Happened], list[str], str]:
    """Let faults happen until so many have had their effect; return them, those that were not due, and a failure.

    One that had none is tried once more, so that its kind is not left out.
    """
    happened: list[Happened] = []
    not_due: list[str] = []
    again: Fault | None = None
    while sum(each.took_effect for each in happened) < wanted:
        fault, number = again or next(faults), len(happened) + 1
        try:
            if not await fault.is_due():
                not_due.append(fault.what)
                continue
            happened.append(await chaos.suffer(number, fault))
            chaos.raise_from(work)
        except FAILURES as error:
            return happened, not_due, f"fault {number} ({fault.what}): {error or repr(error)}"
        report(happened[-1])
        again = None if again or happened[-1].took_effect else fault
        if len(happened) >= 2 * wanted + len(KINDS):
            return happened, not_due, f"most faults have no effect: {number} were tried for {wanted} that have one"
    return happened, not_due, ""


def _providers(
    world: World,
    keys: dict[str, str],
    client: httpx.AsyncClient,
    sender: Sender,
    record: load.Record,
    gate: asyncio.Event,
    plan: Plan,
) -> list[load.Provider]:
    contract = load_contract(world.contract)
    assert isinstance(contract, Contract), "the sample has no mistakes"
    fleets: dict[str, list[Machine]] = {}
    # A machine for each event a second: a provider's usage then goes on by some hours a second, and comes to the end of
    # the contract only after hours.
    for machine in machines(contract, plan.load * HOURS, "chaos"):
        fleets.setdefault(machine.provider, []).append(machine)
    made = []
    for number, (name, fleet) in enumerate(sorted(fleets.items())[:_PROVIDERS]):
        deliver = load.over_http(client, keys[name]) if number < _OVER_HTTP else load.into_kafka(sender, name)
        events_a_push = max(1, round(plan.load * load.PAUSE_SECONDS / _PROVIDERS))
        made.append(load.Provider(fleet, events_a_push, deliver, record, gate, plan.seed + number))
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
        await _in_time(
            asyncio.gather(*(each.pause() for each in self._providers)), "providers still wait for an answer"
        )
        return Happened(
            number, type(fault).__name__, fault.what, fault.seconds, recovery, await self.audit(), took_effect
        )

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
        pushes = asyncio.gather(*(provider.push([message]) for provider, _, message in markers))
        await _in_time(pushes, "no event of some provider is taken")
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


async def _in_time(work: Awaitable[Any], what: str) -> None:
    """Wait for some work; raises ChaosError where it does not come to an end, which is what chaos is to find."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await work
    except TimeoutError as error:
        raise ChaosError(f"{what} {PATIENCE_SECONDS} s after the fault's end") from error
