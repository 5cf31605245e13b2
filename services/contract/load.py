"""Reading a contract file: the contract, or every mistake in it.

Law: any text yields either a contract that holds together or at least one `Problem`; nothing is raised.
What can't be read is noted and stands in the draft as a neutral value ("", (), date.min, the highest
ceiling), so that reading goes on and `check` does not blame other places for it.
"""

import re
import tomllib
from collections.abc import Callable, Collection
from datetime import timedelta
from decimal import Decimal, DecimalException
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from services.contract.check import check
from services.contract.commitments import read_minimums, read_prepaid
from services.contract.currencies import CURRENCY_DIGITS
from services.contract.model import (
    AllocationKey,
    Award,
    Contract,
    Institution,
    Item,
    Lot,
    Phase,
    Pool,
    Provider,
    Region,
    Supplier,
)
from services.contract.money import PRICE_DIGITS
from services.contract.problems import Problem, one_of, show
from services.contract.read_parties import REFERENCE_LENGTH, read_buyer, read_coordinator, read_party
from services.contract.reading import COUNTRY_PATTERN, MONEY_DIGITS_MIN, MONEY_MAX, Section
from services.contract.tariff.tariffs import read_tariffs

T = TypeVar("T")

FILE_BYTES_MAX = 4 * 1024 * 1024
WEIGHT_DIGITS = 12
LATE_DAYS_MAX = 3_660
RATE_MIN, RATE_MAX = Decimal("0.000001"), Decimal(1_000_000)
DEFAULT_THRESHOLDS = [50, 75, 90, 100]
DEFAULT_GRACE_DAYS = 10
_TOML_PLACE = re.compile(r" \(at (.*)\)\Z")


def load(text: str) -> Contract | list[Problem]:
    """Return the contract that a TOML text describes, or all its problems."""
    table = _parse(text)
    if isinstance(table, Problem):
        return [table]
    document = Section(table, "", [])
    draft = _read(document)
    problems = list(dict.fromkeys([*document.problems, *check(draft)]))
    return problems or draft


def _parse(text: str) -> dict[str, Any] | Problem:
    try:
        size = len(text.encode())
        if size > FILE_BYTES_MAX:
            return Problem("the file", f"{size} bytes", f"at most {FILE_BYTES_MAX} bytes")
        return tomllib.loads(text, parse_float=Decimal)
    except UnicodeEncodeError as error:
        return Problem(f"character {error.start}", "half a character (a lone surrogate)", "Unicode text")
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        return Problem(place[1] if place else "the file", _TOML_PLACE.sub("", str(error)), "TOML 1.0")
    except (ValueError, DecimalException) as error:
        return Problem("the file", f"a value that can't be read ({error})", "numbers and dates of ordinary size")
    except RecursionError:
        return Problem("the file", "tables or lists nested too deeply", "the tables of a contract")


