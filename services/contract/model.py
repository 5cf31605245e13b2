"""The contract as checked: frozen values and the few questions that every service asks them.

Invariant: a `Contract` exists only if it was checked as a whole (`load.py`), so every code it names is
defined, no tariffs of an award begin on the same day, and every weight adds up.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from zoneinfo import ZoneInfo

from services.contract.commitments import Minimum, Prepaid
from services.contract.currencies import CURRENCY_DIGITS
from services.contract.months import first_day, midnight, month_at, month_of, months_between, next_month
from services.contract.parties import Buyer, Coordinator, Party
from services.contract.price import Price, Rate
from services.contract.tariff.percentage import Rounds


class AllocationKey(StrEnum):
    """How a pool's cost is shared among its members."""

    WEIGHTS = "weights"
    EQUAL = "equal"
    PROPORTIONAL = "proportional"


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the contract's life: the initial term or a renewal, from `starts` to the day before `ends`."""

    name: str
    starts: date
    ends: date


@dataclass(frozen=True, slots=True)
class Region:
    """Where usage may run."""

    code: str
    name: str
    country: str


@dataclass(frozen=True, slots=True)
class Item:
    """What is metered: `unit` is the unit of a quantity."""

    code: str
    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Lot:
    """A part of the contract with its own ceiling, in the contract's currency."""

    code: str
    name: str
    ceiling: Decimal


@dataclass(frozen=True, slots=True)
class Supplier:
    """Who signed, and invoices."""

    code: str
    name: str
    country: str
    party: Party | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """Who runs a cloud and pushes its usage."""

    code: str
    name: str
    country: str


@dataclass(frozen=True, slots=True)
class Award:
    """One supplier in one lot, and the providers behind it; `code` is lot/supplier, as in `2/CTA`.

    `regions` are those that it offers; none stands for all.
    """

    code: str
    lot: str
    supplier: str
    providers: tuple[str, ...]
    ceiling: Decimal | None
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tariff:
    """An award's prices from a date on, until its next tariff; `fees` are those that are on other charges.

    `own_meters` says that what counts by the month may count again for its part of a month in which it begins.
    """

    award: str
    valid_from: date
    prices: Mapping[str, Price]
    fees: Rounds = ()
    own_meters: bool = False

    @property
    def place(self) -> str:
        """Where it stands in the file: what came about by an indexation, at that."""
        indexed = any(each.indexed and each.indexed[-1].valid_from == self.valid_from for each in self.prices.values())
        return f"{'indexation' if indexed else 'tariffs'}[{self.award} {self.valid_from}]"

    @property
    def metered(self) -> list[str]:
        """The items that usage may name."""
        fees = {fee.item for each in self.fees for fee in each}
        return [item for item in self.prices if item not in fees]


@dataclass(frozen=True, slots=True)
class Institution:
    """Who uses and pays; `departments` maps code to name; `budget` is its own ceiling, if it has one."""

    code: str
    name: str
    departments: Mapping[str, str]
    budget: Decimal | None
    buyer: Buyer | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """A service that several members share.

    `weights` maps each member (`EP` or `EC/DIGIT`) to its weight: fixed ones add up to 1, equal ones are
    1 each, and for a proportional key they are 1 each and serve only while no member has direct use.
    """

    code: str
    name: str
    key: AllocationKey
    weights: Mapping[str, Decimal]


