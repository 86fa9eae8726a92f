"""Figures in the text format of Prometheus, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from fastvhost.admin.catalogue import BUILD, FAMILIES, LATENCY, Family
from fastvhost.faces.latency import BOUNDS, Histogram
from fastvhost.model import VerdictKind

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PATTERNS = tuple(
    (re.compile(pattern, re.DOTALL), family) for family in FAMILIES for pattern in family.patterns
)

Labels = tuple[tuple[str, str], ...]
Samples = dict[Labels, float]


def exposition(
    figures: Mapping[str, float],
    latencies: Mapping[str, Mapping[VerdictKind, Histogram]],
    build: Mapping[str, str],
) -> str:
    """Every figure under the name that the catalogue has for it; 3 ms.

    Args:
        figures: counters and gauges by `part.name`.
        latencies: of each face, by its name.
        build: labels of `fastvhost_build_info`.
    """
    found: dict[Family, Samples] = {BUILD: {tuple(build.items()): 1}}
    for name, value in figures.items():
        family, labels = _place(name)
        samples = found.setdefault(family, {})
        samples[labels] = samples.get(labels, 0) + value  # more than one may be `other`
    lines: list[str] = []
    for family in FAMILIES:
        if family is LATENCY:
            lines += _head(family)
            lines += _histogram_lines(latencies)
        elif family in found:
            lines += _head(family)
            lines += (f"{family.name}{_braced(labels)} {value!r}" for labels, value in found[family].items())
    return "\n".join(lines) + "\n"


def _place(name: str) -> tuple[Family, Labels]:
    """The family of a figure and its labels there."""
    for pattern, family in _PATTERNS:
        match = pattern.fullmatch(name)
        if match is not None:
            return family, tuple(match.groupdict(default="other").items())
    raise AssertionError("the last pattern takes everything")


def _head(family: Family) -> Iterable[str]:
    text = family.text.replace("\\", r"\\")
    return (f"# HELP {family.name} {text}", f"# TYPE {family.name} {family.kind}")


def _histogram_lines(latencies: Mapping[str, Mapping[VerdictKind, Histogram]]) -> Iterator[str]:
    for face, by_kind in latencies.items():
        for kind, histogram in by_kind.items():
            labels = (("face", face), ("verdict", kind.name.lower()))
            below = 0
            for bound, count in zip((*map(repr, BOUNDS), "+Inf"), histogram.counts, strict=True):
                below += count
                yield f"{LATENCY.name}_bucket{_braced((*labels, ('le', bound)))} {below}"
            yield f"{LATENCY.name}_sum{_braced(labels)} {histogram.total!r}"
            yield f"{LATENCY.name}_count{_braced(labels)} {below}"


def _braced(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
