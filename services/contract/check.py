"""Checking a contract as a whole: what no single table can tell.

Law: `check` of a contract that `load` returned is empty. Each rule below is one generator, and a contract
that lacks a part (because it could not be read) is not blamed for what follows from that alone.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

from services.contract.commitments import Minimum, Prepaid
from services.contract.equivalences import circles
from services.contract.model import AllocationKey, Award, Contract, Phase, Tariff
from services.contract.money import plain, total
from services.contract.months import month_of, months_between
from services.contract.parted import parted
from services.contract.price import Price, Scope
from services.contract.problems import Problem, one_of
from services.contract.tariff.reserved import EVERYONE


def check(contract: Contract) -> list[Problem]:
    """Return every problem between the parts of a contract."""
    rules = (
        _phases,
        _ceilings,
        _lots,
        _providers,
        _topics,
        _tariffs,
        parted,
        _promised,
        _committed,
        _rates,
        _pools,
        circles,
    )
    return [problem for rule in rules for problem in rule(contract)]


def _phases(contract: Contract) -> Iterator[Problem]:
    """Phases have names of their own and follow each other day by day."""
    names: set[str] = set()
    for phase in contract.phases:
        if phase.name in names:
            yield Problem(f"phases[{phase.name}].name", f"{phase.name!r} again", "a name of its own")
        names.add(phase.name)
        if phase.ends <= phase.starts:
            yield Problem(f"phases[{phase.name}].ends", _last(phase), f"{phase.starts} or later: it starts then")
    for before, phase in pairwise(contract.phases):
        if phase.starts != before.ends:
            relation = "which overlaps" if phase.starts < before.ends else "which leaves a gap after"
            yield Problem(
                f"phases[{phase.name}].starts",
                f"{phase.starts}, {relation} {before.name!r}",
                f"{before.ends}: {before.name!r} ends on {_last(before)}",
            )


def _last(phase: Phase) -> str:
    return (phase.ends - timedelta(days=1)).isoformat()


def _ceilings(contract: Contract) -> Iterator[Problem]:
    """No part may cost more than the whole."""
    limit = contract.ceiling
    lots = total(lot.ceiling for lot in contract.lots.values())
    above = [each for each in contract.lots.values() if each.ceiling > limit]
    for each in above:
        wanted = f"at most the contract's ceiling, {plain(limit)}"
        yield Problem(f"lots[{each.code}].ceiling", plain(each.ceiling), wanted)
    if lots > limit and not above:
        yield Problem(
            "lots", f"ceilings that add up to {plain(lots)}", f"at most the contract's ceiling, {plain(limit)}"
        )
    for award in contract.awards.values():
        lot = contract.lots.get(award.lot)
        if lot and lot.ceiling and award.ceiling is not None and award.ceiling > lot.ceiling:
            yield Problem(
                f"awards[{award.code}].ceiling",
                plain(award.ceiling),
                f"at most its lot's ceiling, {plain(lot.ceiling)}",
            )
    for institution in contract.institutions.values():
        if institution.budget is not None and institution.budget > limit:
            yield Problem(
                f"institutions[{institution.code}].budget",
                plain(institution.budget),
                f"at most the contract's ceiling, {plain(limit)}",
            )


def _lots(contract: Contract) -> Iterator[Problem]:
    """A lot has an award."""
    awarded = {award.lot for award in contract.awards.values()}
    if "" in awarded:
        return
    for code in contract.lots:
        if code not in awarded:
            yield Problem(f"lots[{code}]", "no award", f'at least one of [[awards]] with lot = "{code}"')


def _providers(contract: Contract) -> Iterator[Problem]:
    """A provider delivers under an award, and under only one in a lot: (provider, lot) names the award."""
    awards: dict[tuple[str, str], Award] = {}
    for award in contract.awards.values():
        for provider in award.providers:
            other = awards.setdefault((provider, award.lot), award)
            if other is not award and award.lot:
                yield Problem(
                    f"awards[{award.code}].providers",
                    f"{provider!r}, which already delivers under {other.code}",
                    "a provider of its own: provider and lot must name one award",
                )
    if not all(award.providers for award in contract.awards.values()):
        return
    behind = {provider for provider, _ in awards}
    for code in contract.providers:
        if code not in behind:
            yield Problem(f"providers[{code}]", "no award it delivers under", "a place among an award's providers")


def _topics(contract: Contract) -> Iterator[Problem]:
    """A provider's code is part of its topic's name, where Kafka takes '.' and '_' for the same."""
    topics: dict[str, str] = {}
    for code in contract.providers:
        other = topics.setdefault(code.replace(".", "_"), code)
        if other != code:
            yield Problem(
                f"providers[{code}].code",
                f"{code!r}, which differs from {other!r} only in '.' and '_'",
                "a code that Kafka can tell apart in a topic's name",
            )


def _tariffs(contract: Contract) -> Iterator[Problem]:
    """From the contract's first day to its last, each award has one tariff on each day."""
    first: dict[str, date] = {}
    seen: set[tuple[str, date]] = set()
    for tariff in contract.tariffs:
        key = (tariff.award, tariff.valid_from)
        if key in seen and tariff.award and tariff.valid_from != date.min:
            yield Problem(
                f"{tariff.place}.valid_from",
                f"{tariff.valid_from} again",
                f"a day on which no other tariff of {tariff.award} begins",
            )
        seen.add(key)
        first[tariff.award] = min(tariff.valid_from, first.get(tariff.award, date.max))
    if not contract.phases:
        return
    starts, ends = contract.phases[0].starts, contract.phases[-1].ends
    for tariff in contract.tariffs:
        if tariff.valid_from != date.min and not starts <= tariff.valid_from < max(ends, starts):
            yield Problem(
                f"{tariff.place}.valid_from",
                str(tariff.valid_from),
                f"a day of the contract, from {starts} to {ends - timedelta(days=1)}",
            )
    for award in contract.awards.values():
        day = first.get(award.code)
        if award.lot and award.supplier and (day is None or day > starts):
            yield Problem(
                f"awards[{award.code}]",
                "no tariff" if day is None else f"no tariff before {day}",
                f"one of [[tariffs]] valid from the contract's first day, {starts}",
            )


