"""The laws of settling a month, for any quantities."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from services.contract.charges import ChargeKey, MeterKey, meter_of, price_of
from services.contract.load import load
from services.contract.model import AllocationKey, Contract
from services.contract.money import LEDGER_DIGITS, ZERO, add, multiply, subtract, total
from services.contract.tariff.per_unit import PerUnit
from services.invoicing.ceilings import CeilingKey, Level, spending
from services.invoicing.settle import PostingKey, Share, pool_weights, settle
from services.invoicing.statement import statements

EVERY_MODEL = """
[[tariffs]]
award = "2/BETA"
valid_from = 2016-03-15
[tariffs.prices.vm]
model = "volume"
scope = "department"
tiers = [{ up_to = "100", price = "0.06" }, { price = "0.05", fee = "2" }]
[tariffs.prices.traffic]
model = "package"
scope = "contract"
free = "5.5"
size = "1000"
price = "9.50"
[tariffs.prices.disk]
model = "stairstep"
percent_of_list = "92.5"
tiers = [{ up_to = "10", price = "1" }, { price = "7" }]
"""


def small() -> Contract:
    text = (Path(__file__).parents[1] / "data" / "small.toml").read_text("utf-8")
    loaded = load(text + EVERY_MODEL)
    assert isinstance(loaded, Contract), loaded
    return loaded


CONTRACT = small()
MONTH = "2016-03"
QUANTUM = Decimal(1).scaleb(-LEDGER_DIGITS)
SUBJECTS = sorted(CONTRACT.subjects)
PRICED = [
    (tariff.award, item, tariff.valid_from.isoformat()) for tariff in CONTRACT.tariffs for item in sorted(tariff.prices)
]
KEYS = st.builds(
    lambda priced, subject: ChargeKey(priced[0], priced[1], MONTH, priced[2], subject),
    st.sampled_from(PRICED),
    st.sampled_from(SUBJECTS),
)
NUMBERS = st.one_of(
    st.decimals("-1000", "1000000", places=9),
    st.decimals("-10", "10", places=15),
    st.sampled_from([ZERO, Decimal(1000)]),
)
QUANTITIES = st.dictionaries(KEYS, NUMBERS, max_size=25)
Quantities = dict[ChargeKey, Decimal]


def direct_amounts(shares: dict[PostingKey, Share]) -> dict[str, Decimal]:
    """What each subject owes by itself."""
    direct: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for key, share in shares.items():
        if not key.pool:
            subject = f"{key.institution}/{key.department}" if key.department else key.institution
            direct[subject] = add(direct[subject], share.amount)
    return direct


@given(QUANTITIES)
def test_the_shares_of_each_award_add_up_to_the_price_of_its_meters(quantities: Quantities) -> None:
    meters: dict[MeterKey, Decimal] = defaultdict(lambda: ZERO)
    for key, quantity in quantities.items():
        meters[meter_of(CONTRACT, key)] = add(meters[meter_of(CONTRACT, key)], quantity)
    priced: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for meter, quantity in meters.items():
        priced[meter.award] = add(priced[meter.award], price_of(CONTRACT, meter).amount(quantity))
    owed: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for posting, share in settle(CONTRACT, MONTH, quantities).items():
        owed[posting.award] = add(owed[posting.award], share.amount)
    assert {award: owed[award] for award in priced} == priced


@given(QUANTITIES)
def test_the_quantities_of_each_item_are_all_passed_on(quantities: Quantities) -> None:
    used: dict[tuple[str, ...], Decimal] = defaultdict(lambda: ZERO)
    for key, quantity in quantities.items():
        used[key[:4]] = add(used[key[:4]], quantity)
    shared: dict[tuple[str, ...], Decimal] = defaultdict(lambda: ZERO)
    for posting, share in settle(CONTRACT, MONTH, quantities).items():
        shared[posting[3:]] = add(shared[posting[3:]], share.quantity)
    assert shared == used


@given(QUANTITIES.flatmap(lambda drawn: st.tuples(st.just(drawn), st.permutations(list(drawn)))))
def test_the_order_does_not_matter(drawn: tuple[Quantities, list[ChargeKey]]) -> None:
    quantities, order = drawn
    shuffled = {key: quantities[key] for key in order}
    assert settle(CONTRACT, MONTH, shuffled) == settle(CONTRACT, MONTH, quantities)


@given(QUANTITIES)
def test_who_pays_per_unit_pays_just_that(quantities: Quantities) -> None:
    shares = settle(CONTRACT, MONTH, quantities)
    for key, quantity in quantities.items():
        model = price_of(CONTRACT, key).model
        if isinstance(model, PerUnit) and not key.subject.startswith("pool/"):
            institution, _, department = key.subject.partition("/")
            posting = PostingKey(institution, department, "", key.award, key.item, key.month, key.tariff)
            assert shares[posting] == Share(quantity, multiply(quantity, model.price))


@given(QUANTITIES)
def test_each_member_of_a_pool_pays_its_part(quantities: Quantities) -> None:
    """A part is off its exact share by less than one quantum of the ledger."""
    shares = settle(CONTRACT, MONTH, quantities)
    direct = direct_amounts(shares)
    parts: dict[tuple[str, ...], dict[str, Decimal]] = defaultdict(dict)
    for key, share in shares.items():
        if key.pool:
            member = f"{key.institution}/{key.department}" if key.department else key.institution
            parts[(key.pool, *key[3:])][member] = share.amount
    for (code, *_), made in parts.items():
        pool = CONTRACT.pools[code]
        weights = pool_weights(pool, direct)
        assert set(made) == set(pool.weights)
        if pool.key is not AllocationKey.PROPORTIONAL:
            assert weights == pool.weights
        whole, divisor = total(made.values()), total(weights.values())
        for member, part in made.items():
            off = subtract(multiply(part, divisor), multiply(whole, weights[member])).copy_abs()
            assert off < multiply(QUANTUM, divisor) or off == 0


@given(QUANTITIES)
def test_a_proportional_pool_follows_direct_use(quantities: Quantities) -> None:
    """EC's weight is what all its departments owe directly; below zero is zero; all equal while there is none."""
    direct = direct_amounts(settle(CONTRACT, MONTH, quantities))
    weights = pool_weights(CONTRACT.pools["backup"], direct)
    wanted = {
        "EP": max(ZERO, direct["EP"]),
        "EDA": max(ZERO, direct["EDA"]),
        "EC": max(ZERO, total(direct[each] for each in ("EC", "EC/DIGIT", "EC/AGRI"))),
    }
    assert weights == (wanted if any(wanted.values()) else dict.fromkeys(wanted, 1))


