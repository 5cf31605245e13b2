"""What is measured of deliveries."""

import asyncpg
from prometheus_client import Counter, Gauge

from services.delivery.outbox import Channel

DELIVERIES = Gauge(
    "plafond_deliveries", "Deliveries that are not done: queued, refused by the receiver, or doubtful.",
    ["channel", "state"],
)  # fmt: skip
OLDEST_SECONDS = Gauge("plafond_delivery_oldest_seconds", "How long the oldest that waits has waited.", ["channel"])
ATTEMPTS_TOTAL = Counter(
    "plafond_delivery_attempts_total", "Attempts to deliver, by how they ended.", ["channel", "outcome"]
)
STATES = ("queued", "refused", "doubtful")

_COUNTS = """
select channel, state, count(*) as count,
       extract(epoch from now() - min(queued_at) filter (where state = 'queued'))::float as oldest
from delivery.outbox where state in ('queued', 'refused', 'doubtful') group by channel, state
"""


async def measure(pool: asyncpg.Pool) -> None:
    """Set the gauges to what is in the outbox."""
    async with pool.acquire() as connection:
        rows = {(row["channel"], row["state"]): row for row in await connection.fetch(_COUNTS)}
    for channel in Channel:
        for state in STATES:
            row = rows.get((channel, state))
            DELIVERIES.labels(channel.value, state).set(row["count"] if row else 0)
        waiting = rows.get((channel, "queued"))
        OLDEST_SECONDS.labels(channel.value).set(waiting["oldest"] if waiting else 0)
