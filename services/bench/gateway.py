"""Load on the HTTP gateway, from a process of its own with raw sockets, so that the client costs little.

`python -m services.bench.gateway batches SECONDS`, or `single SECONDS REQUESTS_A_SECOND`: reads a `Target` from
standard input and writes a `Load`, both as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import count

import msgspec
import uvloop

from services.bench.usage import Hour

CLIENTS = 8
EVENTS_A_BATCH = 500
_OK = 202


class Load(msgspec.Struct, frozen=True):
    """What was answered with 202, how fast, and how many answers were others, with how many events."""

    events: int
    events_per_second: float
    requests_per_second: float
    p50_seconds: float
    p99_seconds: float
    refused: int
    refused_events: int


class Target(msgspec.Struct, frozen=True):
    """Where to send, as whom, and one event of its to be sent under ever new ids."""

    host: str
    port: int
    key: str
    series: str
    before_code: str
    before_time: str
    after_time: str

    def events(self) -> Iterator[bytes]:
        """Yield events without end."""
        hour = Hour.number(0)
        for number in count():
            yield f"{self.before_code}{self.series}-{number}{self.before_time}{hour.time}{self.after_time}".encode()

    def request(self, kind: str, body: bytes) -> bytes:
        """Write a whole HTTP request."""
        head = (
            f"POST /v1/usage HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/{kind}+json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def measure(target: Target, *mode: str) -> Load:
    """Run the load in a process of its own; raises RuntimeError when that fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.bench.gateway", *mode,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(msgspec.json.encode(target))
    if process.returncode:
        raise RuntimeError(f"the gateway's load ended with status {process.returncode}")
    return msgspec.json.decode(output, type=Load)


class _Client:
    """One connection that is kept."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: bytes) -> int:
        """Send a request and return the answer's status; an idle connection that was closed is opened again."""
        if self._streams is not None:
            try:
                return await self._post(*self._streams, request)
            except (asyncio.IncompleteReadError, ConnectionError):
                self._streams = None
        self._streams = await asyncio.open_connection(self._target.host, self._target.port)
        return await self._post(*self._streams, request)

    async def _post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        return int(head[9:12])


async def _batches(target: Target, seconds: float) -> Load:
    """Let clients post batches one after the other, as fast as each is answered."""
    events = target.events()
    latencies: list[float] = []
    statuses: list[int] = []
    began = time.perf_counter()

    async def run(client: _Client) -> None:
        while time.perf_counter() < began + seconds:
            body = b"[" + b",".join(event for _, event in zip(range(EVENTS_A_BATCH), events, strict=False)) + b"]"
            sent = time.perf_counter()
            statuses.append(await client.post(target.request("cloudevents-batch", body)))
            latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(run(_Client(target)) for _ in range(CLIENTS)))
    return _load(statuses, latencies, time.perf_counter() - began, EVENTS_A_BATCH)


async def _single(target: Target, seconds: float, rate: float) -> Load:
    """Post single events at a steady rate, each when it is due, whether or not the earlier ones are answered."""
    events = target.events()
    idle: list[_Client] = []
    latencies: list[float] = []
    statuses: list[int] = []

    async def run(due: float) -> None:
        client = idle.pop() if idle else _Client(target)
        statuses.append(await client.post(target.request("cloudevents", next(events))))
        latencies.append(time.perf_counter() - due)
        idle.append(client)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * rate)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(run(due))
    return _load(statuses, latencies, time.perf_counter() - began, 1)


def _load(statuses: list[int], latencies: list[float], seconds: float, events: int) -> Load:
    answered = statuses.count(_OK)
    latencies.sort()
    return Load(
        answered * events,
        answered * events / seconds,
        answered / seconds,
        latencies[len(latencies) // 2],
        latencies[len(latencies) * 99 // 100],
        len(statuses) - answered,
        (len(statuses) - answered) * events,
    )


async def _main(mode: str, seconds: float, rate: float = 0) -> None:
    target = msgspec.json.decode(sys.stdin.buffer.read(), type=Target)
    load = await (_single(target, seconds, rate) if mode == "single" else _batches(target, seconds))
    sys.stdout.write(msgspec.json.encode(load).decode() + "\n")


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_main(sys.argv[1], *map(float, sys.argv[2:])))