@given(QUANTITIES)
def test_what_is_spent_is_what_the_statements_say_unrounded(quantities: Quantities) -> None:
    shares = settle(CONTRACT, MONTH, quantities)
    made = statements(CONTRACT, MONTH, shares)
    spent = spending(CONTRACT, ((key, share.amount) for key, share in shares.items()))
    assert spent.get(CeilingKey(Level.CONTRACT, "small"), ZERO) == total(each.exact for each in made)
    for each in made:
        assert spent[CeilingKey(Level.INSTITUTION, each.institution)] == each.exact
    for award in CONTRACT.awards.values():
        lines = [line for each in made for line in each.lines if line.key.award == award.code]
        assert spent.get(CeilingKey(Level.AWARD, award.code), ZERO) == total(line.exact for line in lines)
    for lot in CONTRACT.lots:
        lines = [line for each in made for line in each.lines if CONTRACT.awards[line.key.award].lot == lot]
        assert spent.get(CeilingKey(Level.LOT, lot), ZERO) == total(line.exact for line in lines)


@given(QUANTITIES)
def test_a_line_is_off_by_half_a_cent_at_most(quantities: Quantities) -> None:
    for statement in statements(CONTRACT, MONTH, settle(CONTRACT, MONTH, quantities)):
        assert statement.total == total(line.amount for line in statement.lines)
        assert all(subtract(line.amount, line.exact).copy_abs() <= Decimal("0.005") for line in statement.lines)
