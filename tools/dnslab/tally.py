"""What was asked: counted, logged, and waited for. Takes its times as arguments."""

import functools
from collections import Counter, deque
from dataclasses import dataclass

import dns.rdatatype
import trio

from tools.dnslab.faults import Transport

__all__ = ["Sighting", "Tally", "type_text"]

MAX_COUNTED = 1_000_000
"""Distinct (owner, type) pairs that are counted one by one."""
MAX_TIMES = 1_000_000
MAX_LOG = 100_000


@dataclass(frozen=True, slots=True)
class Sighting:
    """One query as the log keeps it."""

    time: float
    """Seconds, `trio.current_time()` at receipt."""
    transport: Transport
    owner: str
    rdtype: str


@functools.lru_cache(maxsize=1_024)
def type_text(rdtype: int) -> str:
    """`"SRV"`, or `"TYPE65280"` for a type without a name (RFC 3597 section 5)."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rdtype))


class Tally:
    """The counts of one lab since the last `clear`."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, trio.Event]] = []
        self.clear()

    def clear(self) -> None:
        """Start all counts from 0. Who waits goes on waiting, for queries from now on."""
        self.queries: Counter[tuple[str, str]] = Counter()
        self.uncounted = 0
        """Queries that are in the totals, but not in `queries`: it was full."""
        self.udp = 0
        self.tcp = 0
        self.malformed = 0
        """Messages that are no query; never answered, in no other count."""
        self.overflowed = 0
        """Replies dropped, and connections closed at once, at one of the lab's bounds."""
        self.unsent = 0
        """Replies that the socket did not take."""
        self.times: deque[float] = deque(maxlen=MAX_TIMES)
        self.log: deque[Sighting] = deque(maxlen=MAX_LOG)

    @property
    def total(self) -> int:
        """Well-formed queries over both transports, the lab's own CHAOS question left out."""
        return self.udp + self.tcp

    def record(self, owner: str, rdtype: str, transport: Transport, now: float) -> None:
        """Count one query received at `now` (seconds), and wake who waited for it."""
        if transport == "udp":
            self.udp += 1
        else:
            self.tcp += 1
        self.times.append(now)
        self.log.append(Sighting(now, transport, owner, rdtype))
        key = (owner, rdtype)
        if key in self.queries or len(self.queries) < MAX_COUNTED:
            self.queries[key] += 1
        else:
            self.uncounted += 1
        if self._waiting:
            self._wake()

    async def wait_for(self, total: int) -> None:
        """Return once `total` queries have been counted; at once when they have been. Holds no lock."""
        if self.total >= total:
            await trio.lowlevel.checkpoint()
            return
        entry = (total, trio.Event())
        self._waiting.append(entry)
        try:
            await entry[1].wait()
        finally:
            self._waiting.remove(entry)

    def _wake(self) -> None:
        for total, event in self._waiting:
            if self.total >= total:
                event.set()