def _promised(contract: Contract) -> Iterator[Problem]:
    """What is due unused is owed by those who run up the meter, and for whole months."""
    ends = _last_days(contract)
    for tariff in contract.tariffs:
        place = tariff.place
        for item, price in tariff.prices.items():
            yield from _unknown_payers(contract, price, f"{place}.prices[{item}]")
        promised = sorted(item for item, price in tariff.prices.items() if price.is_promised)
        last = ends.get((tariff.award, tariff.valid_from))
        day = last + timedelta(days=1) if last else None
        for begins, what in ((tariff.valid_from, "begins"), (day, "is followed by another")):
            if promised and begins and begins != date.min and begins.day != 1:
                key = "reserved" if tariff.prices[promised[0]].reserved else "fee_when_unused"
                yield Problem(
                    f"{place}.prices[{promised[0]}].{key}",
                    f"a part of a month: the tariff {what} on {begins}",
                    "a tariff for whole months, from the first of one to the last of another",
                )


def _unknown_payers(contract: Contract, price: Price, place: str) -> Iterator[Problem]:
    by_department = price.scope is Scope.DEPARTMENT
    payers = {*contract.institutions, *(f"pool/{code}" for code in contract.pools)}
    known = contract.subjects if by_department else payers
    what = "institutions, departments and pools" if by_department else "institutions and pools"
    named = [(f"{place}.reserved[{name}].payer", name) for name in price.reserved]
    named += [(f"{place}.fee_when_unused", name) for name in price.fee_payers]
    for where, name in sorted(named):
        if name not in known and name != EVERYONE:
            yield Problem(where, repr(name), one_of(sorted(known), what, name))


