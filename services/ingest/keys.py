"""API keys: who may speak for a provider over HTTP. Only a key's SHA-256 is stored; a key has 256 random bits."""

import asyncio
import hashlib
import hmac
import secrets
import time
import uuid

import asyncpg

from services.postgres import Connection

PREFIX = "plf_"
LOOK_AGAIN_SECONDS = 0.25
"""At most so often are the keys read because of one that is not known: guessing must not load the database."""

_CREATE = "insert into ingest.api_key (provider, sha256) values ($1, $2) returning key_id"
_REVOKE = "update ingest.api_key set revoked_at = now() where key_id = $1 and revoked_at is null returning provider"
_WITH_KEYS = "select distinct provider from ingest.api_key where revoked_at is null"
_VALID = "select provider, sha256 from ingest.api_key where revoked_at is null"


async def create(connection: Connection, provider: str) -> str:
    """Make a key for a provider and return it: this is the only time that it can be seen."""
    key = PREFIX + secrets.token_urlsafe(32)
    await connection.execute(_CREATE, provider, _digest(key))
    return key


async def providers_with_keys(connection: Connection) -> set[str]:
    """Return the providers that have a valid key."""
    return {row["provider"] for row in await connection.fetch(_WITH_KEYS)}


async def revoke(connection: Connection, key_id: uuid.UUID) -> str | None:
    """Take a key back and return its provider; None when there is no such key that is still valid."""
    provider: str | None = await connection.fetchval(_REVOKE, key_id)
    return provider


class KeyRing:
    """The valid keys, kept in memory: the gateway goes on with those it knows while PostgreSQL is away."""

    def __init__(self, providers: dict[bytes, str] | None = None) -> None:
        self._providers = providers or {}
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def refresh(self, pool: asyncpg.Pool) -> None:
        """Read the keys again."""
        began = time.monotonic()
        async with pool.acquire() as connection:
            self._providers = {row["sha256"]: row["provider"] for row in await connection.fetch(_VALID)}
        self._read_at = began

    async def find(self, key: str, pool: asyncpg.Pool) -> str | None:
        """Return whose key this is; one that is not known may be new, so the keys are read again before it is refused.

        Raises asyncpg's errors or OSError when they can't be read.
        """
        provider = self.provider_of(key)
        if provider is not None or not key.startswith(PREFIX):
            return provider
        asked = time.monotonic()
        async with self._reading:
            if self._read_at < asked:
                await asyncio.sleep(self._read_at + LOOK_AGAIN_SECONDS - asked)
                await self.refresh(pool)
        return self.provider_of(key)

    def provider_of(self, key: str) -> str | None:
        """Return whose key this is; every stored digest is compared, each in constant time."""
        digest = _digest(key)
        found = None
        for stored, provider in self._providers.items():
            if hmac.compare_digest(stored, digest):
                found = provider
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
