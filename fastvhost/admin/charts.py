"""Line charts as SVG, drawn by the server: figures over the last minutes."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

__all__ = ["Line", "chart"]

_WIDTH, _HEIGHT = 480, 150
_LEFT, _BOTTOM, _TOP, _RIGHT = 52, 22, 8, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure over time."""

    name: str
    """What it is called; also its CSS class, where it is a word."""
    points: Sequence[tuple[float, float | None]]
    """Instants in ascending order and values of 0 or more; None: a gap."""


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    span: float,
    until: float,
    cap: float | None = None,
    least: float = 1.0,
) -> str:
    """An SVG element with `lines` from `span` seconds before the instant `until` to it.

    `cap`, where there is one, is a line across that no value should pass. The scale goes from 0 to a round
    number at or above the highest of all and `least`.
    """
    highest = max([value for line in lines for _, value in line.points if value is not None], default=0.0)
    top = _round_up(max(highest, cap or 0.0, least))

    def place(at: float, value: float) -> str:
        x = _WIDTH - _RIGHT - (until - at) / span * (_WIDTH - _LEFT - _RIGHT)
        return f"{x:.1f},{_y(value, top):.1f}"

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
    ]
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        parts.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            f'<text class="scale" x="{_LEFT - 6}" y="{y + 4:.1f}">{_short(top * share)}</text>'
        )
    minutes = f"{span / 60:g} min ago"
    parts.append(
        f'<text x="{_LEFT}" y="{_HEIGHT - 5}">{minutes}</text>'
        f'<text class="scale" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 5}">now</text>'
    )
    if cap is not None:
        parts.append(f'<path class="cap" d="M{_LEFT} {_y(cap, top):.1f}H{_WIDTH - _RIGHT}"/>')
    for line in lines:
        for run in _runs(line.points):
            points = " ".join(place(at, value) for at, value in run)
            parts.append(f'<polyline class="line {escape(line.name)}" points="{points}"/>')
    return "".join((*parts, "</svg>"))


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _BOTTOM - _TOP)


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The stretches without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((at, value))
    return [run for run in runs if run]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 … that is not below."""
    decade = 10.0 ** floor(log10(value))
    return next(step * decade for step in (1.0, 2.0, 5.0, 10.0) if value <= step * decade)


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
