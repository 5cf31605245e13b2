"""How many events a provider may push: a bucket that fills at a rate, and holds what comes in some seconds.

Law: over any stretch of time a provider is let in for at most what the bucket holds and what flowed in meanwhile; a
request that is larger than the bucket is let in when the bucket is full, and leaves a debt. Pure: the caller says what
time it is.
"""

BURST_SECONDS = 10.0


class Limits:
    """A bucket a provider; a rate of 0 is no limit."""

    def __init__(self, events_per_second: float) -> None:
        self._rate, self._most = events_per_second, events_per_second * BURST_SECONDS
        self._left: dict[str, tuple[float, float]] = {}

    def seconds_to_wait(self, provider: str, events: int, now: float) -> float:
        """Let events in and return 0, or return after how many seconds to try again; `now` in seconds, ever growing."""
        if not self._rate:
            return 0.0
        left, since = self._left.get(provider, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        wanted = min(float(events), self._most)
        if left >= wanted:
            self._left[provider] = (left - events, now)
            return 0.0
        self._left[provider] = (left, now)
        return (wanted - left) / self._rate
