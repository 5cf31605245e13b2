"""The contract versions that a service works with: each version loaded once, the newest looked for every second."""

import asyncio

import asyncpg
import structlog

from services import contract_store
from services.contract.model import Contract
from services.metrics import CONTRACT_VERSION
from services.postgres import TRANSIENT

log = structlog.get_logger()
LOOK_SECONDS = 1.0


class Contracts:
    """Versions by number; versions are immutable, so one that is loaded stays, until it is re-rated."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._versions: dict[int, Contract] = {}
        self._sha256: dict[int, str] = {}

    async def version(self, number: int, rerating: int = 0, sha256: str = "") -> Contract:
        """Return one version that knows of a re-rating at least.

        Raises LookupError when there is no such, or its file is another than the one with that SHA-256.
        """
        contract = self._versions.get(number)
        if contract is None or contract.rerating < rerating:
            async with self._pool.acquire() as connection:
                contract = await contract_store.load_version(connection, number)
                self._sha256[number] = await contract_store.sha256_of(connection, number)
            self._versions[number] = contract  # last: other batches look for it meanwhile
        if sha256 not in {"", self._sha256[number]}:
            raise LookupError(
                f"contract version {number} is another file here (SHA-256 {self._sha256[number]}) than the one that "
                f"this was accepted under ({sha256})"
            )
        return contract


class NewestContract:
    """Follows the newest version. `version` and `contract` are read between two batches."""

    def __init__(self, pool: asyncpg.Pool, service: str) -> None:
        self._pool, self._service = pool, service
        self.version, self.sha256 = 0, ""
        self.contract: Contract | None = None

    async def look(self) -> bool:
        """Look once; tell whether a newer version was taken up."""
        async with self._pool.acquire() as connection:
            newest = await contract_store.newest(connection, than=self.version)
        if newest is None:
            return False
        self.version, self.sha256, self.contract = newest.version, newest.sha256, newest.contract
        CONTRACT_VERSION.labels(self._service).set(newest.version)
        log.info("contract.taken_up", version=newest.version, code=newest.contract.code)
        return True

    async def wait(self) -> Contract:
        """Return the contract, waiting for the first one to be applied."""
        while self.contract is None:
            try:
                await self.look()
            except TRANSIENT as error:
                log.warning("contract.look_failed", error=repr(error))
            if self.contract is None:
                await asyncio.sleep(LOOK_SECONDS)
        return self.contract
