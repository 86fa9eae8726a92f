"""Latencies of hits in an open loop, at a share of what the server can do, beside unknown hosts."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from bench.generator import Load, generate
from bench.processes import Server
from bench.rig import Rig
from tools.table import plain

__all__ = [
    "HEADINGS",
    "SHARES",
    "Latency",
    "capacity",
    "latencies",
    "latency",
    "median_of_known",
    "medians",
    "print_medians",
    "written",
]

SHARES = (0.1, 0.5, 0.8)
"""Of capacity."""

HEADINGS = (
    "scene",
    "of capacity",
    "hits/s",
    "unknown/s",
    "sent",
    "lost",
    "p50 us",
    "p99 us",
    "p99 of runs",
    "p99.9 us",
    "max us",
    "without a core ms",
)

_CAPACITY_RUNS = 3

_REPEATS = "repeat"
"""The thread that answers hits, where the hot path is compiled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One run, or the medians of several."""

    scene: str
    share: float
    rate: float
    """Hits a second that were to be sent."""
    unknown_rate: float
    """Unknown hosts a second beside them."""
    sent: int
    """Of both, as `lost`."""
    lost: int
    p50: float | None
    """Of hits, in microseconds, as the others; None where nothing was answered."""
    p99: float | None
    p999: float | None
    highest: float | None
    waited: float
    """Milliseconds in which the server was to answer hits and something else had its core."""
    p99_of_runs: Sequence[float] = ()
    """Of several: the lowest, which nothing else disturbed, and the highest."""

    def row(self) -> tuple[str, ...]:
        """Under `HEADINGS`."""
        return (
            self.scene,
            f"{self.share:.0%}",
            f"{self.rate:,.0f}",
            f"{self.unknown_rate:,.0f}",
            f"{self.sent:,}",
            f"{self.lost:,}",
            written(self.p50),
            written(self.p99),
            "-".join(map(written, self.p99_of_runs)) or "-",
            written(self.p999),
            written(self.highest),
            f"{self.waited:,.0f}",
        )


def written(figure: float | None) -> str:
    """As it stands in a table."""
    return "-" if figure is None else f"{figure:,.0f}"


def median_of_known(figures: Iterable[float | None]) -> float | None:
    """Without those that a run has not; None where none has it."""
    known = [figure for figure in figures if figure is not None]
    return median(known) if known else None


def capacity(load: Load, rig: Rig, seconds: float) -> float:
    """Answers a second in a closed loop, the median of three runs."""
    rates: list[float] = [
        generate(load, seconds, rig.other_core)["answers_per_second"] for _ in range(_CAPACITY_RUNS)
    ]
    return median(rates)


def latency(
    hits: Load,
    server: Server,
    rig: Rig,
    seconds: float,
    *,
    scene: str,
    share: float,
    rate: float,
    unknown_rate: float,
) -> Latency:
    """One run of `rate` hits a second, and beside them `unknown_rate` requests for hosts never asked before.

    One generator sends both: two on one core would measure how they share it.
    """
    waited = server.waited_seconds(_REPEATS)
    figures: dict[str, Any] = generate(replace(hits, rate=rate, flood=unknown_rate), seconds, rig.other_core)
    waited = server.waited_seconds(_REPEATS) - waited
    flood = figures.get("flood", {"sent": 0, "lost": 0})
    latencies = figures["latency_of_known_us"]
    return Latency(
        scene=scene,
        share=share,
        rate=round(rate, 1),
        unknown_rate=round(unknown_rate, 1),
        sent=figures["sent"] + flood["sent"],
        lost=figures["lost"] + flood["lost"],
        p50=latencies["p50"],
        p99=latencies["p99"],
        p999=latencies["p99.9"],
        highest=latencies["max"],
        waited=round(1e3 * waited, 1),
    )


def latencies(
    hits: Load,
    server: Server,
    rig: Rig,
    seconds: float,
    *,
    turns: int,
    scene: str,
    most: float,
    unknown_rate: float,
) -> list[Latency]:
    """In each turn a run at each share of `most`, which is the capacity."""
    return [
        latency(
            hits, server, rig, seconds, scene=scene, share=share, rate=share * most, unknown_rate=unknown_rate
        )
        for _ in range(turns)
        for share in SHARES
    ]


def medians(runs: Sequence[Latency]) -> Latency:
    """Of runs of one scene and share: medians, but all that were sent and lost."""

    p99s = [run.p99 for run in runs if run.p99 is not None]
    return replace(
        runs[0],
        rate=median(run.rate for run in runs),
        unknown_rate=median(run.unknown_rate for run in runs),
        sent=sum(run.sent for run in runs),
        lost=sum(run.lost for run in runs),
        p50=median_of_known(run.p50 for run in runs),
        p99=median_of_known(run.p99 for run in runs),
        p99_of_runs=(min(p99s), max(p99s)) if p99s else (),
        p999=median_of_known(run.p999 for run in runs),
        highest=median_of_known(run.highest for run in runs),
        waited=median(run.waited for run in runs),
    )


def print_medians(runs: Sequence[Latency]) -> dict[str, object]:
    """Of each scene and share, as a table in the order of the runs. Returns both, for a report."""
    scenes: dict[tuple[str, float], list[Latency]] = {}
    for run in runs:
        scenes.setdefault((run.scene, run.share), []).append(run)
    middle = [medians(of_one) for of_one in scenes.values()]
    print(plain([HEADINGS, *(one.row() for one in middle)]))
    return {"medians": [asdict(one) for one in middle], "runs": [asdict(run) for run in runs]}
