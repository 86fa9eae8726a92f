"""The plots of `make bench`: answers a second by who is asked, and latencies by share of capacity."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.drawing import new_figure, save

__all__ = ["draw_latencies", "draw_rates"]

_OURS, _PEERS, _LIMIT = "#1b7837", "#878787", "#2166ac"
_COLOURS = ("#1b7837", "#2166ac", "#b2182b", "#762a83")
_PERCENTILES = {"p50": "-", "p99": "--", "p999": ":"}


def draw_rates(cases: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Medians of `bench.load` as bars on a logarithmic scale, with the lowest and highest run; SVG."""
    figure = new_figure(0.32 * len(cases) + 1.0)
    axes = figure.subplots()
    places = range(len(cases))
    middle = [case["median"] for case in cases]
    spread = (
        [case["median"] - case["lowest"] for case in cases],
        [case["highest"] - case["median"] for case in cases],
    )
    bars = axes.barh(places, middle, xerr=spread, color=[_colour(case["asked"]) for case in cases])
    axes.bar_label(bars, labels=[f" {value:,.0f}" for value in middle], fontsize=7, label_type="edge")
    axes.set_yticks(places, [f"{case['name']}: {case['asked']}" for case in cases], fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(min(middle) / 2, max(middle) * 4)
    axes.set_xlabel("answers a second (logarithmic)", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def draw_latencies(latencies: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Medians of `bench.latency` or `bench.million` over the share of capacity, a colour a scene; SVG."""
    figure = new_figure(3.4)
    axes = figure.subplots()
    scenes = list(dict.fromkeys(latency["scene"] for latency in latencies))
    for scene, colour in zip(scenes, _COLOURS, strict=False):
        of_scene = [latency for latency in latencies if latency["scene"] == scene]
        shares = [100 * latency["share"] for latency in of_scene]
        for percentile, style in _PERCENTILES.items():
            label = f"{scene}, {percentile.replace('999', '99.9')}"
            values = [latency[percentile] or float("nan") for latency in of_scene]
            axes.plot(shares, values, style, marker="o", markersize=3, color=colour, label=label)
    axes.set_yscale("log")
    axes.set_xlabel("hits a second, % of capacity", fontsize=8)
    axes.set_ylabel("latency of hits, us\n(logarithmic)", fontsize=8)
    axes.legend(fontsize=6, frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _colour(asked: str) -> str:
    if asked.startswith("fastvhost"):
        return _OURS
    return _LIMIT if asked.startswith("C echo") else _PEERS
