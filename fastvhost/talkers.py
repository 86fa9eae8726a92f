"""Top talkers: whose unknown hosts cost most, by source and by zone.

Only walks, and refusals of walks and queries, are counted: an answer from memory costs nobody anything, and
is not slowed down for a statistic.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fastvhost.heavy_hitters import HeavyHitters

__all__ = ["HALF_LIFE", "Talker", "Talkers"]

_KEPT = 512
"""Keys of each kind; some 100 kB."""

HALF_LIFE = 60.0
"""Seconds after which what somebody did counts half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talker:
    """One source or zone."""

    name: str
    """A network in CIDR notation, or a registrable domain."""
    asked: int
    """Walks, and what was refused, lately: halved every minute; never too high."""


class Talkers:
    """Sources and zones that asked for unknown hosts lately; `network_of` is that of `Sources`."""

    __slots__ = ("_network_of", "_sources", "_zones")

    def __init__(self, network_of: Callable[[bytes], str]) -> None:
        self._network_of = network_of
        self._sources: HeavyHitters[bytes] = HeavyHitters(_KEPT, half_life=HALF_LIFE)
        self._zones: HeavyHitters[str] = HeavyHitters(_KEPT, half_life=HALF_LIFE)

    def forget_sources(self, network_of: Callable[[bytes], str]) -> None:
        """Sources have other keys from now on, which `network_of` knows: forget those that were counted."""
        self._network_of = network_of
        self._sources = HeavyHitters(_KEPT, half_life=HALF_LIFE)

    def count_source(self, key: bytes, now: float) -> None:
        """The source with this key asked for an unknown host, or for more than it may."""
        self._sources.count(key, now)

    def count_zone(self, zone: str, now: float) -> None:
        """Somebody asked for an unknown host of `zone`."""
        self._zones.count(zone, now)

    def sources(self, most: int, now: float) -> list[Talker]:
        """The sources that asked most, the first most."""
        return [
            Talker(name=self._network_of(key), asked=asked) for key, asked in self._sources.top(most, now)
        ]

    def zones(self, most: int, now: float) -> list[Talker]:
        """The registrable domains that were asked for most, the first most."""
        return [Talker(name=zone, asked=asked) for zone, asked in self._zones.top(most, now)]