def _committed(contract: Contract) -> Iterator[Problem]:
    """What minimums and credits come to has a line of its own."""
    priced = {(tariff.award, item) for tariff in contract.tariffs for item in tariff.prices}
    seen: set[tuple[str, str]] = set()
    promised: list[tuple[str, Minimum | Prepaid]] = [("minimums", each) for each in contract.minimums]
    promised += [("prepaid", each) for each in contract.prepaid]
    for table, each in promised:
        key = (each.award, each.item)
        if key in priced or key in seen:
            why = f"which {each.award} prices" if key in priced else "again"
            yield Problem(f"{table}[{each.award} {each.item}].item", f"{each.item!r}, {why}", "an item for it alone")
        seen.add(key)


def _rates(contract: Contract) -> Iterator[Problem]:
    """What is priced in another currency has a rate from its first month on, and none between two is missing."""
    for code, month in contract.rates:
        if code == contract.currency:
            yield Problem(f"rates[{code} {month}].currency", repr(code), "another one than the contract's own")
    ends = _last_days(contract)
    for tariff in contract.tariffs:
        if tariff.valid_from != date.min:
            last = ends.get((tariff.award, tariff.valid_from), date.max)
            for currency, is_latest in sorted(
                {(each.currency or "", each.latest_rate) for each in tariff.prices.values()}
            ):
                if currency and (missing := _missing_rate(contract, tariff, last, currency, is_latest=is_latest)):
                    yield missing


def _missing_rate(contract: Contract, tariff: Tariff, last: date, currency: str, *, is_latest: bool) -> Problem | None:
    place, month = f"{tariff.place}.currency", month_of(tariff.valid_from)
    given = sorted(since for code, since in contract.rates if code == currency)
    rate = contract.rate(currency, month)
    oldest = _year_before(contract.starts) if contract.phases else month
    if rate is None or (contract.phases and rate.month < oldest):
        found = (
            f"for which there is no rate in {month}"
            if rate is None
            else f"whose last rate by {month} is of {rate.month}"
        )
        wanted = (
            f'one of [[rates]] with currency = "{currency}" for {month}, or since {oldest}, a year before the contract'
        )
        return Problem(place, f"{currency!r}, {found}", wanted)
    if is_latest or month > given[-1]:
        return None
    missing = [each for each in months_between(month, min(given[-1], month_of(last))) if each not in given]
    if not missing:
        return None
    return Problem(
        place,
        f"{currency!r}, which has a rate for {given[-1]} and none for {', '.join(missing)}",
        'one of [[rates]] for each month, or rate = "latest" in the tariff: then the last one holds',
    )


def _year_before(day: date) -> str:
    return f"{day.year - 1:04}-{day.month:02}"


def _last_days(contract: Contract) -> dict[tuple[str, date], date]:
    """Return each tariff's last day that another one follows, by its award and first day."""
    return {
        (tariff.award, tariff.valid_from): then.valid_from - timedelta(days=1)
        for tariffs in contract.tariffs_by_award.values()
        for tariff, then in pairwise(tariffs)
        if then.valid_from > date.min
    }


def _pools(contract: Contract) -> Iterator[Problem]:
    """Fixed weights add up to one, and no direct use counts twice under a proportional key."""
    for pool in contract.pools.values():
        weights = total(pool.weights.values())
        if pool.key is AllocationKey.WEIGHTS and pool.weights and weights != 1:
            yield Problem(f"pools[{pool.code}].weights", f"weights that add up to {plain(weights)}", "exactly 1")
        for member in pool.weights:
            institution = member.partition("/")[0]
            if pool.key is AllocationKey.PROPORTIONAL and institution != member and institution in pool.weights:
                yield Problem(
                    f"pools[{pool.code}].members",
                    f"{member!r} beside {institution!r}, which includes it",
                    "the institution or its departments: direct use would count twice",
                )
