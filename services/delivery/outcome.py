"""What became of an attempt to deliver."""

from dataclasses import dataclass
from enum import StrEnum

ANSWER_MAX = 500


class State(StrEnum):
    """What became of it: it is there; it certainly is not, and is tried again later or never; or nobody can say."""

    SENT = "sent"
    LATER = "later"
    REFUSED = "refused"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt, and the receiver's answer or what went wrong.

    `is_trouble` says that it is the server's trouble, so that others would fare no better now.
    """

    state: State
    answer: str
    is_trouble: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "answer", self.answer[:ANSWER_MAX])