def _read(document: Section) -> Contract:
    """Read every part, in the order in which later parts refer to earlier ones."""
    head = document.child("contract") or _nothing()
    currency = head.currency("currency") or "EUR"
    document.money_digits = head.money_digits = max(MONEY_DIGITS_MIN, CURRENCY_DIGITS[currency])
    countries = _countries(document.child("residency") or _nothing())
    items = _rows(document, "items", lambda each, code: Item(code, _name(each), each.text("unit", at_most=32) or ""))
    lots = _rows(document, "lots", lambda each, code: Lot(code, _name(each), each.money("ceiling") or Decimal(0)))
    suppliers = _rows(
        document,
        "suppliers",
        lambda each, code: Supplier(code, _name(each), each.country("country") or "", read_party(each)),
    )
    providers = _rows(
        document, "providers", lambda each, code: Provider(code, _name(each), each.country("country") or "")
    )
    regions = _rows(document, "regions", lambda each, code: _region(each, code, countries))
    awards = _awards(document, lots, suppliers, providers, regions)
    institutions = _rows(document, "institutions", _institution)
    known = [code for code, award in awards.items() if award.lot and award.supplier]
    members = {f"{each.code}/{code}" for each in institutions.values() for code in each.departments}
    members |= set(institutions)
    phases = _phases(document)
    life = [phases[0].starts, phases[-1].ends] if phases else []
    code = head.code("code") or ""
    series, credit_series = _series(document, code)
    contract = Contract(
        code=code,
        name=_name(head),
        currency=currency,
        zone=_zone(head),
        ceiling=head.money("ceiling") or MONEY_MAX,
        thresholds=tuple(head.integers("alert_thresholds", 1, 1000, default=DEFAULT_THRESHOLDS)),
        grace_days=head.integer("grace_days", 0, 90, default=DEFAULT_GRACE_DAYS) or 0,
        late_days=head.integer("late_days", 1, LATE_DAYS_MAX, required=False),
        phases=phases,
        regions=regions,
        items=items,
        lots=lots,
        suppliers=suppliers,
        providers=providers,
        awards=awards,
        tariffs=read_tariffs(document, known, items, currency),
        institutions=institutions,
        pools=_rows(document, "pools", lambda each, code: _pool(each, code, members), at_least=0),
        rates=_rates(document),
        equivalences=_rows(document, "equivalences", lambda each, _: _parts(each, items), at_least=0, key="item"),
        minimums=read_minimums(document, known, items, institutions, life),
        prepaid=read_prepaid(document, known, items, institutions, life),
        coordinator=read_coordinator(document),
        series=series,
        credit_series=credit_series,
        closes_itself=head.flag("closes_itself"),
    )
    head.done()
    document.done()
    return contract


def _nothing() -> Section:
    """Return a section for a table that is not there, whose own problems would only repeat that."""
    return Section({}, "", [])


def _rows(
    document: Section, name: str, make: Callable[[Section, str], T], *, at_least: int = 1, key: str = "code"
) -> dict[str, T]:
    """Read an array of tables, each with a code of its own."""
    rows: dict[str, T] = {}
    for section in document.tables(name, at_least=at_least, label=key):
        code = section.code(key)
        row = make(section, code or "")
        section.done()
        if code in rows:
            section.problem(key, f"{show(code)} again", "a code of its own")
        elif code is not None:
            rows[code] = row
    return rows


def _name(section: Section) -> str:
    return section.text("name", at_most=200) or ""


def _zone(head: Section) -> ZoneInfo:
    name = head.text("time_zone", at_most=64)
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        head.problem("time_zone", show(name), 'a time zone of the IANA database, like "Europe/Brussels"')
        return ZoneInfo("UTC")


def _phases(document: Section) -> tuple[Phase, ...]:
    """Read the phases; none if one of them lacks a date, since no other then has a neighbour for sure."""
    sections = document.tables("phases", at_least=1, label="name")
    phases = []
    for section in sections:
        name, starts, last = _name(section), section.day("starts"), section.day("ends")
        section.done()
        if starts is not None and last is not None:
            phases.append(Phase(name, starts, last + timedelta(days=1)))
    return tuple(phases) if len(phases) == len(sections) else ()


def _countries(residency: Section) -> list[str]:
    countries = residency.texts("countries")
    for index, each in enumerate(countries):
        if not COUNTRY_PATTERN.match(each):
            residency.problem(f"countries[{index}]", show(each), 'a country\'s two capital letters, like "BE"')
    residency.done()
    return countries


def _region(section: Section, code: str, countries: Collection[str]) -> Region:
    if countries:
        country = section.reference("country", countries, "countries of [residency]")
    else:
        country = section.country("country")
    return Region(code, _name(section), country or "")


def _series(document: Section, code: str) -> tuple[str, str]:
    """Read [invoices]: what the numbers of invoices and of credit notes begin with."""
    section = document.child("invoices", required=False) or _nothing()
    series = section.code("series", required=False) or code.upper()
    credit_series = section.code("credit_series", required=False) or series
    section.done()
    return series, credit_series


def _references(section: Section, key: str, known: Collection[str], what: str) -> list[str]:
    """Read a list of codes that are defined elsewhere."""
    names = section.texts(key)
    for each in names:
        if each not in known:
            section.problem(key, show(each), one_of(known, what, each))
    return names


