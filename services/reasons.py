"""Why usage is rejected: a fixed list of codes, each with its text for people."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Reason(StrEnum):
    """The code that stands on a rejection, for ever: codes are added, never renamed."""

    MALFORMED = "malformed"
    UNKNOWN_SCHEMA = "unknown_schema"
    TOO_LARGE = "too_large"
    BAD_TIME = "bad_time"
    BAD_QUANTITY = "bad_quantity"
    WRONG_PROVIDER = "wrong_provider"
    UNKNOWN_PROVIDER = "unknown_provider"
    UNKNOWN_LOT = "unknown_lot"
    UNKNOWN_SUBJECT = "unknown_subject"
    UNKNOWN_ITEM = "unknown_item"
    NO_PRICE = "no_price"
    OUTSIDE_CONTRACT = "outside_contract"
    IN_FUTURE = "in_future"
    TOO_LATE = "too_late"
    REGION_NOT_ALLOWED = "region_not_allowed"
    CORRECTION = "correction"
    CONFLICT = "conflict"
    CORRECTED_ALREADY = "corrected_already"
    CORRECTION_CIRCLE = "correction_circle"


TEXTS = {
    Reason.MALFORMED: "not a usage event of the documented form",
    Reason.UNKNOWN_SCHEMA: "Avro written with a schema that is not known here",
    Reason.TOO_LARGE: "larger than one usage event may be",
    Reason.BAD_TIME: "the time is not RFC 3339 with a zone",
    Reason.BAD_QUANTITY: "the quantity is not a decimal within the limits",
    Reason.WRONG_PROVIDER: "the source names another provider than the one that sent it",
    Reason.UNKNOWN_PROVIDER: "the contract knows no such provider",
    Reason.UNKNOWN_LOT: "the provider delivers nothing under this lot",
    Reason.UNKNOWN_SUBJECT: "the contract knows no such institution, department or pool",
    Reason.UNKNOWN_ITEM: "the contract knows no such item",
    Reason.NO_PRICE: "the item has no price under this award at that date",
    Reason.OUTSIDE_CONTRACT: "the contract did not run at that time",
    Reason.IN_FUTURE: "the usage begins in the future",
    Reason.TOO_LATE: "the usage came later than the contract takes it",
    Reason.REGION_NOT_ALLOWED: "the contract allows no usage in this region",
    Reason.CORRECTION: "an event can't correct itself, nor one without a readable id",
    Reason.CONFLICT: "another event with the same id and other content came first",
    Reason.CORRECTED_ALREADY: "what it corrects is corrected already; correct its correction instead",
    Reason.CORRECTION_CIRCLE: "what it corrects replaces it, so that neither would count; correct that under a new id",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason and what exactly was found."""

    reason: Reason
    found: str

    @property
    def explanation(self) -> str:
        """The sentence that is shown."""
        return f"{TEXTS[self.reason]}: {self.found}" if self.found else TEXTS[self.reason]


def too_late(instant: datetime, received: datetime, late_days: int | None, corrected: str = "") -> Refusal:
    """Return the refusal of usage that began at `instant`, or of a correction of such usage: the id `corrected`."""
    what = f"it corrects {corrected} of {instant.isoformat()}" if corrected else instant.isoformat()
    days = f"{late_days} days after the end of its month"
    return Refusal(Reason.TOO_LATE, f"{what}, received at {received.isoformat()}; wanted within {days}")
