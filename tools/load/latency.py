"""Latencies in buckets under 1 % wide, in the manner of HdrHistogram: bounded memory, any number of them."""

import sys
from array import array
from collections import Counter
from collections.abc import Sequence
from struct import Struct

__all__ = ["LatencyHistogram"]

_UPPER = slice(sys.byteorder == "little", None, 2)
"""Of the two halves of each float in memory that with its exponent and 7 bits of its mantissa: a bucket is at
most 1/128 of its value wide."""

_FLOAT = Struct(">f")
_BUCKET = Struct(">HH")

_PERCENTILES = (50.0, 99.0, 99.9)


class LatencyHistogram:
    """Counts of latencies; all in seconds."""

    __slots__ = ("_counts", "count", "highest")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.highest = 0.0

    def record(self, latencies: Sequence[float]) -> None:
        """Count all of these; each is 0 or more."""
        if not latencies:
            return
        # The upper half of a float, its exponent first, is its bucket: a tenth of the work of a logarithm.
        self._counts.update(memoryview(array("f", latencies)).cast("B").cast("H")[_UPPER])
        self.count += len(latencies)
        self.highest = max(self.highest, max(latencies))

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
        later.highest = _lowest_of(max(later._counts, default=0))
        return later

    def percentile(self, percent: float) -> float | None:
        """The latency that `percent` of all did not pass, to 1 %; None when there are none."""
        left = self.count * percent / 100.0
        found: int | None = None
        for found in sorted(self._counts):
            left -= self._counts[found]
            if left <= 0:
                break
        return None if found is None else _lowest_of(found)

    def microseconds(self) -> dict[str, float | None]:
        """What reports say of it: p50, p99, p99.9 and max, to a tenth; None when there are no latencies."""
        points = {f"p{percent:g}": self.percentile(percent) for percent in _PERCENTILES}
        points["max"] = self.highest if self.count else None
        return {name: None if point is None else round(point * 1e6, 1) for name, point in points.items()}


def _lowest_of(bucket: int) -> float:
    value: float
    (value,) = _FLOAT.unpack(_BUCKET.pack(bucket, 0))
    return value
