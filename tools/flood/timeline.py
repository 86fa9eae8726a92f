"""What a run of load brought second by second, and from one change to the next. Pure: figures to values."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tools.load import Figures, LatencyHistogram

__all__ = ["Event", "Interval", "Phase", "Timeline", "combined", "phases"]

_SHORTEST = 0.5
"""Seconds; what is left over at the end and shorter belongs to the interval before."""


@dataclass(frozen=True, slots=True)
class Event:
    """What changed, and when."""

    at: float
    """Seconds since the first request."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A stretch of a run; what was lost counts where its time-out passed, replies where they came."""

    start: float
    """Seconds since the first request, as `end`."""
    end: float
    sent: int
    answered: int
    lost: int
    known: Counter[int]
    """What the plan's own hosts were told, in the dialect's numbers."""
    random: Counter[int]
    """What random hosts were told."""
    latency_of_known: LatencyHistogram
    latency_of_random: LatencyHistogram
    queries: float | None = None
    """DNS queries of the daemon meanwhile; None where that is unknown."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What a run brought while one thing held."""

    name: str
    """The text of the event that it began with."""
    whole: Interval


class Timeline:
    """Takes the figures of a run from time to time, and makes intervals of what differs."""

    def __init__(self) -> None:
        self._before: Figures | None = None
        self._end = 0.0
        self._intervals: list[Interval] = []

    def observe(self, figures: Figures, at: float) -> Interval:
        """What has come since the last time; `at` is in seconds since the first request."""
        now = _copy(figures)
        before = self._before or Figures(dialect=figures.dialect)
        random = now.verdicts_of_unknown - before.verdicts_of_unknown
        interval = Interval(
            start=self._end,
            end=at,
            sent=now.sent - before.sent,
            answered=now.answered - before.answered,
            lost=now.lost - before.lost,
            known=now.verdicts - before.verdicts - random,
            random=random,
            latency_of_known=now.latency_of_known.since(before.latency_of_known),
            latency_of_random=now.latency_of_unknown.since(before.latency_of_unknown),
        )
        self._before, self._end = now, at
        self._intervals.append(interval)
        return interval

    def finished(self, queries: Callable[[float, float], float | None]) -> tuple[Interval, ...]:
        """All intervals, each with what `queries` says of its start and end."""
        intervals = self._intervals
        if len(intervals) > 1 and intervals[-1].seconds < _SHORTEST:
            intervals = [*intervals[:-2], combined(intervals[-2:])]
        return tuple(
            replace(interval, queries=queries(interval.start, interval.end)) for interval in intervals
        )


def combined(intervals: Sequence[Interval]) -> Interval:
    """One interval from the start of the first, of at least one, to the end of the last."""
    whole = intervals[0]
    for later in intervals[1:]:
        unknown = whole.queries is None or later.queries is None
        whole = Interval(
            start=whole.start,
            end=later.end,
            sent=whole.sent + later.sent,
            answered=whole.answered + later.answered,
            lost=whole.lost + later.lost,
            known=whole.known + later.known,
            random=whole.random + later.random,
            latency_of_known=whole.latency_of_known.merged(later.latency_of_known),
            latency_of_random=whole.latency_of_random.merged(later.latency_of_random),
            queries=None if unknown else (whole.queries or 0.0) + (later.queries or 0.0),
        )
    return whole


def phases(intervals: Sequence[Interval], events: Sequence[Event]) -> tuple[Phase, ...]:
    """The intervals from each event, in ascending order, to the next; before the first, `as it began`.

    An interval belongs where its middle is. A phase without intervals is left out.
    """
    found = []
    starts = [Event(0.0, "as it began"), *events]
    ends = [*(event.at for event in events), float("inf")]
    for event, end in zip(starts, ends, strict=True):
        within = [each for each in intervals if event.at <= (each.start + each.end) / 2 < end]
        if within:
            found.append(Phase(name=event.text, whole=combined(within)))
    return tuple(found)


def _copy(figures: Figures) -> Figures:
    nothing = LatencyHistogram()
    return replace(
        figures,
        verdicts=figures.verdicts.copy(),
        verdicts_of_unknown=figures.verdicts_of_unknown.copy(),
        latency_of_known=figures.latency_of_known.merged(nothing),
        latency_of_unknown=figures.latency_of_unknown.merged(nothing),
    )