def _awards(
    document: Section,
    lots: Collection[str],
    suppliers: Collection[str],
    providers: Collection[str],
    regions: Collection[str],
) -> dict[str, Award]:
    awards: dict[str, Award] = {}
    for section in document.tables("awards", at_least=1, label="lot/supplier"):
        lot = section.reference("lot", lots, "lots")
        supplier = section.reference("supplier", suppliers, "suppliers")
        names = _references(section, "providers", providers, "providers")
        ceiling = section.money("ceiling", required=False)
        offered = _references(section, "regions", regions, "regions") if "regions" in section.table else []
        section.done()
        code = section.place if lot is None or supplier is None else f"{lot}/{supplier}"
        if code in awards:
            section.problem("", f"the award {code} again", "each supplier only once in a lot")
        else:
            awards[code] = Award(code, lot or "", supplier or "", tuple(names), ceiling, tuple(offered))
    return awards


def _rates(document: Section) -> dict[tuple[str, str], Decimal]:
    """Read [[rates]]: by currency and the first month it is for."""
    rates: dict[tuple[str, str], Decimal] = {}
    for section in document.tables("rates", label="currency month"):
        currency, month = section.currency("currency"), section.month("month")
        rate = section.number("rate", PRICE_DIGITS, RATE_MIN, RATE_MAX)
        section.done()
        if (currency, month) in rates:
            section.problem("", f"the rate of {currency} for {month} again", "one rate a month")
        elif currency and month and rate:
            rates[currency, month] = rate
    return rates


def _parts(section: Section, items: Collection[str]) -> dict[str, Decimal]:
    """Read of what one unit of an item can be made up, which must be items themselves."""
    if isinstance(item := section.table.get("item"), str) and item not in items:
        section.problem("item", show(item), one_of(items, "items", item))
    parts = section.child("parts")
    if parts is None:
        return {}
    found = {}
    for part in parts.table:
        quantity = parts.quantity(part)
        if part not in items:
            parts.problem(part, "an unknown item", one_of(items, "items", part))
        if quantity is not None and quantity == 0:
            parts.problem(part, "0", "a quantity above 0")
        found[part] = quantity or Decimal(0)
    return found


def _institution(section: Section, code: str) -> Institution:
    if code == "pool":
        section.problem("code", "'pool'", 'another code: "pool/..." stands for the pools')
    found = _rows(section, "departments", _department, at_least=0)
    departments = {each: name for each, (name, _) in found.items()}
    buyer = read_buyer(section, {each: cost for each, (_, cost) in found.items() if cost})
    return Institution(code, _name(section), departments, section.money("budget", required=False), buyer)


def _department(section: Section, _code: str) -> tuple[str, str]:
    """Read a department's name and the accounting cost that its lines bear on an invoice, if it has one."""
    return _name(section), section.text("accounting_cost", required=False, at_most=REFERENCE_LENGTH) or ""


def _pool(section: Section, code: str, subjects: Collection[str]) -> Pool:
    name, key = _name(section), section.choice("key", list(AllocationKey))
    if key is None:
        section.value("weights", "", required=False)
        section.value("members", "", required=False)
        weights = {}
    elif key == AllocationKey.WEIGHTS:
        weights = _weights(section, subjects)
    else:
        members = _references(section, "members", subjects, "institutions and departments")
        weights = dict.fromkeys(members, Decimal(1))
    return Pool(code, name, AllocationKey(key or AllocationKey.EQUAL), weights)


def _weights(pool: Section, subjects: Collection[str]) -> dict[str, Decimal]:
    """Read fixed weights; none if one of them can't be read, since their sum then says nothing."""
    section = pool.child("weights")
    if section is None:
        return {}
    weights = {}
    for member in section.table:
        weight = section.number(member, WEIGHT_DIGITS, Decimal(0), Decimal(1))
        if member not in subjects:
            section.problem(member, "an unknown member", one_of(subjects, "institutions and departments", member))
        if weight is not None:
            weights[member] = weight
    return weights if len(weights) == len(section.table) else {}
