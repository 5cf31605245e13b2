"""The contract under chaos: however often prices are changed, it can be loaded."""

from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from services.chaos.contract import low_ceilings, with_tariff
from services.contract.load import load
from services.contract.model import Contract

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
