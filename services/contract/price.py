"""An item's price in a tariff: a charge model, and what goes before it.

Law: like a charge model's, the price of a cumulative quantity is pure, and nothing costs nothing. So charges add up to
it, whatever is reserved or free; only what was reserved and is unused is due besides, at the close.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Self

from services.contract.money import (
    HUNDRED,
    PRICE_DIGITS,
    ZERO,
    add,
    multiply,
    plain,
    quotient,
    round_half_up,
    started,
    subtract,
    total,
)
from services.contract.tariff import ChargeModel, Monthly, Step
from services.contract.tariff.reserved import EVERYONE, Reserved


class Scope(StrEnum):
    """Whose quantities run up the same meter, and so reach its tiers together."""

    INSTITUTION = "institution"
    DEPARTMENT = "department"
    CONTRACT = "contract"


class Rate(NamedTuple):
    """How much of a currency one unit of the contract's buys, and the month that the rate was given for."""

    rate: Decimal
    month: str


@dataclass(frozen=True, slots=True)
class Indexed:
    """A change of an award's prices by so many per cent from a day on."""

    valid_from: date
    percent: Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """One item's price in a tariff: a charge model, and what goes before it.

    `reserved` says who has reserved how much of it, and `reservation` what is on the meter in hand: its first units.
    `fee_payers` owe the first tier's fee even where it is not entered; it is `unused_fee` if that is so on this meter.
    The next `free` units of a month cost nothing. The model's prices are `percent_of_list` per cent of the supplier's
    list, changed by what it was `indexed` by, worked in already; `listed` is the price without these, where there are
    any: they say how a price came about and make it no other. Prices are in `currency`, the contract's where that is
    None; `rate` is how much of it a unit of the contract's currency buys, and known once the month is: that of
    `rate_month`. With `latest_rate` the last one given holds; else each month has its own, and any other is
    provisional. That changes no amount by itself, so prices that differ in it alone are equal. An event is billed for
    at least the `minimum`, and for whole `increment`s, where they are not zero.
    """

    item: str
    scope: Scope
    model: ChargeModel
    free: Decimal = ZERO
    percent_of_list: Decimal = HUNDRED
    currency: str | None = None
    rate: Decimal | None = None
    rate_month: str | None = None
    is_provisional: bool = False
    latest_rate: bool = field(default=False, compare=False)
    minimum: Decimal = ZERO
    increment: Decimal = ZERO
    reserved: Mapping[str, Reserved] = field(default_factory=dict)
    reservation: Reserved | None = None
    indexed: tuple[Indexed, ...] = field(default=(), compare=False)
    listed: "Price | None" = field(default=None, compare=False)
    fee_payers: frozenset[str] = frozenset()
    first_fee: Decimal = ZERO
    unused_fee: Decimal = ZERO

    @property
    def is_promised(self) -> bool:
        """Tell whether something is due for it on some meters even if it is not used."""
        return bool(self.reserved or self.fee_payers)

    def promised_by(self, institutions: Iterable[str]) -> set[str]:
        """Return the scopes of the meters on which something is due even if it is not used."""
        each = self.scope is Scope.INSTITUTION and EVERYONE in self.fee_payers
        return {*self.reserved, *(institutions if each else self.fee_payers)}

    def on_meter(self, scope: str) -> Self:
        """Return the price as it is on the meter of a scope, with what is reserved or due unused there."""
        if not self.is_promised:
            return self
        owes = scope in self.fee_payers or (EVERYONE in self.fee_payers and not scope.startswith("pool/"))
        listed = self.listed.on_meter(scope) if self.listed else None
        reservation = self.reserved.get(scope)
        return replace(self, reservation=reservation, unused_fee=self.first_fee if owes else ZERO, listed=listed)

    def billed(self, quantity: Decimal) -> Decimal:
        """Return for how much of the item an event of some quantity is billed; what is taken back, as its opposite."""
        size = quantity.copy_abs()
        if self.increment:
            size = multiply(started(size, self.increment), self.increment)
        return max(size, self.minimum).copy_sign(quantity) if quantity else quantity

    def in_month(self, month: str, rate: Rate | None = None) -> Self:
        """Return the price as it is in a month like 2016-02, in which its currency has a rate."""
        model = self.model.in_month(month) if isinstance(self.model, Monthly) else self.model
        if model is self.model and rate is None:
            return self
        listed = self.listed.in_month(month) if self.listed else None
        price = replace(self, model=model, listed=listed)
        if rate is None:
            return price
        is_provisional = rate.month != month and not self.latest_rate
        return replace(price, rate=rate.rate, rate_month=rate.month, is_provisional=is_provisional)

    def amount(self, quantity: Decimal) -> Decimal:
        """Return the price of a cumulative quantity in the contract's currency; nothing costs nothing.

        Exact, but a conversion is rounded half up to 12 decimals. Raises ValueError where the rate is missing.
        """
        return self._converted(self.in_currency(quantity))

    def due(self, quantity: Decimal) -> Decimal:
        """Return what a month's quantity comes to at the close: its price, and what is due of it unused."""
        return self._converted(self.due_in_currency(quantity))

    def due_in_currency(self, quantity: Decimal) -> Decimal:
        """Return what is due at the close in the price's own currency, exact."""
        unused = self.reservation.unused(quantity) if self.reservation else ZERO
        rest = subtract(quantity, self.reservation.used(quantity)) if self.reservation else quantity
        fee = self.unused_fee if rest <= self.free else ZERO
        return total([self.in_currency(quantity), unused, fee])

    def in_currency(self, quantity: Decimal) -> Decimal:
        """Return the price of a cumulative quantity in the price's own currency, exact."""
        if self.reservation is None:
            return self.model.amount(subtract(quantity, self._without_charge(quantity)))
        used = self.reservation.used(quantity)
        rest = subtract(quantity, used)
        beyond = self.model.amount(subtract(rest, self._without_charge(rest)))
        return add(multiply(used, self.reservation.price), beyond)

    def steps(self, quantity: Decimal) -> list[Step]:
        """Return the reckoning of `in_currency`, line by line; the lines add up to it."""
        steps = self._steps(quantity)
        if self.listed is None:
            return steps
        listed = self.listed.steps(quantity)
        if len(listed) == len(steps):
            return [replace(step, listed=each.price) for step, each in zip(steps, listed, strict=True)]
        prices = {step.what: step.price for step in listed}  # a fee of which nothing is due is no step
        return [replace(step, listed=prices.get(step.what)) for step in steps]

    def _steps(self, quantity: Decimal) -> list[Step]:
        steps = [self.reservation.step(quantity)] if self.reservation else []
        rest = subtract(quantity, self.reservation.used(quantity)) if self.reservation else quantity
        free = self._without_charge(rest)
        if self.free:
            steps.append(Step(f"free, up to {plain(self.free)}", free, ZERO, ZERO))
        return steps + self.model.steps(subtract(rest, free))

    def brief(self) -> str:
        """Return the price in one line, for a price list."""
        free = f"{plain(self.free)} free, then " if self.free else ""
        listed = "" if self.percent_of_list == HUNDRED else f" ({plain(self.percent_of_list)} % of the list)"
        currency = f" {self.currency}" if self.currency else ""
        least = f", at least {plain(self.minimum)} an event" if self.minimum else ""
        parts = f", in started {plain(self.increment)}" if self.increment else ""
        reserved = "".join(
            f"; {plain(each.quantity)} reserved{f' for {payer}' if payer != EVERYONE else ''} at {plain(each.price)}"
            for payer, each in self.reserved.items()
        )
        payers = ", ".join(sorted(self.fee_payers - {EVERYONE}))
        fee = f"; fee due even if unused{f' by {payers}' if payers else ''}" if self.fee_payers else ""
        return f"{free}{self.model.brief()}{currency}{listed}{least}{parts}{reserved}{fee}"

    def _converted(self, amount: Decimal) -> Decimal:
        if self.currency is None:
            return amount
        if self.rate is None:
            raise ValueError(f"a price in {self.currency} depends on the month's rate")
        return round_half_up(quotient(amount, self.rate), PRICE_DIGITS)

    def _without_charge(self, quantity: Decimal) -> Decimal:
        return max(ZERO, min(quantity, self.free))
