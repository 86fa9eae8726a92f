"""The last five minutes of a few figures, and what they were a second."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fastvhost.faces.latency import BOUNDS, Latencies
from fastvhost.model import VerdictKind

__all__ = ["FROM_MEMORY", "SAMPLE_SECONDS", "History", "Rates", "Sample", "quantile", "sample"]

SAMPLE_SECONDS = 2.0
"""Between two samples."""

_KEPT = 151

FROM_MEMORY = ("listed", "hits_hosted", "hits_stale", "hits_outdated", "hits_unknown", "denied", "literals")
"""Stations of the look-up at which nothing is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Counters at one instant, since the start."""

    at: float
    replies: Mapping[VerdictKind, int]
    """Of all faces together."""
    from_memory: int
    """Answers that waited for nothing."""
    upstream: int
    """DNS queries sent."""
    latencies: tuple[int, ...]
    """Replies by bucket of `BOUNDS`, of all faces and verdicts together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What happened between two samples, a second."""

    at: float
    replies: Mapping[VerdictKind, float]
    hit_rate: float | None
    """The share of replies that came from memory; None: there were no replies."""
    upstream: float

    @property
    def total(self) -> float:
        """Replies a second."""
        return sum(self.replies.values())


class History:
    """At most five minutes of samples."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=_KEPT)

    def note(self, taken: Sample) -> None:
        """Keep a sample, which is later than all before."""
        self._samples.append(taken)

    def rates(self) -> list[Rates]:
        """Between each two samples, the oldest first."""
        return [_between(before, after) for before, after in pairwise(self._samples)]

    def latencies(self) -> Sequence[int]:
        """Replies by bucket since the oldest sample."""
        if not self._samples:
            return [0] * (len(BOUNDS) + 1)
        first, last = self._samples[0], self._samples[-1]
        return [after - before for before, after in zip(first.latencies, last.latencies, strict=True)]


def sample(figures: Mapping[str, float], latencies: Mapping[str, Latencies], now: float) -> Sample:
    """What is kept of all figures."""
    repeated = sum(value for name, value in figures.items() if name.endswith(".repeated"))
    counts = [0] * (len(BOUNDS) + 1)
    for face in latencies.values():
        for histogram in face.histograms().values():
            counts = [total + count for total, count in zip(counts, histogram.counts, strict=True)]
    return Sample(
        at=now,
        replies={
            kind: int(
                sum(
                    value for name, value in figures.items() if name.endswith(f".replies.{kind.name.lower()}")
                )
            )
            for kind in VerdictKind
        },
        from_memory=int(repeated + sum(figures[f"lookup.{station}"] for station in FROM_MEMORY)),
        upstream=int(figures["upstream.udp"] + figures["upstream.tcp"]),
        latencies=tuple(counts),
    )


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Seconds within which at least `share` of the replies went out: a bound of `BOUNDS`.

    `math.inf` above the last of them; None: there were no replies.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    below = 0
    for bound, count in zip((*BOUNDS, float("inf")), counts, strict=True):
        below += count
        if below >= wanted:
            return bound
    raise AssertionError("all of them are below infinity")


def _between(before: Sample, after: Sample) -> Rates:
    seconds = after.at - before.at
    replies = {kind: (after.replies[kind] - before.replies[kind]) / seconds for kind in VerdictKind}
    total = sum(replies.values())
    from_memory = (after.from_memory - before.from_memory) / seconds
    return Rates(
        at=after.at,
        replies=replies,
        # What programs on Trio look up is no reply of a face, but may come from memory.
        hit_rate=min(1.0, from_memory / total) if total else None,
        upstream=(after.upstream - before.upstream) / seconds,
    )