@dataclass(frozen=True)
class Contract:
    """A framework contract, whole; mappings are keyed by code.

    Usage is taken until `late_days` after its month; at any time where that is None. `rates` says, by currency and the
    first month it is for, how much of the currency one unit of the contract's buys; `equivalences`, of which quantities
    of other items one unit of an item can be made up. `rerated` has the contracts under which months were priced again,
    by award and month, and `rerating` the number of the last time. `minimums` and `prepaid` are what was promised
    beyond single prices. `closed_pools` has the pools as they were when months were closed, by month. `coordinator` is
    who charges the institutions, where the file says so. The numbers of invoices begin with `series`, those of credit
    notes with `credit_series`. A contract that `closes_itself` has its months closed without anyone once their grace is
    over.
    """

    code: str
    name: str
    currency: str
    zone: ZoneInfo
    ceiling: Decimal
    thresholds: tuple[int, ...]
    grace_days: int
    phases: tuple[Phase, ...]
    regions: Mapping[str, Region]
    items: Mapping[str, Item]
    lots: Mapping[str, Lot]
    suppliers: Mapping[str, Supplier]
    providers: Mapping[str, Provider]
    awards: Mapping[str, Award]
    tariffs: tuple[Tariff, ...]
    institutions: Mapping[str, Institution]
    pools: Mapping[str, Pool]
    rates: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    late_days: int | None = None
    equivalences: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    minimums: tuple[Minimum, ...] = ()
    prepaid: tuple[Prepaid, ...] = ()
    coordinator: Coordinator | None = None
    series: str = ""
    credit_series: str = ""
    rerated: Mapping[tuple[str, str], "Contract"] = field(default_factory=dict)
    rerating: int = 0
    closed_pools: Mapping[str, Mapping[str, Pool]] = field(default_factory=dict)
    closes_itself: bool = False

    @property
    def starts(self) -> date:
        """The first day on which usage is covered."""
        return self.phases[0].starts

    @property
    def ends(self) -> date:
        """The first day on which usage is no longer covered, all renewals taken."""
        return self.phases[-1].ends

    @property
    def currency_digits(self) -> int:
        """How many decimals an invoice line is rounded to (ISO 4217)."""
        return CURRENCY_DIGITS[self.currency]

    @cached_property
    def award_by_provider(self) -> Mapping[tuple[str, str], Award]:
        """(provider, lot) to the award it delivers under: unique, or the contract would not have loaded."""
        return {(provider, award.lot): award for award in self.awards.values() for provider in award.providers}

    @cached_property
    def lots_by_provider(self) -> Mapping[str, frozenset[str]]:
        """Each provider's lots."""
        return {
            provider: frozenset(award.lot for award in self.awards.values() if provider in award.providers)
            for provider in self.providers
        }

    @cached_property
    def tariffs_by_award(self) -> Mapping[str, tuple[Tariff, ...]]:
        """Each award's tariffs, oldest first."""
        ordered = sorted(self.tariffs, key=lambda tariff: tariff.valid_from)
        return {code: tuple(each for each in ordered if each.award == code) for code in self.awards}

    @cached_property
    def fees(self) -> Mapping[tuple[str, str], Rounds]:
        """The fees of each tariff that has any, by award and first day (ISO 8601)."""
        return {(each.award, each.valid_from.isoformat()): each.fees for each in self.tariffs if each.fees}

    @cached_property
    def prices_met(self) -> dict[tuple[str, str, str, str], Price]:
        """The prices asked for so far, by award, item, month and tariff: the same few are asked for again and again."""
        return {}

    @cached_property
    def fee_rounds(self) -> int:
        """How many rounds of fees follow usage at most."""
        return max((len(rounds) for each in (self, *self.rerated.values()) for rounds in each.fees.values()), default=0)

    @cached_property
    def subjects(self) -> frozenset[str]:
        """Every subject that usage may name: EP, EC, EC/DIGIT, pool/mail."""
        payers = set(self.institutions)
        departments = {f"{each.code}/{code}" for each in self.institutions.values() for code in each.departments}
        return frozenset(payers | departments | {f"pool/{code}" for code in self.pools})

    @cached_property
    def period_starts(self) -> tuple[datetime, ...]:
        """The instants at which a new period begins: `period` counts those that an instant has reached."""
        days = {first_day(month) for month in months_between(month_of(self.starts), next_month(month_of(self.ends)))}
        days |= {self.starts, self.ends} | {tariff.valid_from for tariff in self.tariffs}
        return tuple(midnight(day, self.zone) for day in sorted(days))

    def period(self, instant: datetime) -> int:
        """Number the stretch of time an instant lies in; within one, month and tariffs are the same for all."""
        return bisect_right(self.period_starts, instant)

    def covers(self, instant: datetime) -> bool:
        """Tell whether the contract runs at that instant."""
        return midnight(self.starts, self.zone) <= instant < midnight(self.ends, self.zone)

    def earliest(self, received: datetime) -> datetime:
        """Return the beginning of the earliest month whose usage is still taken when it is received at an instant."""
        if self.late_days is None:
            return midnight(self.starts, self.zone)
        last_day = received.astimezone(self.zone).date() - timedelta(days=self.late_days)
        return midnight(first_day(month_of(last_day)), self.zone)

    def month(self, instant: datetime) -> str:
        """Return the billing month of an instant."""
        return month_at(instant, self.zone)

    def tariff_at(self, award: str, instant: datetime) -> Tariff | None:
        """Return the award's tariff in force at an instant."""
        day = instant.astimezone(self.zone).date()
        valid = [each for each in self.tariffs_by_award[award] if each.valid_from <= day]
        return valid[-1] if valid else None

    def price(self, award: str, item: str, valid_from: date) -> Price:
        """Return an item's price in the award's tariff that began on a day; raises KeyError where there is none."""
        for tariff in self.tariffs_by_award[award]:
            if tariff.valid_from == valid_from:
                return tariff.prices[item]
        raise KeyError(f"award {award} has no tariff from {valid_from}")

    def pricing(self, award: str, item: str, month: str, tariff: date) -> "Contract":
        """Return the contract whose price holds in an award's month: the last it was re-rated under, else this one.

        What was added since then, an item or a tariff, is priced as it stands here.
        """
        rerated = self.rerated.get((award, month))
        return rerated if rerated is not None and rerated.has_price(award, item, tariff) else self

    def has_price(self, award: str, item: str, valid_from: date) -> bool:
        """Tell whether the award's tariff that began on a day prices an item."""
        return any(
            each.valid_from == valid_from and item in each.prices for each in self.tariffs_by_award.get(award, ())
        )

    def pool(self, code: str, month: str) -> Pool:
        """Return a pool as it is shared in a month: a closed one stays split by the key it was closed with."""
        return self.closed_pools.get(month, self.pools).get(code) or self.pools[code]

    def rate(self, currency: str | None, month: str) -> Rate | None:
        """Return a currency's reference rate in a month: the last one given by then; None for the contract's own."""
        months = [since for code, since in self.rates if code == currency and since <= month]
        return Rate(self.rates[currency, max(months)], max(months)) if currency and months else None


def payer(subject: str) -> str:
    """Return who a subject belongs to: its institution (`EC/DIGIT` to `EC`), or the pool itself (`pool/mail`)."""
    return subject if subject.startswith("pool/") else subject.partition("/")[0]
