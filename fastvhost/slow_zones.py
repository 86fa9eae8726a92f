"""Zones that are set aside: a breaker by registrable domain, with probes.

A zone whose walks end slowly and undecided, one after another, gets no more of them but a probe now and
then. So whoever asks for names of a zone with silent servers holds nothing that others need.

Pure: the time is an argument, what happened is told by whoever walks.
"""

from cachetools import LRUCache

__all__ = ["SLOW_SECONDS", "SlowZones"]

SLOW_SECONDS = 0.2
"""From here on a look-up is slow: it gives way where others wait. A recursive server goes on after we left,
so who asks next is mostly answered at once. Slots that are a fifth of the queries a second, or more, then
never run out: by default 204 are there for 800."""

_STREAK = 5
"""Slow failures in a row after which a zone is set aside; a few may be lost datagrams."""

_PROBE_SECONDS = (1.0, 60.0)
"""Seconds until the first probe, doubled by each that fails, and the most of them: those of a host whose
look-ups fail (RFC 9520 section 3.2)."""

_TABLE_ENTRIES = 65_536
"""Zones with a failure that are told apart at one time."""


class _Zone:
    __slots__ = ("probe_at", "probe_seconds", "probed_at", "streak")

    def __init__(self) -> None:
        self.streak = 0
        self.probe_seconds = 0.0
        """0.0 while the zone is not set aside."""
        self.probed_at = float("-inf")
        """When the zone was set aside, or the last probe started: what started before tells nothing new."""
        self.probe_at = float("-inf")


class SlowZones:
    """Which zones are set aside; at `entries` the one that was heard of longest ago is forgotten."""

    __slots__ = ("_answered", "_answered_before", "_zones", "set_aside")

    def __init__(self, *, entries: int = _TABLE_ENTRIES) -> None:
        self._zones: LRUCache[str, _Zone] = LRUCache(entries)
        # Of the last two zones that were answered one is another than whichever is asked about.
        self._answered = ("", float("-inf"))
        self._answered_before = self._answered
        self.set_aside = 0
        """How often a zone was set aside."""

    def __len__(self) -> int:
        return len(self._zones)

    def probe_at(self, zone: str, now: float) -> float | None:
        """The instant of the next probe of a zone that is set aside; None: a walk may start."""
        known = self._zones.get(zone)
        return None if known is None or now >= known.probe_at else known.probe_at

    def started(self, zone: str, now: float) -> None:
        """A walk starts, which `probe_at` has not refused: the only one until the next probe is due."""
        known = self._zones.get(zone)
        if known is not None and known.probe_seconds:
            known.probed_at = now
            known.probe_at = now + known.probe_seconds

    def answered(self, zone: str, now: float) -> None:
        """A walk was decided, so the zone is sound and the way to DNS is open."""
        if self._zones:
            self._zones.pop(zone, None)
        if self._answered[0] != zone:
            self._answered_before = self._answered
        self._answered = zone, now

    def failed(self, zone: str, started: float, now: float) -> None:
        """A walk that started at `started` was not decided.

        It counts where it was slow and another zone was answered meanwhile: else it may be our own
        servers that are silent, and every zone would be set aside.
        """
        if now - started < SLOW_SECONDS or not any(
            other != zone and at >= started for other, at in (self._answered, self._answered_before)
        ):
            return
        known = self._zones.get(zone)
        if known is None:
            known = self._zones[zone] = _Zone()
        if started < known.probed_at:
            return
        first, most = _PROBE_SECONDS
        if known.probe_seconds:
            known.probe_seconds = min(2.0 * known.probe_seconds, most)
        else:
            known.streak += 1
            if known.streak < _STREAK:
                return
            known.probe_seconds = first
            self.set_aside += 1
        known.probed_at = now
        known.probe_at = now + known.probe_seconds
