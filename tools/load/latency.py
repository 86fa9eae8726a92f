"""Latencies in buckets under 1 % wide, in the manner of HdrHistogram: bounded memory, any number of them."""

from collections import Counter

__all__ = ["LatencyHistogram"]

_SIGNIFICANT_BITS = 8
"""Of a latency in nanoseconds; the rest is dropped, so a bucket is at most 1/128 of its value wide."""


class LatencyHistogram:
    """Counts of latencies; all in seconds."""

    __slots__ = ("_counts", "count", "highest")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.highest = 0.0

    def record(self, latency: float, count: int = 1) -> None:
        """Count `latency`, at least 0, `count` times."""
        nanoseconds = int(latency * 1e9)
        dropped = max(0, nanoseconds.bit_length() - _SIGNIFICANT_BITS)
        self._counts[nanoseconds >> dropped << dropped] += count
        self.count += count
        self.highest = max(self.highest, latency)

    def merged(self, other: "LatencyHistogram") -> "LatencyHistogram":
        """A histogram of what both have counted."""
        both = LatencyHistogram()
        both._counts = self._counts + other._counts  # noqa: SLF001 - of its own class
        both.count = self.count + other.count
        both.highest = max(self.highest, other.highest)
        return both

    def percentile(self, percent: float) -> float | None:
        """The latency that `percent` of all did not pass, to 1 %; None when there are none."""
        left = self.count * percent / 100.0
        found: int | None = None
        for found in sorted(self._counts):
            left -= self._counts[found]
            if left <= 0:
                break
        return None if found is None else found / 1e9
