"""Deciding on a usage event: accepted, with the award, month and tariff it falls under, or refused.

Law: the decision depends on nothing but the contract version, the sender, the event, the clock's present (which only
refuses the future) and, where the contract refuses what comes late, when the event came. Everything but id, time,
quantity and resource comes from a small set of distinct decisions (`Use`), each made once and remembered; refusals are
not remembered, so that no sender can fill the memory.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import msgspec

from services.contract.model import Contract
from services.contract.money import QUANTITY_DIGITS, QUANTITY_LIMIT, decimals, plain
from services.ingest.events import UsageEvent
from services.reasons import Reason, Refusal, too_late

ID_LENGTH_MAX = 128
RESOURCE_LENGTH_MAX = 256
TIME_LENGTH_MAX = 35
CLOCK_SKEW_MAX = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NEVER_LATE = -(2**63)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):[0-5]\d:\d\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)\Z", re.ASCII
)
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?\Z", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?\Z", re.ASCII)


class Use(msgspec.Struct, frozen=True, cache_hash=True):
    """What the contract says of an event: `tariff` is the first day of the tariff in force, ISO 8601."""

    provider: str
    award: str
    subject: str
    item: str
    region: str
    month: str
    tariff: str


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """An event that will be priced: `time` in microseconds since 1970 UTC, `quantity` in plain form.

    `corrects` is the id of the event that it replaces, empty where it replaces none. Two events with one id are equal
    when they say the same: a repeat. If not, they are in conflict.
    """

    use: Use
    id: str
    time: int
    quantity: str
    resource: str
    corrects: str = ""


class Form(msgspec.Struct, frozen=True, gc=False):
    """What a well-formed event says: when its usage began, UTC, and its quantity in plain form."""

    instant: datetime
    quantity: str


class Decider:
    """Decides under one contract version."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._uses: dict[tuple[str, str, str, str, str, int], Use] = {}
        self.period = lru_cache(8192)(contract.period)
        self._takes_late = contract.late_days is None

    def decide(
        self, provider: str, event: UsageEvent, now: datetime, received_at: int | None = None
    ) -> Accepted | Refusal:
        """Decide on an event that `provider` is known to have sent; it came now, or `received_at` (ms since 1970)."""
        form = check_form(provider, event, now)
        if isinstance(form, Refusal):
            return form
        if not self._takes_late and (late := self._too_late(form.instant, now, received_at)):
            return late
        use = self.use(provider, event.lot, event.item, event.subject, event.region, form.instant)
        if isinstance(use, Refusal):
            return use
        return Accepted(use, event.id, microseconds(form.instant), form.quantity, event.resource, event.corrects)

    def use(self, provider: str, lot: str, item: str, subject: str, region: str, instant: datetime) -> Use | Refusal:
        """Return what the contract says of such usage at that instant."""
        key = (provider, lot, item, subject, region, self.period(instant))
        use = self._uses.get(key)
        if use is not None:
            return use
        made = self._make_use(provider, lot, item, subject, region, instant)
        if isinstance(made, Use):
            self._uses[key] = made
        return made

    def earliest(self, received_at: int) -> int:
        """Return when usage received at that time (ms since 1970) must have begun at the earliest, in microseconds."""
        if self._takes_late:
            return _NEVER_LATE
        return microseconds(self.contract.earliest(_EPOCH + timedelta(milliseconds=received_at)))

    def _too_late(self, instant: datetime, now: datetime, received_at: int | None) -> Refusal | None:
        received = now if received_at is None else _EPOCH + timedelta(milliseconds=received_at)
        if instant >= self.contract.earliest(received):
            return None
        return too_late(instant, received, self.contract.late_days)

    def _make_use(
        self, provider: str, lot: str, item: str, subject: str, region: str, instant: datetime
    ) -> Use | Refusal:
        contract = self.contract
        if provider not in contract.providers:
            return Refusal(Reason.UNKNOWN_PROVIDER, _show(provider))
        if not contract.covers(instant):
            return Refusal(
                Reason.OUTSIDE_CONTRACT,
                f"{instant.isoformat()}; it runs from {contract.starts} until before {contract.ends}",
            )
        award = contract.award_by_provider.get((provider, lot))
        if award is None:
            lots = ", ".join(sorted(contract.lots_by_provider[provider]))
            return Refusal(Reason.UNKNOWN_LOT, f"{_show(lot)}; {provider} delivers under {lots}")
        if subject not in contract.subjects:
            return Refusal(Reason.UNKNOWN_SUBJECT, _show(subject))
        if region not in contract.regions:
            return Refusal(Reason.REGION_NOT_ALLOWED, _show(region))
        if item not in contract.items:
            return Refusal(Reason.UNKNOWN_ITEM, _show(item))
        tariff = contract.tariff_at(award.code, instant)
        if tariff is None or item not in tariff.prices:
            return Refusal(Reason.NO_PRICE, f"{item} under {award.code} at {instant.isoformat()}")
        if item not in tariff.metered:
            return Refusal(Reason.NO_PRICE, f"{item} under {award.code} is a percentage of other charges, not metered")
        return Use(
            provider,
            award.code,
            subject,
            item,
            region,
            contract.month(instant),
            tariff.valid_from.isoformat(),
        )


