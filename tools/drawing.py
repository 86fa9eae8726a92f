"""An empty figure of matplotlib, and its file: alike for all plots, the same from the same figures."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "save"]

_WIDTH = 6.8


def new_figure(height: float) -> "Figure":
    """As wide as all are, and `height` inches high."""
    import matplotlib as mpl  # half a second, and only where something is drawn

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "fastvhost"
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    """Write it; the suffix of `path` says the format."""
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
