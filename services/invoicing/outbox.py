"""What was committed and still waits to be published: alerts and decisions."""

import asyncpg
from prometheus_client import Gauge

SECONDS = 15.0
"""How often it is looked at what waits."""
OLDEST_SECONDS = Gauge(
    "plafond_outbox_oldest_seconds",
    "How long the oldest that is to be published has waited; 0 where nothing waits.",
    ["outbox"],
)

_WAITING = """
select 'alerts' as outbox, coalesce(extract(epoch from now() - min(raised_at)), 0)::float8 as seconds
from invoicing.alert where published_at is null
union all
select 'decisions', coalesce(extract(epoch from now() - min(decided_at)), 0)::float8
from decisions.decision where published_at is null
"""


async def show_outbox(pool: asyncpg.Pool) -> None:
    """Show how long the oldest alert and the oldest decision wait."""
    async with pool.acquire() as connection:
        for row in await connection.fetch(_WAITING):
            OLDEST_SECONDS.labels(row["outbox"]).set(max(0.0, row["seconds"]))
