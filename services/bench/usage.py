"""The benchmark's usage: hourly readings of virtual machines, as the sample contract's providers would push them.

Every machine belongs to one provider, subject and item for good and reports one quantity an hour; providers send in the
order of time. Nothing is random between two calls with the same numbers.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import NamedTuple, Self

from services.contract.model import Contract
from services.contract.money import multiply, total
from services.ingest.events import EVENT_TYPE

SEED = 34_400_000
HOURS = 744
MACHINES_MIN = 200
FIRST_HOUR = datetime(2016, 2, 29, 23, tzinfo=UTC)
"""March 2016 in Brussels begins here."""


class Hour(NamedTuple):
    """When a reading began: as a part of its id, and in RFC 3339."""

    code: str
    time: str

    @classmethod
    def number(cls, number: int) -> Self:
        """Return an hour, counted from the first of the month."""
        at = cls.at(number)
        return cls(f"{at:%Y%m%d%H}", f"{at:%Y-%m-%dT%H:%M:%SZ}")

    @staticmethod
    def at(number: int) -> datetime:
        """Return when an hour begins."""
        return FIRST_HOUR + timedelta(hours=number)


@dataclass(frozen=True, slots=True)
class Machine:
    """A metered resource. Its readings differ only in id and time, so the text around these is written once."""

    name: str
    provider: str
    quantity: Decimal
    before_code: str
    before_time: str
    after_time: str

    def message(self, hour: Hour) -> bytes:
        """Return the reading of an hour as a CloudEvent in structured JSON."""
        return f"{self.before_code}{hour.code}{self.before_time}{hour.time}{self.after_time}".encode()


def machines(contract: Contract, events: int, series: str = "vm") -> list[Machine]:
    """Return the machines whose month has that many readings; `series` keeps the ids of two runs apart."""
    choose = random.Random(SEED)  # noqa: S311 a benchmark needs no secrecy
    awards = sorted(contract.award_by_provider)
    subjects, regions = sorted(contract.subjects), sorted(contract.regions)
    made = []
    for number in range(max(MACHINES_MIN, events // HOURS + 1)):
        provider, lot = awards[number % len(awards)]
        tariff = contract.tariff_at(contract.award_by_provider[provider, lot].code, FIRST_HOUR)
        assert tariff is not None, "every award of the sample has a tariff in March 2016"
        name = f"{series}-{number:06}"
        subject, item = choose.choice(subjects), choose.choice(sorted(tariff.metered))
        quantity = Decimal(choose.randint(1, 64_000)) / 1000
        made.append(
            Machine(
                name,
                provider,
                quantity,
                f'{{"specversion":"1.0","id":"{name}-',
                f'","source":"/providers/{provider}","type":"{EVENT_TYPE}","time":"',
                f'","subject":"{subject}","data":{{"lot":"{lot}",'
                f'"item":"{item}","quantity":"{quantity:.3f}",'
                f'"region":"{choose.choice(regions)}","resource":"{name}"}}}}',
            )
        )
    return made


def quantity_of(fleet: list[Machine], events: int) -> Decimal:
    """Return what the fleet's first readings add up to."""
    hours, rest = divmod(events, len(fleet))
    return total(multiply(machine.quantity, Decimal(hours + (place < rest))) for place, machine in enumerate(fleet))


def readings(fleet: list[Machine], events: int, chunk: int) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the fleet's first readings, hour by hour, in chunks of one provider's."""
    waiting: dict[str, list[bytes]] = defaultdict(list)
    for number in count():
        hour = Hour.number(number)
        for machine in fleet[: events - number * len(fleet)]:
            queue = waiting[machine.provider]
            queue.append(machine.message(hour))
            if len(queue) == chunk:
                yield machine.provider, queue
                waiting[machine.provider] = []
        if events <= (number + 1) * len(fleet):
            break
    yield from ((provider, queue) for provider, queue in waiting.items() if queue)
