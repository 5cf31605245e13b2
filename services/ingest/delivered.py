"""When usage of each provider was last accepted, so that one that falls silent is noticed.

It is kept in the database, since a process that has just started could not tell; every replica shows the same.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import asyncpg
from prometheus_client import Gauge

from services.contract.model import Contract

SECONDS = 15.0
"""How often what was accepted is kept and shown."""
LAST_ACCEPTED = Gauge(
    "plafond_provider_last_accepted_timestamp_seconds",
    "When usage of a provider was last accepted, in Unix time; since when it has a key, where there was none yet.",
    ["provider"],
)

_KEEP = """
insert into ingest.delivered as delivered (provider, last_accepted_at)
select * from unnest($1::text[], $2::timestamptz[]) order by 1
on conflict (provider) do update set last_accepted_at = greatest(delivered.last_accepted_at, excluded.last_accepted_at)
"""
_LAST = """
select provider, coalesce(last_accepted_at, since) as at
from ingest.delivered full join (
    select provider, min(created_at) as since from ingest.api_key where revoked_at is null group by provider) as let_in
    using (provider)
"""


class Delivered:
    """Remembers whose usage was accepted since it was last kept."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}

    def note(self, providers: Iterable[str]) -> None:
        """Take down that usage of these providers was accepted just now."""
        self._at |= dict.fromkeys(providers, datetime.now(UTC))

    async def keep(self, pool: asyncpg.Pool, contract: Contract | None) -> None:
        """Keep what was noted, and show when usage of each of the contract's providers was last accepted."""
        at, self._at = self._at, {}
        try:
            async with pool.acquire() as connection:
                if at:
                    await connection.execute(_KEEP, list(at), list(at.values()))
                rows = await connection.fetch(_LAST)
        except BaseException:
            self._at = at | self._at
            raise
        for row in rows:
            if contract and row["provider"] in contract.providers:
                LAST_ACCEPTED.labels(row["provider"]).set(row["at"].timestamp())
