"""The contract under chaos: however often prices are changed, it can be loaded."""

from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from services.chaos.contract import low_ceilings, with_ceiling, with_tariff
from services.chaos.faults.contents import CEILING_FACTORS
from services.contract.load import load
from services.contract.model import Contract
from services.invoicing.ceilings import ceilings

AWARDS = ["1/BT", "2/BT", "2/CTA", "2/ATOS", "3/ATOS"]
CHANGES = st.lists(
    st.tuples(st.sampled_from(AWARDS), st.dates(date(2016, 4, 1), date(2018, 12, 1)), st.integers(80, 120)), max_size=12
)


@settings(max_examples=20, deadline=None)
@given(CHANGES)
def test_prices_can_be_changed_again_and_again(changes: list[tuple[str, date, int]]) -> None:
    text = low_ceilings()
    made = 0
    for award, day, percent in changes:
        if changed := with_tariff(text, award, day, Decimal(percent) / 100):
            text = changed
            made += 1
    contract = load(text)
    assert isinstance(contract, Contract), contract
    before = load(low_ceilings())
    assert isinstance(before, Contract)
    assert sum(map(len, contract.tariffs_by_award.values())) == sum(map(len, before.tariffs_by_award.values())) + made


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(CEILING_FACTORS)), max_size=6))
def test_ceilings_can_be_changed_again_and_again(changes: list[tuple[float, Decimal]]) -> None:
    text = low_ceilings()
    for place, factor in changes:
        before = load(text)
        text = with_ceiling(text, place, factor)
        after = load(text)
        assert isinstance(before, Contract)
        assert isinstance(after, Contract)
        moved = {key for key, amount in ceilings(after).items() if amount != ceilings(before)[key]}
        assert len(moved) <= 1


def test_a_ceiling_is_lowered_and_raised_where_the_contract_allows_it() -> None:
    text = low_ceilings()
    lowered = with_ceiling(text, 0.1, Decimal("0.5"))
    assert lowered != text
    assert with_ceiling(lowered, 0.1, Decimal(2)) == text
    assert with_ceiling(text, 0.1, Decimal(4)) == text, "the lots' ceilings would come to more than the contract's"
