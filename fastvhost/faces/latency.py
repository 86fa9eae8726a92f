"""How long replies take, by verdict: histograms whose counting costs the hot path next to nothing.

A reply that somebody looked at is one observation. Those repeated from the table in one turn are observed
together: each took the turn, which one look at the clock measures for all of them.
"""

import operator
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastvhost.model import VerdictKind

__all__ = ["BOUNDS", "Histogram", "Latencies"]

BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds: upper bounds of the buckets, inclusive; above the last is one more bucket. `listen.answer_within`
lies within, between 0.001 and 10."""

_KINDS = max(VerdictKind) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Replies by how long they took."""

    counts: tuple[int, ...]
    """Replies of each bucket by itself, one more than there are `BOUNDS`."""
    total: float
    """Seconds of all of them together."""

    def __add__(self, other: "Histogram") -> "Histogram":
        counts = tuple(map(operator.add, self.counts, other.counts))
        return Histogram(counts=counts, total=self.total + other.total)


_NONE = Histogram(counts=(0,) * (len(BOUNDS) + 1), total=0.0)


class Latencies:
    """The replies of one face, from the receipt of a request by the daemon to its reply.

    What a datagram waits in the socket's buffer before is not seen. 0.4 us an observation, 2 us a turn.
    """

    __slots__ = ("_beside", "_counts", "_repeated", "_totals")

    def __init__(self) -> None:
        self._counts = [[0] * (len(BOUNDS) + 1) for _ in range(_KINDS)]
        self._totals = [0.0] * _KINDS
        self._repeated: Sequence[int] = [0] * _KINDS
        self._beside: Callable[[], Mapping[VerdictKind, Histogram]] = dict

    def add(self, beside: Callable[[], Mapping[VerdictKind, Histogram]]) -> None:
        """Count in, whenever somebody looks, what `beside` has timed itself."""
        self._beside = beside

    def observe(self, kind: VerdictKind, seconds: float, count: int = 1) -> None:
        """`count` replies took `seconds` each."""
        self._counts[kind][bisect_left(BOUNDS, seconds)] += count
        self._totals[kind] += seconds * count

    def observe_turn(self, repeated: Sequence[int], seconds: float) -> None:
        """A turn took `seconds`; `repeated` are the replies repeated so far, by the number of their kind."""
        before = self._repeated
        if repeated == before:
            return
        bucket = bisect_left(BOUNDS, seconds)
        for kind, (now, then) in enumerate(zip(repeated, before, strict=False)):
            if now != then:
                self._counts[kind][bucket] += now - then
                self._totals[kind] += seconds * (now - then)
        self._repeated = repeated

    def histograms(self) -> Mapping[VerdictKind, Histogram]:
        """As they are now."""
        beside = self._beside()
        return {
            kind: Histogram(counts=tuple(self._counts[kind]), total=self._totals[kind])
            + beside.get(kind, _NONE)
            for kind in VerdictKind
        }
