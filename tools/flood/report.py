"""What a load test found, as values, as text and as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tools.flood.timeline import Event, Interval, combined, phases
from tools.load import LatencyHistogram, Plan
from tools.table import plain

__all__ = ["HEADINGS", "Report"]

HEADINGS = (
    "from s",
    "phase",
    "sent/s",
    "lost",
    "p50 ms",
    "p99 ms",
    "max ms",
    "DNS/s",
    "hosts",
    "random hosts",
)


_TOLD = 2
"""Headings, at the end, under which stands what was told; as text these are lines of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One load test."""

    title: str
    plan: Plan
    strays: int
    intervals: tuple[Interval, ...]
    """At least one, about a second each."""
    events: tuple[Event, ...] = ()
    """What changed meanwhile, in ascending order."""
    cap: float | None = None
    """`limits.upstream_qps` of the daemon."""
    why_unknown: str = ""
    """Why it is not known what was asked of DNS, where it is not."""

    @property
    def whole(self) -> Interval:
        """All of it."""
        return combined(self.intervals)

    def words(self, verdicts: Counter[int]) -> dict[str, int]:
        """Verdicts by name."""
        return {self.plan.dialect.describe(value): count for value, count in sorted(verdicts.items())}

    def shares(self, verdicts: Counter[int]) -> str:
        """Such as `HOSTED 99.1 %, PENDING 0.9 %`, the most frequent first."""
        total = verdicts.total()
        words = sorted(self.words(verdicts).items(), key=lambda word: -word[1])
        return ", ".join(f"{word} {_percent(count, total)}" for word, count in words) or "-"

    def rows(self) -> list[tuple[str, ...]]:
        """A row for each phase, under `HEADINGS`."""
        return [
            (
                f"{phase.whole.start:.0f}",
                phase.name,
                f"{phase.whole.sent / phase.whole.seconds:,.0f}",
                f"{phase.whole.lost:,}",
                *self._latencies(phase.whole),
                _rate(phase.whole.queries, phase.whole.seconds),
                self.shares(phase.whole.known),
                self.shares(phase.whole.random),
            )
            for phase in phases(self.intervals, self.events)
        ]

    def lines(self) -> list[str]:
        """The whole of it in some lines."""
        whole, plan = self.whole, self.plan
        pace = "as fast as it is answered" if plan.rate is None else f"{plan.rate:,.0f} requests a second"
        lines = [
            f"{self.title}: {pace}, {whole.seconds:.1f} s",
            f"{len(set(plan.names)):,} hosts, {plan.unknown_share:.0%} random, {len(plan.sources):,} sources",
            f"{whole.sent:,} sent, {whole.answered:,} answered, {whole.lost:,} lost, {self.strays:,} strays",
        ]
        parts = (
            ("hosts", whole.known, whole.latency_of_known),
            ("random hosts", whole.random, whole.latency_of_random),
        )
        for name, verdicts, latency in parts:
            if verdicts:
                told = ", ".join(f"{word} {count:,}" for word, count in self.words(verdicts).items())
                lines += [f"{name}: {told}", f"  latency, us: {_points(latency)}"]
        return [*lines, self._upstream()]

    def __str__(self) -> str:
        lines = self.lines()
        if self.events:
            rows = self.rows()
            head, *table = plain([row[:-_TOLD] for row in (HEADINGS, *rows)]).splitlines()
            lines += ["", head]
            for numbers, row in zip(table, rows, strict=True):
                told = zip(HEADINGS[-_TOLD:], row[-_TOLD:], strict=True)
                lines += [numbers, *(f"        {name}: {shares}" for name, shares in told if shares != "-")]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Everything, for `json.dumps`; seconds since the first request, latencies in microseconds."""
        return {
            "title": self.title,
            "server": str(self.plan.server),
            "rate": self.plan.rate,
            "poisson": self.plan.poisson,
            "hosts": len(set(self.plan.names)),
            "random_share": self.plan.unknown_share,
            "sources": len(self.plan.sources),
            "strays": self.strays,
            "upstream_qps": self.cap,
            "upstream_unknown": self.why_unknown or None,
            "whole": self._interval_json(self.whole),
            "events": [{"at": round(event.at, 3), "text": event.text} for event in self.events],
            "phases": [
                {"name": phase.name, **self._interval_json(phase.whole)}
                for phase in phases(self.intervals, self.events)
            ],
            "timeline": [self._interval_json(interval) for interval in self.intervals],
        }

    def _interval_json(self, interval: Interval) -> dict[str, object]:
        return {
            "start": round(interval.start, 3),
            "end": round(interval.end, 3),
            "sent": interval.sent,
            "answered": interval.answered,
            "lost": interval.lost,
            "verdicts": self.words(interval.known),
            "verdicts_of_random": self.words(interval.random),
            "latency_us": interval.latency_of_known.microseconds(),
            "latency_of_random_us": interval.latency_of_random.microseconds(),
            "dns_queries": None if interval.queries is None else round(interval.queries),
        }

    def _latencies(self, interval: Interval) -> Sequence[str]:
        """p50, p99 and max in milliseconds."""
        latency = interval.latency_of_known if interval.known else interval.latency_of_random
        points = (latency.percentile(50.0), latency.percentile(99.0), latency.highest)
        return ["-" if point is None or not latency.count else f"{1e3 * point:.2f}" for point in points]

    def _upstream(self) -> str:
        whole = self.whole
        if whole.queries is None:
            return f"DNS queries of the daemon: unknown ({self.why_unknown})"
        cap = "" if self.cap is None else f"; limits.upstream_qps allows {self.cap:,.0f} a second"
        each = whole.queries / whole.sent if whole.sent else 0.0
        return f"DNS queries of the daemon: {whole.queries:,.0f}, {each:.3g} a request{cap}"


def _percent(count: int, total: int) -> str:
    """To a tenth, but 99.96 % are not all, and a few in a million not none."""
    share = 100 * count / total
    if count == total:
        return "100 %"
    return f"{min(share, 99.9):.1f} %" if share >= 0.1 else "< 0.1 %"


def _points(latency: LatencyHistogram) -> str:
    points = latency.microseconds()
    return "  ".join(f"{name} {'-' if point is None else f'{point:,}'}" for name, point in points.items())


def _rate(queries: float | None, seconds: float) -> str:
    return "?" if queries is None else f"{queries / seconds:,.0f}"
