"""Fuzzing: mutated usage into the gateway and into the raw topics. Whatever comes, it is counted."""

import random
from collections import Counter
from collections.abc import Iterator

import httpx

from services.audit.run import wait_until_through
from services.bench import fill
from services.bench.usage import Machine, machines, readings
from services.chaos.errors import ChaosError
from services.chaos.tally import Tally, became
from services.contract.load import load
from services.contract.model import Contract
from services.ingest.events import EVENT_SIZE_MAX, UsageEvent, read_json
from services.ingest.push import avro_event
from services.kafka import is_raw
from services.offsets import Offsets
from services.postgres import connect
from services.stack.demo import CONTRACT
from services.stack.plafond import Plafond

OVER_HTTP = 0.05
SINGLE, BATCH, LINES = "application/cloudevents+json", "application/cloudevents-batch+json", "application/x-ndjson"
THROUGH_SECONDS_MAX = 600
_CHUNK = 500
_BODIES = 20
_PIECES = (
    b"null", b"NaN", b"1e400", b"-0", b"9999-12-31T23:59:60Z", b"\xff\xfe", b"\x00", b"[" * 2_000, b'{"data":' * 500,
    b"\\ud800", b'"quantity":0.1', b"true", b"\xc3\x01", b"\r\n", "\u202e".encode(), b"/providers/", b"-1", b",", b"}",
)  # fmt: skip


def mutated(message: bytes, choose: random.Random) -> bytes:
    """Return a message with one to four of its parts cut, doubled, replaced or turned."""
    made = bytearray(message)
    for _ in range(choose.randint(1, 4)):
        start = choose.randrange(len(made) + 1)
        end = min(len(made), start + choose.randint(0, 12))
        match choose.randrange(5):
            case 0:
                del made[start:end]
            case 1:
                made[start:end] = choose.choice(_PIECES)
            case 2:
                made[start:start] = made[start:end]
            case 3:
                made[start:end] = choose.randbytes(end - start)
            case _:
                del made[start:]
    if choose.random() < 0.0005:
        made += b" " * EVENT_SIZE_MAX
    return bytes(made)


async def fuzz(plafond: Plafond, keys: dict[str, str], count: int, seed: int) -> Tally:
    """Send so many mutated messages, a part of them over HTTP, and tell what became of every one.

    Raises ChaosError when the gateway goes away or fails.
    """
    contract = load(CONTRACT.read_text("utf-8"))
    assert isinstance(contract, Contract), "the sample has no mistakes"
    choose = random.Random(seed)  # noqa: S311 mutations need no secrecy
    fleet = machines(contract, count, "fuzz")
    over_http = int(count * OVER_HTTP)
    async with Offsets(plafond.addresses.kafka) as offsets:
        partitions = await offsets.partitions(is_raw)
        begins = await offsets.end(partitions)
        into_kafka = await fill.fill(
            plafond.addresses.kafka, _mutations(fleet, count - over_http, choose), lambda _: None
        )
        posted = await _post(plafond.addresses.gateway, fleet, keys, over_http, choose)
        ends = await offsets.end(partitions)
        if behind := await wait_until_through(offsets, THROUGH_SECONDS_MAX):
            raise ChaosError(f"{'; '.join(behind)} {THROUGH_SECONDS_MAX} s after the last mutated message")
    connection = await connect(plafond.addresses.database_url)
    try:
        made = await became(connection, begins)
    finally:
        await connection.close()
    grown = sum(ends.values()) - sum(begins.values())
    return Tally(count, into_kafka, posted.in_taken, posted.taken, dict(posted.refused), grown, made)


def _mutations(fleet: list[Machine], count: int, choose: random.Random) -> Iterator[tuple[str, list[bytes]]]:
    for provider, messages in readings(fleet, count, _CHUNK):
        yield provider, [mutated(_form(message, choose), choose) for message in messages]


def _form(message: bytes, choose: random.Random) -> bytes:
    """Return a message as it is or, now and then, as Avro."""
    if choose.random() < 0.8:
        return message
    event = read_json(message)
    assert isinstance(event, UsageEvent), "what is mutated is good usage"
    return avro_event(event)


class _Posted:
    """How many messages were in requests that were taken, how many the gateway found there, and those refused."""

    def __init__(self) -> None:
        self.in_taken = self.taken = 0
        self.refused: Counter[int] = Counter()

    def add(self, messages: int, answer: httpx.Response) -> None:
        """Count the messages of a request by its answer."""
        if answer.status_code == httpx.codes.ACCEPTED:
            self.in_taken += messages
            self.taken += answer.json()["taken"]
        else:
            self.refused[answer.status_code] += messages


async def _post(url: str, fleet: list[Machine], keys: dict[str, str], count: int, choose: random.Random) -> _Posted:
    posted = _Posted()
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        for provider, messages in readings(fleet, count, _BODIES):
            for kind, body, carried in _bodies(messages, choose):
                headers = {"Authorization": f"Bearer {keys[provider]}", "Content-Type": kind}
                try:
                    answer = await client.post("/v1/usage", content=mutated(body, choose), headers=headers)
                except httpx.TransportError as error:
                    raise ChaosError(f"the gateway went away ({error!r}) at or before {body[:500]!r}") from error
                if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                    raise ChaosError(f"the gateway answers {answer.status_code} to {body[:500]!r}")
                posted.add(carried, answer)
    return posted


def _bodies(messages: list[bytes], choose: random.Random) -> list[tuple[str, bytes, int]]:
    """Return the content types, bodies and numbers of messages of requests that carry all these, in a form."""
    form = choose.choice((SINGLE, BATCH, LINES))
    if form == BATCH:
        return [(BATCH, b"[" + b",".join(messages) + b"]", len(messages))]
    if form == LINES:
        return [(LINES, b"\n".join(messages), len(messages))]
    return [(SINGLE, message, 1) for message in messages]
