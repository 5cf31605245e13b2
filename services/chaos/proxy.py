"""A TCP proxy that can be cut, stalled, slowed, and cut at the very moment a transaction commits."""

import asyncio
from enum import Enum, auto

from services.stack.process import LOOPBACK

CHUNK = 64 * 1024
SLOW_SECONDS = 0.15
_COMMIT = b"COMMIT;"


class Mode(Enum):
    """What happens to what passes."""

    PASS = auto()
    CUT = auto()
    STALL = auto()
    SLOW = auto()


class Proxy:
    """Passes a port on to another of this machine, as its mode says.

    `hits` is how often the mode has got in the way since it was set: connections cut, data held back or slowed.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.hits = 0
        self._mode = Mode.PASS
        self._flows = asyncio.Event()
        self._flows.set()
        self._commits_to_cut = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.set(Mode.CUT)
        await asyncio.gather(*self._serving, return_exceptions=True)

    def set(self, mode: Mode) -> None:
        """Change the mode, for open connections as well."""
        self._mode = mode
        self.hits = 0
        if mode is Mode.STALL:
            self._flows.clear()
        else:
            self._flows.set()
        if mode is Mode.CUT:
            self._abort()

    def cut_commits(self, count: int) -> None:
        """Pass the next commits on and cut their connections before the answer comes."""
        self._commits_to_cut = count

    async def all_cut(self, seconds: float) -> bool:
        """Wait until all these commits were cut; False when that took longer."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._commits_to_cut:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def _abort(self) -> None:
        for writer in self._writers:
            self.hits += 1
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.CUT:
            self.hits += 1
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.transport.abort()
            return
        mine = {writer, far_writer}
        self._writers |= mine
        serving = asyncio.current_task()
        assert serving is not None, "a connection is served in a task"
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, far_writer))
                group.create_task(self._pass(far_reader, writer))
        except* OSError:
            pass  # one side is gone, and the other goes with it
        finally:
            self._writers -= mine
            for each in mine:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._mode in {Mode.STALL, Mode.SLOW}:
                self.hits += 1
            await self._flows.wait()
            if self._mode is Mode.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            writer.write(data)
            await writer.drain()
            if self._commits_to_cut and _COMMIT in data:
                self._commits_to_cut -= 1
                raise ConnectionResetError("cut after a commit, on purpose")
        raise ConnectionResetError("closed")
