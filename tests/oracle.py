"""What the services must come to, worked out by the pure core, an event after the other."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from services.contract.charges import ChargeKey
from services.contract.model import Contract
from services.contract.money import ZERO, add
from services.ingest.decide import Accepted, Decider
from services.ingest.events import UsageEvent, read
from services.invoicing.settle import settle
from services.invoicing.statement import Statement, statements


def expected(contract: Contract, sent: Iterable[tuple[str, bytes]], month: str) -> list[Statement]:
    """Return a month's statements for (provider, message) pairs, of which repeats count once."""
    decider = Decider(contract)
    now = datetime.now(UTC)
    seen: set[tuple[str, str]] = set()
    quantities: dict[ChargeKey, Decimal] = defaultdict(lambda: ZERO)
    for provider, message in sent:
        event = read(message)
        assert isinstance(event, UsageEvent), event
        decision = decider.decide(provider, event, now)
        assert isinstance(decision, Accepted), decision
        use = decision.use
        if (provider, decision.id) not in seen and use.month == month:
            key = ChargeKey(use.award, use.item, use.month, use.tariff, use.subject)
            quantities[key] = add(quantities[key], Decimal(decision.quantity))
        seen.add((provider, decision.id))
    return statements(contract, month, settle(contract, month, quantities))
