"""A first tier's fee that is due even if nothing is used: who owes it.

Law: like what is reserved, it is due once a month on each meter: charged when a tier is entered, else at the close.
"""

from decimal import Decimal

from services.contract.money import ZERO
from services.contract.problems import show
from services.contract.reading import Section
from services.contract.tariff import ChargeModel
from services.contract.tariff.graduated import Graduated
from services.contract.tariff.reserved import EVERYONE
from services.contract.tariff.volume import Volume

KEY = "fee_when_unused"


def read_unused_fee(section: Section, model: ChargeModel, scope: str) -> tuple[frozenset[str], Decimal]:
    """Read who owes the first tier's fee unused, and how much that is; nobody where the key is not there.

    True stands for EVERYONE: all together with the scope contract, each institution with the scope institution. Else it
    is a list of payers.
    """
    value = section.value(KEY, "", required=False)
    if value is None or value is False:
        return frozenset(), ZERO
    fee = model.tiers[0].fee if isinstance(model, Graduated | Volume) else ZERO
    if not isinstance(model, Graduated | Volume):
        section.problem(KEY, show(value), "no such key: only graduated and volume tiers have fees")
    elif not fee:
        section.problem(KEY, show(value), "a fee in the first tier, which would be due")
    elif value is True and scope != "department":
        return frozenset({EVERYONE}), fee
    elif scope == "contract":
        section.problem(KEY, show(value), "true: all reach the tiers together, and owe one fee together")
    elif value is True:
        section.problem(KEY, "true", "a list of who owes it: institutions, departments or pools")
    else:
        payers = section.texts(KEY)
        if EVERYONE in payers:
            section.problem(KEY, show(EVERYONE), "who owes it by name, or true for every institution")
        return frozenset(payers) - {EVERYONE}, fee
    return frozenset(), ZERO
