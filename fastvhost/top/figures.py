"""What two looks at a daemon say: rates from the counters of both, levels from the later one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastvhost.admin.catalogue import LATENCY
from fastvhost.admin.history import FROM_MEMORY
from fastvhost.model import VerdictKind
from fastvhost.top.metrics import Metrics
from fastvhost.top.percentile import percentile
from fastvhost.top.scrape import Scrape

__all__ = ["FaceRates", "LaneLevel", "Levels", "Rates", "levels", "rates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRates:
    """Replies of one face."""

    name: str
    replies: float
    p50: float | None
    """Seconds, as `percentile` guesses them; None: there were no replies."""
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What happened between two looks, a second."""

    seconds: float
    """Between the two."""
    replies: Mapping[VerdictKind, float]
    faces: Sequence[FaceRates]
    hit_rate: float | None
    """The share of replies that came from memory; None: there were no replies."""
    upstream: float
    """DNS queries sent, retries included."""
    answers: Mapping[str, float]
    """Questions by RCODE, NODATA, time-out, or other; the most frequent first, none that did not come."""
    refused: Mapping[str, float]
    """Look-ups answered LIMITED, by the budget that was spent."""
    cpu: float
    """Processors that were busy."""
    troubles: Sequence[str]
    """What an operator should look at, in words."""

    @property
    def total(self) -> float:
        """Replies of all verdicts."""
        return sum(self.replies.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLevel:
    """What one lane of the DNS budget has left."""

    name: str
    share: float
    """Of its burst, 0–1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """How things stand at one instant."""

    version: str
    not_ready: str | None
    started: float
    """Seconds since the epoch."""
    resident: float
    """Octets of memory."""
    flights: float
    in_flight: float
    """DNS queries under way."""
    most_in_flight: float
    most_upstream: float
    """DNS queries a second that are allowed."""
    lanes: Sequence[LaneLevel]
    hosted: float
    most_hosted: float
    """Entries that fit into that part of the cache."""
    unknown: float
    most_unknown: float
    known: float
    """Hosts decided without DNS."""
    queued: float
    """Records that wait for the store."""
    braked: bool


_TROUBLES: Sequence[tuple[str, Mapping[str, str], str]] = (
    ("fastvhost_datagrams_dropped_total", {"why": "dropped"}, "{:,.0f} datagrams lost in full sockets"),
    ("fastvhost_store_failures_total", {}, "{:,.0f} store failures"),
    ("fastvhost_store_refused_total", {}, "{:,.0f} records lost: the store is behind"),
    ("fastvhost_walk_faults_total", {}, "{:,.0f} faults in walks: see the log"),
    ("fastvhost_proxy_reloads_total", {"stage": "failed"}, "{:,.0f} proxy reloads failed"),
)
"""Counters that should stand still, with labels, and what their growth is called."""


def rates(before: Scrape | None, after: Scrape) -> Rates | None:
    """None where two looks do not make a rate: there was no first, or the daemon was started between them."""
    if before is None or _started(before.metrics) != _started(after.metrics):
        return None
    seconds = after.at - before.at
    if seconds <= 0:
        return None
    grown = after.metrics.since(before.metrics)
    verdicts = grown.by("fastvhost_replies_total", "verdict")
    replies = {kind: verdicts.get(kind.name.lower(), 0.0) / seconds for kind in VerdictKind}
    total = sum(replies.values()) * seconds
    stations = grown.by("fastvhost_lookups_total", "outcome")
    from_memory = grown.total("fastvhost_replies_repeated_total") + sum(
        stations.get(station, 0.0) for station in FROM_MEMORY
    )
    return Rates(
        seconds=seconds,
        replies=replies,
        faces=_faces(grown, seconds),
        # What programs on Trio look up is no reply of a face, but may come from memory.
        hit_rate=min(1.0, from_memory / total) if total else None,
        upstream=grown.total("fastvhost_upstream_queries_total") / seconds,
        answers=_most_first(grown.by("fastvhost_upstream_answers_total", "rcode"), seconds),
        refused={
            budget: count / seconds
            for budget, count in grown.by("fastvhost_lookups_limited_total", "budget").items()
        },
        cpu=grown.total("process_cpu_seconds_total") / seconds,
        troubles=[
            text.format(count) for name, labels, text in _TROUBLES if (count := grown.total(name, **labels))
        ],
    )


def levels(scrape: Scrape) -> Levels:
    """The gauges; one that is not there, as without a store, is 0."""
    metrics = scrape.metrics
    limits = metrics.by("fastvhost_limit", "key")
    entries = metrics.by("fastvhost_cache_entries", "part")
    bursts = metrics.by("fastvhost_budget_burst", "lane")
    most_in_flight = limits.get("limits.upstream_inflight", 0.0)
    return Levels(
        version=metrics.label("fastvhost_build_info", "version"),
        not_ready=scrape.not_ready,
        started=_started(metrics),
        resident=metrics.total("process_resident_memory_bytes"),
        flights=metrics.total("fastvhost_flights"),
        in_flight=max(0.0, most_in_flight - metrics.total("fastvhost_budget_slots_free")),
        most_in_flight=most_in_flight,
        most_upstream=limits.get("limits.upstream_qps", 0.0),
        lanes=[
            LaneLevel(name=lane, share=min(1.0, max(0.0, tokens / bursts[lane])))
            for lane, tokens in metrics.by("fastvhost_budget_tokens", "lane").items()
            if bursts.get(lane)
        ],
        hosted=entries.get("hosted", 0.0),
        most_hosted=limits.get("cache.hosted_entries", 0.0),
        unknown=entries.get("unknown", 0.0),
        most_unknown=limits.get("cache.unknown_entries", 0.0),
        known=metrics.total("fastvhost_domains_known"),
        queued=metrics.total("fastvhost_store_queued"),
        braked=metrics.total("fastvhost_housekeeping_braked") > 0,
    )


def _started(metrics: Metrics) -> float:
    return metrics.total("process_start_time_seconds")


def _faces(grown: Metrics, seconds: float) -> list[FaceRates]:
    buckets: dict[str, dict[float, float]] = {}
    for labels, count in grown.samples.get(f"{LATENCY.name}_bucket", ()):
        face = buckets.setdefault(labels.get("face", ""), {})
        bound = float(labels.get("le", "inf"))
        face[bound] = face.get(bound, 0.0) + count
    replies = grown.by("fastvhost_replies_total", "face")
    return [
        FaceRates(
            name=name,
            replies=replies.get(name, 0.0) / seconds,
            p50=percentile(counts, 0.50),
            p99=percentile(counts, 0.99),
        )
        for name, counts in buckets.items()
    ]


def _most_first(counts: Mapping[str, float], seconds: float) -> dict[str, float]:
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    return {name: count / seconds for name, count in ranked if count}
