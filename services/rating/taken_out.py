"""What is taken out of a batch before it is charged: corrections that don't count, and what is known already.

Law: a correction that came too late for an event that is taken counts nothing, whichever of the two is rated first. Of
an event that was refused nothing can be taken back, so its correction counts as any usage does.
"""

from datetime import UTC, datetime, timedelta

from services.contract.model import Contract
from services.postgres import Connection
from services.rating import sql
from services.rating.corrections import Chains, EventKey, Sent, refusals
from services.reasons import Refusal, too_late

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TakenOut = tuple[int, str | None, str | None]
"""A position in the batch, why it is refused and what was found; None for an event that is known already."""


async def keep_seen_again(connection: Connection, batch_no: int, numbers: list[int], taken_out: list[TakenOut]) -> None:
    """Take staged events out, and keep them with their reasons."""
    if taken_out:
        await connection.execute(sql.KEEP_SEEN_AGAIN, batch_no, numbers, *map(list, zip(*taken_out, strict=True)))


async def refused_corrections(connection: Connection, numbers: list[int], contract: Contract) -> list[TakenOut]:
    """Return the staged corrections that don't count; the transaction is alone with corrections."""
    chains = Chains()
    for row in await connection.fetch(sql.CHAINS, numbers):
        chains.join(row["provider"], row["id"], row["corrected"])
    times = await _times(connection, numbers, contract)
    sent = [
        Sent(position, provider, event_id, corrects, _late(contract, times.get((provider, corrects)), corrects, at))
        for position, provider, event_id, corrects, at in await connection.fetch(sql.CORRECTING, numbers)
    ]
    return [(position, refusal.reason.value, refusal.found) for position, refusal in refusals(chains, sent)]


async def turn_late_round(connection: Connection, batch_no: int, contract: Contract) -> None:
    """Let what the batch brings replace its corrections that were rated before and had come too late for it."""
    if contract.late_days is None:
        return
    late = [
        (row["provider"], row["corrected"])
        for row in await connection.fetch(sql.CORRECTED_BEFORE, batch_no)
        if row["time"] < contract.earliest(row["received_at"])
    ]
    if late:
        await connection.execute(sql.TURN_ROUND, *map(list, zip(*late, strict=True)))


async def _times(connection: Connection, numbers: list[int], contract: Contract) -> dict[EventKey, datetime]:
    """Return when corrected usage began, where the contract asks."""
    if contract.late_days is None:
        return {}
    return {
        (row["provider"], row["corrects"]): _EPOCH + timedelta(microseconds=row["time"])
        for row in await connection.fetch(sql.CORRECTED_TIMES, numbers)
    }


def _late(contract: Contract, began: datetime | None, corrected: str, received_at: int) -> Refusal | None:
    received = _EPOCH + timedelta(milliseconds=received_at)
    if began is None or began >= contract.earliest(received):
        return None
    return too_late(began, received, contract.late_days, corrected)
