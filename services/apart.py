"""One of our commands, run apart: what takes seconds of Python or much memory must not hold up an event loop."""

import asyncio
import os
import sys
from typing import NamedTuple


class Done(NamedTuple):
    """How a command ended: its exit status, what it answered, and the end of what it said on standard error."""

    status: int
    answer: bytes
    said: str


async def run_apart(database_url: str, *words: str) -> Done:
    """Run `plafond` with these words on a database and wait for it; it ends with whoever waits."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *words,
        env={**os.environ, "PLAFOND_DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        answer, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None, "it was waited for"
    return Done(process.returncode, answer, said.decode("utf-8", "replace").strip()[-500:])
