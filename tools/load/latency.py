"""Latencies in buckets under 1 % wide, in the manner of HdrHistogram: bounded memory, any number of them."""

from collections import Counter

__all__ = ["LatencyHistogram"]

_SIGNIFICANT_BITS = 8
"""Of a latency in nanoseconds; the rest is dropped, so a bucket is at most 1/128 of its value wide."""

_PERCENTILES = (50.0, 99.0, 99.9)


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

    def since(self, earlier: "LatencyHistogram") -> "LatencyHistogram":
        """A histogram of what has come after `earlier` was a copy of this one; its highest to 1 %."""
        later = LatencyHistogram()
        later._counts = self._counts - earlier._counts  # noqa: SLF001 - of its own class
        later.count = self.count - earlier.count
        later.highest = max(later._counts, default=0) / 1e9
        return later

    def percentile(self, percent: float) -> float | None:
        """The latency that `percent` of all did not pass, to 1 %; None when there are none."""
        left = self.count * percent / 100.0
        found: int | None = None
        for found in sorted(self._counts):
            left -= self._counts[found]
            if left <= 0:
                break
        return None if found is None else found / 1e9

    def microseconds(self) -> dict[str, float | None]:
        """What reports say of it: p50, p99, p99.9 and max, to a tenth; None when there are no latencies."""
        points = {f"p{percent:g}": self.percentile(percent) for percent in _PERCENTILES}
        points["max"] = self.highest if self.count else None
        return {name: None if point is None else round(point * 1e6, 1) for name, point in points.items()}
