"""The plot of `bench.proxies`: how many calls each proxy answers in time, scene by scene."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.proxies_rig import PROXIES, RATE, SCENES, Measured
from tools.drawing import new_figure, save

__all__ = ["draw"]

_LABELS = {"fastvhost": "Kamailio asks fastvhost", "alone": "Kamailio asks DNS itself"}
_COLOURS = {"fastvhost": "#1b7837", "alone": "#b2182b"}
_WIDTH = 0.38


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Write the medians of the runs as bars; the suffix of `path` says the format."""
    figure = new_figure(3.0)
    axes = figure.subplots()
    for offset, proxy in zip((-_WIDTH / 2, _WIDTH / 2), PROXIES, strict=True):
        rates = [
            median(run.in_time_per_second for run in measured if (run.scene, run.proxy) == (scene, proxy))
            for scene in SCENES
        ]
        places = [place + offset for place in range(len(SCENES))]
        bars = axes.bar(places, rates, _WIDTH, label=_LABELS[proxy], color=_COLOURS[proxy])
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks(range(len(SCENES)), [f"DNS {scene}" for scene in SCENES], fontsize=8)
    axes.set_ylabel(f"calls of {RATE}/s\nanswered within 0.5 s", fontsize=8)
    axes.set_ylim(0, RATE * 1.35)
    axes.legend(loc="upper center", ncols=2, frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
