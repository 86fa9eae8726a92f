"""The account of one walk: what it may still spend."""

from dataclasses import dataclass

import trio

from fastvhost.limits import Bucket

__all__ = ["MAX_OCTETS", "MAX_QUERIES", "Account"]

MAX_QUERIES = 24
"""Upstream queries of one walk, retries and TCP included: bounds the fan-out that a zone can cause
(the NXNSAttack of Afek, Bremler-Barr and Shafir, 2020, is the precedent)."""

MAX_OCTETS = 65_536
"""Octets of replies that one walk reads."""


@dataclass(slots=True, kw_only=True)
class Account:
    """Drawn on by `Upstream.query` before each datagram or connection."""

    bucket: Bucket
    """The budget of upstream queries that pays."""
    slots: trio.Semaphore
    """One is held for each query under way."""
    deadline: float
    """The instant by which the walk must have ended."""
    prepaid: int = 0
    """Tokens of `bucket` that were taken already, when the walk was admitted."""
    queries: int = 0
    octets: int = 0

    def exhausted(self) -> str | None:
        """Which bound is reached; None while the walk may go on."""
        if self.queries >= MAX_QUERIES:
            return f"over {MAX_QUERIES} upstream queries"
        if self.octets > MAX_OCTETS:
            return f"over {MAX_OCTETS} octets of replies"
        return None

    def wait(self, now: float) -> float:
        """Seconds until the next upstream query could be sent."""
        return 0.0 if self.prepaid else self.bucket.wait(now)

    def draw(self, now: float) -> float:
        """Pay for one upstream query; return the seconds to wait before it may be sent."""
        self.queries += 1
        if self.prepaid:
            self.prepaid -= 1
            return 0.0
        return self.bucket.take(now)
