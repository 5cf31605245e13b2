"""API keys: who may speak for a provider, or read for an institution.

Law: only a key's SHA-256 is stored; a key has 256 random bits.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg

from services.postgres import Connection

PREFIX = "plf_"
_NEVER = datetime.max.replace(tzinfo=UTC)
LOOK_AGAIN_SECONDS = 0.25
"""At most so often are the keys read because of one that is not known: guessing must not load the database."""


VALID_AT_A_TIME = 2
"""So many keys an owner may have: the one in use, and the next."""


class TooManyKeysError(Exception):
    """The owner has as many valid keys as it may have."""


class Keys(NamedTuple):
    """The keys of one kind of owner; each statement gives the owner first."""

    create: str
    expire: str
    revoke: str
    valid: str
    listed: str


PROVIDERS = Keys(
    "insert into ingest.api_key (provider, sha256, expires_at) values ($1, $2, now() + $3)",
    """
    update ingest.api_key set expires_at = least(expires_at, now() + $2)
    where provider = $1 and revoked_at is null and (expires_at is null or expires_at > now())
    """,
    "update ingest.api_key set revoked_at = now() where key_id = $1 and revoked_at is null returning provider",
    """
    select provider as owner, sha256, expires_at from ingest.api_key
    where revoked_at is null and (expires_at is null or expires_at > now())
    """,
    "select key_id, provider, created_at, expires_at, revoked_at from ingest.api_key order by provider, created_at",
)
INSTITUTIONS = Keys(
    "insert into delivery.api_key (institution, sha256, expires_at) values ($1, $2, now() + $3)",
    """
    update delivery.api_key set expires_at = least(expires_at, now() + $2)
    where institution = $1 and revoked_at is null and (expires_at is null or expires_at > now())
    """,
    "update delivery.api_key set revoked_at = now() where key_id = $1 and revoked_at is null returning institution",
    """
    select institution as owner, sha256, expires_at from delivery.api_key
    where revoked_at is null and (expires_at is null or expires_at > now())
    """,
    """
    select key_id, institution, created_at, expires_at, revoked_at
    from delivery.api_key order by institution, created_at
    """,
)


async def create(connection: Connection, owner: str, keys: Keys = PROVIDERS, *, valid: timedelta | None = None) -> str:
    """Make a key and return it: this is the only time that it can be seen; it is `valid` for so long, or for ever.

    Raises TooManyKeysError, making none, where the owner has `VALID_AT_A_TIME` already.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    async with connection.transaction():
        await connection.execute(keys.create, owner, _digest(key), valid)
        mine = [row for row in await connection.fetch(keys.valid) if row["owner"] == owner]
        if len(mine) > VALID_AT_A_TIME:
            raise TooManyKeysError(
                f"{owner} has {VALID_AT_A_TIME} valid keys already: revoke one (`plafond keys list`), or wait"
            )
    return key


async def rotate(
    connection: Connection, owner: str, keys: Keys = PROVIDERS, *, overlap: timedelta, valid: timedelta | None = None
) -> str:
    """Make a key as `create` does, and let the one before go on for `overlap` alone."""
    async with connection.transaction():
        await connection.execute(keys.expire, owner, overlap)
        return await create(connection, owner, keys, valid=valid)


async def owners_with_keys(connection: Connection, keys: Keys = PROVIDERS) -> set[str]:
    """Return who has a valid key."""
    return {row["owner"] for row in await connection.fetch(keys.valid)}


async def revoke(connection: Connection, key_id: uuid.UUID, keys: Keys = PROVIDERS) -> str | None:
    """Take a key back and return whose it was; None when there is no such key that is still valid."""
    owner: str | None = await connection.fetchval(keys.revoke, key_id)
    return owner


class KeyRing:
    """The valid keys, kept in memory: what is known goes on while PostgreSQL is away."""

    def __init__(self, keys: Keys = PROVIDERS) -> None:
        self._keys = keys
        self._owners: dict[bytes, tuple[str, datetime]] = {}
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def refresh(self, pool: asyncpg.Pool) -> None:
        """Read the keys again."""
        began = time.monotonic()
        async with pool.acquire() as connection:
            rows = await connection.fetch(self._keys.valid)
        self._owners = {row["sha256"]: (row["owner"], row["expires_at"] or _NEVER) for row in rows}
        self._read_at = began

    async def find(self, key: str, pool: asyncpg.Pool) -> str | None:
        """Return whose key this is; one that is not known may be new, so the keys are read again before it is refused.

        Raises asyncpg's errors or OSError when they can't be read.
        """
        owner = self.owner_of(key)
        if owner is not None or not key.startswith(PREFIX):
            return owner
        asked = time.monotonic()
        async with self._reading:
            if self._read_at < asked:
                await asyncio.sleep(self._read_at + LOOK_AGAIN_SECONDS - asked)
                await self.refresh(pool)
        return self.owner_of(key)

    def owner_of(self, key: str) -> str | None:
        """Return whose key this is; every stored digest is compared, each in constant time."""
        digest, now = _digest(key), datetime.now(UTC)
        found = None
        for stored, (owner, expires_at) in self._owners.items():
            if hmac.compare_digest(stored, digest) and now < expires_at:
                found = owner
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
