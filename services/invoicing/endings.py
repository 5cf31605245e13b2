"""What of a contract comes to an end: the phase that it is in, and certificates that exemptions from VAT rest on."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from prometheus_client import Gauge

from services.contract.model import Contract
from services.contract.months import midnight
from services.contract.parties import TaxCategory

SECONDS = 60.0
"""How often it is looked where the contract stands."""
PHASE_ENDS = Gauge(
    "plafond_contract_phase_end_timestamp_seconds",
    "When the contract's phase of now is over, in Unix time; of a contract that is over, when it was. "
    "`last` says whether no other phase follows.",
    ["phase", "last"],
)
CERTIFICATE_ENDS = Gauge(
    "plafond_exemption_certificate_end_timestamp_seconds",
    "When the certificate that an institution's exemption from VAT rests on is over, in Unix time.",
    ["institution"],
)


class Endings(NamedTuple):
    """The phase of an instant and its end, and the end of each institution's certificate that has one."""

    phase: str
    is_last: bool
    phase_ends: datetime
    certificates: Mapping[str, datetime]


def endings(contract: Contract, now: datetime) -> Endings:
    """Return what comes to an end; before the first phase that is the first, after the last one the last."""
    ahead = [each for each in contract.phases if midnight(each.ends, contract.zone) > now]
    phase = (ahead or contract.phases[-1:])[0]
    certificates = {
        each.code: midnight(tax.valid_until + timedelta(days=1), contract.zone)
        for each in contract.institutions.values()
        if each.buyer and (tax := each.buyer.tax) and tax.category is TaxCategory.EXEMPT and tax.valid_until
    }
    return Endings(phase.name, phase == contract.phases[-1], midnight(phase.ends, contract.zone), certificates)


def show_endings(contract: Contract, now: datetime) -> None:
    """Set the gauges of what comes to an end; what is no longer in the contract is no longer shown."""
    found = endings(contract, now)
    PHASE_ENDS.clear()
    PHASE_ENDS.labels(found.phase, "yes" if found.is_last else "no").set(found.phase_ends.timestamp())
    CERTIFICATE_ENDS.clear()
    for institution, ends in found.certificates.items():
        CERTIFICATE_ENDS.labels(institution).set(ends.timestamp())
