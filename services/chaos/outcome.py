"""What a chaos run is asked to do, and what came of it.

Law: it is good only when nothing was lost, doubled, off, too slow or ended by itself, and every kind of fault that was
tried did its harm at least once.
"""

from dataclasses import dataclass

from services.chaos.tally import Tally
from services.chaos.verdict import Verdict

RECOVERY_SECONDS_MAX = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """How many faults, chosen by which seed, under how many events a second, and how many mutated messages then."""

    faults: int
    seed: int
    load: int
    fuzzed: int


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault and what followed: `recovery` in seconds from its end; `breaches` of the audit after it."""

    number: int
    kind: str
    what: str
    seconds: float
    recovery: float
    breaches: tuple[str, ...]
    took_effect: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the chaos came to.

    `restarts` names services that ended by themselves and were started again. `not_due` are faults for which there was
    nothing to break at that moment: others took their place. `failure` says what went so wrong that the rest was not
    done; there is no verdict then.
    """

    happened: list[Happened]
    not_due: list[str]
    left_out: list[str]
    restarts: list[str]
    poison: int
    fuzzed: Tally | None
    verdict: Verdict | None
    breaches: tuple[str, ...]
    failure: str = ""

    @property
    def faults(self) -> int:
        """Return how many faults did their harm; the others don't count."""
        return sum(each.took_effect for each in self.happened)

    @property
    def without_effect(self) -> list[str]:
        """Return the kinds of faults that were tried and never did any harm: nothing is proved about these."""
        done = {each.kind for each in self.happened if each.took_effect}
        return sorted({each.kind for each in self.happened} - done)

    @property
    def slowest(self) -> float:
        """Return the longest recovery in seconds."""
        return max((each.recovery for each in self.happened), default=0.0)

    @property
    def good(self) -> bool:
        """Tell whether nothing was lost, doubled, off, too slow, or ended by itself."""
        done = not self.failure and self.verdict is not None and self.verdict.good
        whole = done and not self.breaches and not self.restarts and not self.without_effect
        quick = self.slowest <= RECOVERY_SECONDS_MAX
        return whole and quick and not any(each.breaches for each in self.happened)
