"""Coalescing: one flight for each host that is being looked up, however many ask.

Bookkeeping only: who asked, who is answered, how many at most. Starting the walk of a flight is
`fastvhost.lookup`'s. Every asker gets the same verdict value; none can harm another.
"""

from collections.abc import Callable

from fastvhost.model import Verdict
from fastvhost.slow_zones import SlowZones

__all__ = ["Asker", "Flight", "Flights"]

Asker = Callable[[Verdict], None]
"""Called once with the verdict when its flight lands; must neither block nor raise."""


class Flight:
    """A look-up under way and the askers that it owes a verdict."""

    __slots__ = ("_askers", "_waiters", "host", "provisional", "took_off", "zone")

    def __init__(self, host: str, zone: str, *, provisional: Verdict, took_off: float, waiters: int) -> None:
        self.host = host
        self.zone = zone
        """The registrable domain of the host."""
        self.provisional = provisional
        """What an asker is told that can wait no longer: PENDING, or what we believe; kept up to date by
        whoever started the flight."""
        self.took_off = took_off
        """The instant, on the clock of `now`."""
        self._waiters = waiters
        self._askers: dict[Asker, None] = {}

    @property
    def full(self) -> bool:
        """Whether it owes as many replies as one flight may."""
        return len(self._askers) >= self._waiters

    def join(self, asker: Asker) -> None:
        """Owe `asker` the verdict. The flight must not be full."""
        self._askers[asker] = None

    def leave(self, asker: Asker) -> bool:
        """Owe `asker` nothing any more; return whether it was still owed."""
        return self._askers.pop(asker, self) is None

    def land(self, verdict: Verdict) -> int:
        """Answer every asker; return how many there were."""
        askers = tuple(self._askers)
        self._askers.clear()
        for asker in askers:
            asker(verdict)
        return len(askers)


_ZONE_SHARE = 4
"""One registrable domain has at most a fourth of the flights: a silent zone must not take those of all."""


class Flights:
    """The flights under way, at most `most` at a time, each owing at most `waiters` replies."""

    __slots__ = ("_by_host", "_by_zone", "_most", "_waiters", "slow_zones")

    def __init__(self, *, most: int, waiters: int) -> None:
        self._by_host: dict[str, Flight] = {}
        self._by_zone: dict[str, int] = {}
        self._most = most
        self._waiters = waiters
        self.slow_zones = SlowZones()
        """The zones that these flights are kept from."""

    def limit(self, *, most: int, waiters: int) -> None:
        """Change the bounds for flights that start from now on."""
        self._most = most
        self._waiters = waiters

    def __len__(self) -> int:
        return len(self._by_host)

    @property
    def full(self) -> bool:
        """Whether no further flight may start."""
        return len(self._by_host) >= self._most

    def crowded(self, zone: str) -> bool:
        """Whether no further flight may start for a host of `zone`."""
        return self._by_zone.get(zone, 0) >= max(1, self._most // _ZONE_SHARE)

    def find(self, host: str) -> Flight | None:
        """The flight under way for `host`."""
        return self._by_host.get(host)

    def start(self, host: str, zone: str, *, provisional: Verdict, now: float) -> Flight:
        """Open a flight for `host`, which has none; there must be room for it and for its zone."""
        flight = Flight(host, zone, provisional=provisional, took_off=now, waiters=self._waiters)
        self._by_host[host] = flight
        self._by_zone[zone] = self._by_zone.get(zone, 0) + 1
        return flight

    def end(self, flight: Flight) -> None:
        """Forget a flight that has landed or was given up."""
        del self._by_host[flight.host]
        left = self._by_zone.pop(flight.zone) - 1
        if left:
            self._by_zone[flight.zone] = left
