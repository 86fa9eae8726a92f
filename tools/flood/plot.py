"""A report drawn over time: what was told, how late, and what it cost in DNS."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.drawing import new_figure, save
from tools.flood.report import Report
from tools.load import LatencyHistogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "svg_of"]

_COLOURS = {
    "HOSTED": "#1b7837",
    "NOT_HOSTED": "#878787",
    "UNDETERMINED": "#e08214",
    "PENDING": "#2166ac",
    "LIMITED": "#762a83",
    "MALFORMED": "#8c510a",
    "lost": "#b2182b",
}
_OTHERS = ("#1b7837", "#878787", "#e08214", "#2166ac", "#762a83", "#8c510a")
_SMALL = 7
_NAN = float("nan")


def draw(report: Report, path: Path) -> None:
    """Write the plot; the suffix of `path` says the format, `.svg` or `.png`."""
    save(_figure(report), path)


def svg_of(report: Report) -> str:
    """The plot as an SVG element, to stand in a page."""
    text = io.StringIO()
    _figure(report).savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _figure(report: Report) -> "Figure":
    figure = new_figure(5.2)
    told, late, upstream = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
    edges = [report.intervals[0].start, *(interval.end for interval in report.intervals)]
    _draw_told(told, report, edges)
    _draw_latencies(late, report, edges)
    _draw_upstream(upstream, report, edges)
    for axes in (told, late, upstream):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=_SMALL)
        for event in report.events:
            axes.axvline(event.at, color="black", linewidth=0.6, linestyle=":")
    for event in report.events:
        told.annotate(
            event.text,
            (event.at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, 2),
            textcoords="offset points",
            fontsize=6,
            rotation=20,
        )
    upstream.set_xlim(edges[0], edges[-1])
    upstream.set_xlabel("seconds", fontsize=_SMALL)
    return figure


def _draw_told(axes: "Axes", report: Report, edges: Sequence[float]) -> None:
    """Replies a second by what they said, on top of each other, and what was lost."""
    values = sorted(set().union(*(interval.known + interval.random for interval in report.intervals)))
    series = {
        report.plan.dialect.describe(value): [
            (interval.known + interval.random)[value] / interval.seconds for interval in report.intervals
        ]
        for value in values
    }
    series["lost"] = [interval.lost / interval.seconds for interval in report.intervals]
    below = [0.0] * len(report.intervals)
    for name, rates in series.items():
        if not any(rates):
            continue
        above = [base + rate for base, rate in zip(below, rates, strict=True)]
        colour = _COLOURS.get(name, _OTHERS[len(axes.patches) % len(_OTHERS)])
        axes.stairs(above, edges, baseline=below, fill=True, color=colour, label=name)
        below = above
    axes.set_ylim(0.0, max(1.0, *below) * 1.1)
    axes.set_ylabel("replies a second", fontsize=_SMALL)
    _legend(axes)


def _draw_latencies(axes: "Axes", report: Report, edges: Sequence[float]) -> None:
    """From the instant at which a request was due, on a logarithmic scale."""
    parts = {
        "hosts": ([each.latency_of_known for each in report.intervals], "#1b7837"),
        "random": ([each.latency_of_random for each in report.intervals], "#878787"),
    }
    for name, (histograms, colour) in parts.items():
        if any(histogram.count for histogram in histograms):
            for percent, style in ((50.0, "-"), (99.0, "--"), (100.0, ":")):
                label = f"{name}, {'max' if percent == 100.0 else f'p{percent:g}'}"
                points = [_milliseconds(histogram, percent) for histogram in histograms]
                axes.stairs(points, edges, baseline=None, color=colour, linestyle=style, label=label)
    axes.set_yscale("log")
    axes.set_ylabel("latency, ms", fontsize=_SMALL)
    _legend(axes)


def _draw_upstream(axes: "Axes", report: Report, edges: Sequence[float]) -> None:
    """DNS queries a second of the daemon, and the most that it may send."""
    if report.whole.queries is None:
        axes.text(0.5, 0.5, "DNS queries: unknown", transform=axes.transAxes, ha="center", fontsize=_SMALL)
    else:
        rates = [(interval.queries or 0.0) / interval.seconds for interval in report.intervals]
        axes.stairs(rates, edges, fill=True, color="#2166ac")
        axes.set_ylim(0.0, max(1.0, *rates) * 1.1)
        if report.cap is not None and report.cap < 3 * max(rates):
            axes.axhline(report.cap, color="#b2182b", linewidth=0.8, label="limits.upstream_qps")
            axes.set_ylim(0.0, max(report.cap, *rates) * 1.1)
            _legend(axes)
    axes.set_ylabel("DNS queries a second", fontsize=_SMALL)


def _milliseconds(histogram: LatencyHistogram, percent: float) -> float:
    point = histogram.highest if percent == 100.0 else histogram.percentile(percent)
    return 1e3 * point if point is not None and histogram.count else _NAN


def _legend(axes: "Axes") -> None:
    axes.legend(fontsize=6, frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
