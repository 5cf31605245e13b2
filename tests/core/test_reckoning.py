"""A line taken apart is the line: over any usage, and over the demo's, the parts come to what is settled."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.parts import UnexplainedError, check
from services.audit.promises import keep
from services.audit.reckoning import reckon
from services.contract.charges import ChargeKey
from services.contract.load import load
from services.contract.model import Contract
from services.contract.money import total
from services.invoicing.committed import committed, owed_by_institution
from services.invoicing.settle import settle
from services.offline.bill import bill, read_usage
from services.offline.readers import read_mapping, workplace
from services.stack import demo
from tests.core.test_commitments import PROMISED, YEAR
from tests.services.test_explain_line import APRIL, CONTRACT

FEES = load(CONTRACT)
assert isinstance(FEES, Contract), FEES
APRIL_5 = datetime(2016, 4, 5, tzinfo=UTC)
USES = st.dictionaries(
    st.tuples(
        st.sampled_from([
            ("2/ALPHA", "vm"), ("2/ALPHA", "disk"), ("2/BETA", "vm"), ("2/BETA", "traffic"), ("1/ALPHA", "vm"),
        ]),
        st.sampled_from(["EP", "EDA", "EC", "EC/DIGIT", "EC/AGRI", "pool/mail", "pool/desk", "pool/backup"]),
    ),
    st.decimals("-50", "3000", places=4),
    max_size=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([PROMISED, FEES]), USES)
def test_the_parts_of_every_line_come_to_what_is_settled(
    contract: Contract, uses: dict[tuple[tuple[str, str], str], Decimal]
):
    quantities = {}
    for ((award, item), subject), quantity in uses.items():
        tariff = contract.tariff_at(award, APRIL_5)
        assert tariff is not None
        quantities[ChargeKey(award, item, APRIL, tariff.valid_from.isoformat(), subject)] = quantity
    settled = settle(contract, APRIL, quantities)
    for key, share in settled.items():
        made = reckon(contract, key, quantities)
        assert made.due == share.amount == total(each.amount for each in made.parts)
    owed = owed_by_institution({key: share.amount for key, share in settled.items()})
    for key, share in committed(contract, YEAR, owed).items():
        kept = keep(contract, key, YEAR, owed)
        assert kept.due == share.amount == total(each.amount for each in kept.parts)


def test_every_line_of_the_demo_comes_apart():
    contract = load(demo.CONTRACT.read_text("utf-8"))
    assert isinstance(contract, Contract), contract
    with workplace() as place:
        usage = read_usage(place, [str(demo.TRACE)], mapping=read_mapping(demo.MAPPING))
        made = bill(contract, usage, datetime(2017, 1, 1, tzinfo=UTC))
    lines = [line for each in made.statements.values() for statement in each for line in statement.lines]
    assert len(lines) > 50
    for line in lines:
        mine = {key: quantity for key, quantity in made.quantities.items() if key.month == line.key.month}
        found = reckon(contract, line.key, mine)
        assert found.due == line.exact == total(each.amount for each in found.parts)


def test_parts_that_do_not_add_up_are_no_explanation():
    check("a line", [Decimal(1), Decimal(2)], Decimal(3))
    try:
        check("a line", [Decimal(1), Decimal("1.99")], Decimal(3))
    except UnexplainedError as error:
        assert str(error) == "a line: the parts add up to 2.99, and the books say 3"
    else:
        raise AssertionError("a cent is missing")