def check_form(provider: str, event: UsageEvent, now: datetime) -> Form | Refusal:
    """Check all that needs no contract: whose event it is, and that its id, time and quantity can be read."""
    if event.source != f"/providers/{provider}":
        return Refusal(Reason.WRONG_PROVIDER, f"source {_show(event.source)} sent by {_show(provider)}")
    if not is_id(event.id):
        return Refusal(Reason.MALFORMED, f"id {_show(event.id)}; wanted 1 to {ID_LENGTH_MAX} printable characters")
    if not is_resource(event.resource):
        form = f"at most {RESOURCE_LENGTH_MAX} printable characters"
        return Refusal(Reason.MALFORMED, f"resource {_show(event.resource)}; wanted {form}")
    if event.corrects and not (event.corrects != event.id and is_id(event.corrects)):
        return Refusal(Reason.CORRECTION, f"corrects {_show(event.corrects)}")
    instant = read_time(event.time)
    if isinstance(instant, Refusal):
        return instant
    if instant > now and instant > now + CLOCK_SKEW_MAX:
        return Refusal(Reason.IN_FUTURE, f"{_show(event.time)} with the clock at {now.isoformat(timespec='seconds')}")
    quantity = read_quantity(event.quantity)
    return quantity if isinstance(quantity, Refusal) else Form(instant, quantity)


def is_id(text: str) -> bool:
    """Tell whether a text may be an event's id."""
    return 0 < len(text) <= ID_LENGTH_MAX and text.isprintable()


def is_resource(text: str) -> bool:
    """Tell whether a text may name a resource; it may be empty."""
    return len(text) <= RESOURCE_LENGTH_MAX and text.isprintable()


def read_time(text: str) -> datetime | Refusal:
    """Read an RFC 3339 instant; fractions finer than a microsecond are cut off."""
    return _read_time(text) if len(text) <= TIME_LENGTH_MAX else _no_time(text)


# Meters report by the hour or the minute, so the same few instants come again and again.
@lru_cache(8192)
def _read_time(text: str) -> datetime | Refusal:
    if not _RFC3339.match(text):
        return _no_time(text)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        return Refusal(Reason.BAD_TIME, f"{_show(text)}: {error}")


def _no_time(text: str) -> Refusal:
    return Refusal(Reason.BAD_TIME, f"{_show(text)}; wanted one like 2016-03-01T00:00:00Z")


@lru_cache(8192)
def microseconds(instant: datetime) -> int:
    """Return an instant as microseconds since 1970 UTC."""
    return (instant - _EPOCH) // _MICROSECOND


def read_quantity(text: str) -> str | Refusal:
    """Read a quantity and return it in plain form."""
    if _DECIMAL.match(text):
        return text if text[-1] != "0" or "." not in text else text.rstrip("0").rstrip(".")
    if not _NUMBER.match(text):
        return Refusal(Reason.BAD_QUANTITY, f"{_show(text)}; wanted a decimal like 12.5")
    number = Decimal(text)
    if number.copy_abs() >= QUANTITY_LIMIT or (number and decimals(number) > QUANTITY_DIGITS):
        return Refusal(
            Reason.BAD_QUANTITY,
            f"{_show(text)}; wanted less than 10^15 and at most {QUANTITY_DIGITS} decimals",
        )
    if not number and text.startswith("-"):
        return Refusal(Reason.BAD_QUANTITY, f"{_show(text)}: zero has no sign")
    return plain(number)


def _show(text: str) -> str:
    return ascii(text if len(text) <= 100 else text[:97] + "...")
