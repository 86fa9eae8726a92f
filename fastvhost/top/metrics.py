"""Metrics in the text format of Prometheus, as read back from `/metrics`.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Self

__all__ = ["Metrics", "UnreadableError"]

_SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

Labels = Mapping[str, str]


class UnreadableError(ValueError):
    """What came is not what the admin face of fastvhost says; the text has what of it."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Samples by the name of their metric."""

    samples: Mapping[str, Sequence[tuple[Labels, float]]]

    @classmethod
    def read(cls, text: str) -> Self:
        """The samples of an exposition without time stamps, which fastvhost's is; comments are left out.

        Raises:
            UnreadableError: a line is no sample, or no finite one.
        """
        found: dict[str, list[tuple[Labels, float]]] = {}
        for line in text.split("\n"):
            if not line or line.startswith("#"):
                continue
            try:
                name, labels, value = _read(line)
            except ValueError:
                raise UnreadableError(f"no metric: {line[:60]!r}") from None
            found.setdefault(name, []).append((labels, value))
        return cls(found)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels, whatever others they have; 0 where there are none."""
        return sum(
            value
            for found, value in self.samples.get(name, ())
            if all(found.get(label) == wanted for label, wanted in labels.items())
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """The samples summed by the value of one label, in the order in which they came."""
        found: dict[str, float] = {}
        for labels, value in self.samples.get(name, ()):
            key = labels.get(label, "")
            found[key] = found.get(key, 0.0) + value
        return found

    def label(self, name: str, label: str) -> str:
        """A label of the first sample; empty where there is none."""
        first = next(iter(self.samples.get(name, ())), None)
        return "" if first is None else first[0].get(label, "")

    def since(self, before: Self) -> Self:
        """How much each sample grew since `before`; meaningful for counters.

        One that fell has begun anew from 0, as has one that was not there; so nothing is negative.
        """
        return type(self)(
            {name: _growth(samples, before.samples.get(name, ())) for name, samples in self.samples.items()}
        )


def _read(line: str) -> tuple[str, Labels, float]:
    sample = _SAMPLE.fullmatch(line)
    value = nan if sample is None else float(sample[3])
    if sample is None or not isfinite(value):
        raise ValueError
    labels = {name: _unescaped(text) for name, text in _LABEL.findall(sample[2] or "")}
    float(labels.get("le", "inf"))
    return sample[1], labels, value


def _growth(
    samples: Sequence[tuple[Labels, float]], before: Sequence[tuple[Labels, float]]
) -> list[tuple[Labels, float]]:
    then = {tuple(labels.items()): value for labels, value in before}
    grown = []
    for labels, value in samples:
        old = then.get(tuple(labels.items()), 0.0)
        grown.append((labels, value - old if value >= old else value))
    return grown


def _unescaped(value: str) -> str:
    return re.sub(r"\\.", lambda escape: _ESCAPES.get(escape[0], escape[0]), value)
