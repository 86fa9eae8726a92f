"""One look at a daemon: what its admin face said, as values."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fastvhost.talkers import Talker
from fastvhost.top.metrics import Metrics, UnreadableError

__all__ = ["Scrape", "SeenChange", "read_scrape"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenChange:
    """A known domain that changed lately."""

    domain: str
    state: str
    """The one that it has now."""
    at: str
    """In UTC, ISO 8601."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """Everything of one instant, or nearly so."""

    at: float
    """Seconds on the clock of whoever looked, when `metrics` came."""
    metrics: Metrics
    not_ready: str | None
    """Why no more requests are taken; None: they are."""
    sources: Sequence[Talker]
    """Those that asked most for unknown hosts, the first most."""
    zones: Sequence[Talker]
    changes: Sequence[SeenChange]
    """The latest first."""


def read_scrape(*, at: float, metrics: str, not_ready: str | None, talkers: str, changes: str) -> Scrape:
    """Read the bodies of `/metrics`, `/sources` and `/changes`.

    Raises:
        UnreadableError: one of them is none of fastvhost's.
    """
    read = Metrics.read(metrics)
    if "fastvhost_build_info" not in read.samples:
        raise UnreadableError("no metrics of fastvhost")
    return Scrape(
        at=at,
        metrics=read,
        not_ready=None if not_ready is None else not_ready.strip(),
        sources=_rows(talkers, "sources", _talker),
        zones=_rows(talkers, "zones", _talker),
        changes=_rows(changes, "changes", _change),
    )


def _rows(text: str, key: str, read: Callable[[dict[str, object]], T]) -> list[T]:
    try:
        return [read(row) for row in json.loads(text)[key]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableError(f"no list of {key}: {error!r}") from None


def _talker(row: dict[str, object]) -> Talker:
    asked = row["asked"]
    if not isinstance(asked, int):
        raise TypeError("asked")
    return Talker(name=_text(row["name"]), asked=asked)


def _change(row: dict[str, object]) -> SeenChange:
    return SeenChange(domain=_text(row["domain"]), state=_text(row["state"]), at=_text(row["at"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was due")
    return value
