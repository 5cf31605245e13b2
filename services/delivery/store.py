"""Putting documents into a folder or an S3-compatible store.

Law: what lies there is never replaced; where the same bytes lie there already, it is there.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from services.delivery.outcome import Outcome, State

_OPTIONS: dict[str, dict[str, Any]] = {
    "file": {"mkdir": True},
    "s3": {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 1}},  # the outbox tries again
}
_FORM = "file:///srv/invoices or s3://bucket/prefix"


class Store:
    """A folder or a bucket, by its URL; a bucket's endpoint and keys are in AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID…"""

    def __init__(self, url: str) -> None:
        """Raise ValueError where the URL is none of a folder or a bucket."""
        scheme = url.partition("://")[0]
        if scheme not in _OPTIONS:
            raise ValueError(f"the store {url!r} can't be used: wanted {_FORM}")
        try:
            self._store = from_url(url, **_OPTIONS[scheme])
        except (BaseError, OSError) as error:
            raise ValueError(f"the store {url!r} can't be used: {_first_line(error)}; wanted {_FORM}") from error
        self.url = url

    async def put(self, folder: str, files: Mapping[str, bytes]) -> Outcome:
        """Put files into a folder of it, each unless it lies there already, and return what became of them."""
        for name, text in files.items():
            try:
                if not await self._is_put(f"{folder}/{name}", text):
                    return Outcome(State.REFUSED, f"other bytes lie at {folder}/{name} already")
            except (BaseError, OSError) as error:
                return Outcome(State.LATER, f"{folder}/{name}: {_first_line(error)}", is_trouble=True)
        return Outcome(State.SENT, f"{len(files)} files in {folder}")

    async def _is_put(self, path: str, text: bytes) -> bool:
        there = await self._digest(path)
        if there is None:
            try:
                await self._store.put_async(path, text, mode="create")
            except AlreadyExistsError:
                there = await self._digest(path)
            else:
                return True
        return there == sha256(text).digest()

    async def _digest(self, path: str) -> bytes | None:
        """Return the SHA-256 of what lies at a path; None where nothing does."""
        try:
            found = await self._store.get_async(path)
        except FileNotFoundError:
            return None
        return sha256(await found.bytes_async()).digest()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
