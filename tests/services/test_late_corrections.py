"""A correction that came too late for what it corrects: whichever of them is rated first, the total is the same."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from services import contract_store
from services.audit.explain_event import explain
from services.audit.identities import IDENTITIES
from services.contract.model import Contract
from services.ingest.batch import Batch
from services.ingest.decide import Accepted, Decider
from services.ingest.events import UsageEvent
from services.kafka import Place
from services.postgres import connect, migrate, open_pool
from services.rating import sql
from services.rating.store import Books
from tests.conftest import SMALL

IN_TIME, TOO_LATE = datetime(2016, 4, 9, tzinfo=UTC), datetime(2016, 4, 11, tzinfo=UTC)
"""February's usage is taken until 9 April, with 40 days."""
FEBRUARY, MARCH = "2016-02-10T10:00:00Z", "2016-03-10T10:00:00Z"
Sent = tuple[str, str, str, str, datetime]
"""Id, what it corrects, when its usage began, its quantity, when it was received."""


class Rating:
    """The rating schema of a contract that takes late usage for 40 days."""

    def __init__(self, pool: asyncpg.Pool, contract: Contract) -> None:
        self._pool, self._books, self._contract = pool, Books(pool), contract
        self._place = 0

    async def rate(self, *sent: Sent) -> None:
        """Rate events in a batch of their own; ingest takes them all, each being in time when it is received."""
        batch, decider = Batch(0), Decider(self._contract)
        for event_id, corrects, time, quantity, received in sent:
            self._place += 1
            received_at = int(received.timestamp() * 1000)
            event = UsageEvent(
                event_id, "/providers/alpha", time, "EP", "1", "vm", quantity, "fr-paris", "", corrects
            )  # fmt: skip
            decided = decider.decide("alpha", event, datetime.now(UTC), received_at)
            assert isinstance(decided, Accepted), decided
            number = batch.number(decided.use)
            batch.add(number, event_id, decided.time, decided.quantity, "", 0, self._place, received_at)
            if corrects:
                batch.correct(corrects)
        place = Place("usage.accepted", 0, self._place, int(TOO_LATE.timestamp() * 1000))
        await self._books.rate(batch.record(1, 0), place, self._contract)

    async def charged(self) -> Counter[str]:
        """Return how much was charged so far, by month."""
        rows = await self._pool.fetch("select month, sum(quantity) as quantity from rating.charge group by 1")
        return Counter({row["month"]: row["quantity"] for row in rows})

    async def explained(self, event_id: str) -> dict[str, Any]:
        """Return what is told of an event."""
        async with self._pool.acquire() as connection:
            found = await explain(connection, "alpha", event_id)
        assert found is not None
        return found

    async def breaches(self) -> list[str]:
        """Return what is wrong in the books."""
        names = [name for name in IDENTITIES if name.startswith(("accepted", "every rated", "no corr", "charges"))]
        assert len(names) == 5
        return [row[0] for name in names for row in await self._pool.fetch(IDENTITIES[name])]


@pytest_asyncio.fixture(scope="module")
async def rating(postgres: str) -> AsyncIterator[Rating]:
    connection = await connect(postgres)
    try:
        await migrate(connection)
        stored = await contract_store.apply(
            connection, SMALL.replace("grace_days = 5", "grace_days = 5\nlate_days = 40")
        )
    finally:
        await connection.close()
    pool = await open_pool(postgres, "test", first=sql.STAGING)
    try:
        made = Rating(pool, stored.contract)
        await Books(pool).make_partitions(stored.contract)
        yield made
    finally:
        await pool.close()


ALONE = [("a", "", FEBRUARY, "10", IN_TIME), ("b", "a", MARCH, "4", TOO_LATE)]
CASES = {
    "of usage": (ALONE, {"2016-02": 10}),
    "of a correction": ([*ALONE[1:], ("a", "z", FEBRUARY, "10", IN_TIME), ("z", "", FEBRUARY, "3", IN_TIME)], {"2016-02": 10}),
    "in time": ([("a", "", FEBRUARY, "10", IN_TIME), ("b", "a", MARCH, "4", IN_TIME)], {"2016-03": 4}),
    "itself corrected": ([*ALONE, ("c", "b", MARCH, "3", TOO_LATE)], {"2016-02": 10, "2016-03": 3}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_the_order_does_not_matter(rating: Rating, case: str):
    sent, wanted = CASES[case]
    for number, order in enumerate(permutations(sent)):
        before, mark = await rating.charged(), f"-{case}-{number}"
        for event_id, corrects, *rest in order:
            await rating.rate((event_id + mark, corrects and corrects + mark, *rest))
        made = await rating.charged()
        made.subtract(before)
        assert {month: quantity for month, quantity in made.items() if quantity} == wanted, order
        assert await rating.breaches() == []


@pytest.mark.parametrize("order", [1, -1])
async def test_nor_does_it_in_one_batch(rating: Rating, order: int):
    before = await rating.charged()
    await rating.rate(*[(f"{each[0]}{order}", each[1] and f"a{order}", *each[2:]) for each in ALONE[::order]])
    made = await rating.charged()
    made.subtract(before)
    assert (made["2016-02"], made["2016-03"]) == (10, 0)
    assert await rating.breaches() == []


async def test_both_tell_why(rating: Rating):
    late, early = ("late", "early", MARCH, "4", TOO_LATE), ("early", "", FEBRUARY, "10", IN_TIME)
    await rating.rate(late)
    await rating.rate(early)
    told = await rating.explained("late")
    assert (told["corrected_by"], told["too_late"], told["taken_back"]["quantity"]) == ("early", True, -4)
    assert told["taken_back"]["amount"] == Decimal("-0.4")
    told = await rating.explained("early")
    assert (told["corrects"], told["corrected_by"], told["taken_back"]) == (None, None, None)
