"""Looks at a daemon, made of figures as its parts count them."""

from collections.abc import Mapping, Sequence

from fastvhost.admin.exposition import exposition
from fastvhost.faces.latency import Latencies
from fastvhost.talkers import Talker
from fastvhost.top.metrics import Metrics
from fastvhost.top.scrape import Scrape, SeenChange

__all__ = ["BUILD", "scrape"]

BUILD = {"version": "0.1.0", "python": "3.11"}

_STARTED = {"process.start": 1_795_424_400.0}


def scrape(
    at: float,
    figures: Mapping[str, float],
    latencies: Mapping[str, Latencies] | None = None,
    *,
    sources: Sequence[Talker] = (),
    zones: Sequence[Talker] = (),
    changes: Sequence[SeenChange] = (),
    not_ready: str | None = None,
) -> Scrape:
    """What is seen at an instant of a daemon with these figures, whose start is always the same."""
    histograms = {name: one.histograms() for name, one in (latencies or {}).items()}
    return Scrape(
        at=at,
        metrics=Metrics.read(exposition(_STARTED | dict(figures), histograms, BUILD)),
        not_ready=not_ready,
        sources=sources,
        zones=zones,
        changes=changes,
    )
